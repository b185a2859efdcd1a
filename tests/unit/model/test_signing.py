"""SLIPWAY_TRUST=signed: what the operator's key has not signed is refused before anything of it is read."""

import json
import pickle
import subprocess
from pathlib import Path
from typing import Any

import joblib
import pandas as pd
import pytest
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from slipway.cli import main as cli
from slipway.errors import ArtifactError
from slipway.model.artifact import open_model
from slipway.model.signing import SIGNATURE, sign
from slipway.model.verify import Trusted
from slipway.packing.pack import pack
from tests.unit.model.formats.test_formats import Runs, digest_of

X, Y = load_iris(return_X_y=True)


def keys(folder: Path, name: str) -> tuple[Path, Path]:
    """Private and public."""
    private, public = folder / f"{name}.pem", folder / f"{name}.pub"
    run("openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", private)
    run("openssl", "ec", "-in", private, "-pubout", "-out", public)
    return private, public


def run(*command: object) -> None:
    subprocess.run([str(word) for word in command], check=True, capture_output=True)


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    joblib.dump(make_pipeline(StandardScaler(), LogisticRegression()).fit(X, Y), tmp_path / "m.joblib")
    data = pd.DataFrame(X, columns=["x0", "x1", "x2", "x3"])
    return pack(tmp_path / "m.joblib", name="iris", output=tmp_path / "models", data=data).directory


def opened(directory: Path, key: Path | None, **options: Any) -> Any:
    return open_model(directory, trust="signed", trusted=Trusted(key=key), **options)


def test_what_the_key_has_signed_is_served(packed: Path, tmp_path: Path) -> None:
    private, public = keys(tmp_path, "own")
    assert sign(packed, private) == packed / SIGNATURE
    assert opened(packed, public).name == "iris"
    (packed / "readme.txt").write_text("what is not signed is not opened")
    assert opened(packed, public).name == "iris"


def test_another_key_no_signature_and_no_key_are_refused(packed: Path, tmp_path: Path) -> None:
    private, public = keys(tmp_path, "own")
    with pytest.raises(ArtifactError, match="is not signed"):
        opened(packed, public)
    with pytest.raises(ArtifactError, match="needs SLIPWAY_TRUST_KEY"):
        opened(packed, None)
    sign(packed, private)
    with pytest.raises(ArtifactError, match="does not verify with"):
        opened(packed, keys(tmp_path, "other")[1])


def test_a_model_that_was_replaced_with_its_manifest_does_not_run(packed: Path, tmp_path: Path) -> None:
    private, public = keys(tmp_path, "own")
    sign(packed, private)
    content = pickle.dumps(Runs(tmp_path / "ran"))
    manifest = json.loads((packed / "manifest.json").read_text())
    (packed / "model.joblib").write_bytes(content)
    (packed / "manifest.json").write_text(json.dumps(manifest | {"digest": digest_of(content)}))
    with pytest.raises(ArtifactError, match="does not verify with"):
        opened(packed, public)
    assert not (tmp_path / "ran").exists()
    with pytest.raises(ArtifactError):
        open_model(packed, trust="manifest")
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["model.joblib", "manifest.json", SIGNATURE])
def test_a_signed_file_that_was_changed_is_refused(name: str, packed: Path, tmp_path: Path) -> None:
    private, public = keys(tmp_path, "own")
    sign(packed, private)
    content = bytearray((packed / name).read_bytes())
    content[len(content) // 2] ^= 1
    (packed / name).write_bytes(content)
    with pytest.raises(ArtifactError, match="does not verify with"):
        opened(packed, public)


def test_the_files_of_a_config_map_are_links(packed: Path, tmp_path: Path) -> None:
    private, public = keys(tmp_path, "own")
    sign(packed, private)
    mounted = tmp_path / "mounted"
    mounted.mkdir()
    packed.rename(mounted / "..data")
    for file in (mounted / "..data").iterdir():
        (mounted / file.name).symlink_to(Path("..data") / file.name)
    assert opened(mounted, public).name == "iris"


def test_a_certificate_vouches_as_a_key_does(packed: Path, tmp_path: Path) -> None:
    root, signer = tmp_path / "root.pem", tmp_path / "signer.pem"
    for key in (root, signer):
        run("openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", key)
    run(
        "openssl",
        "req",
        "-x509",
        "-new",
        "-key",
        root,
        "-subj",
        "/CN=root",
        "-days",
        "9",
        "-out",
        tmp_path / "root.crt",
    )
    run("openssl", "req", "-new", "-key", signer, "-subj", "/CN=signer", "-out", tmp_path / "signer.csr")
    (tmp_path / "usage").write_text("keyUsage=critical,digitalSignature\nextendedKeyUsage=codeSigning\n")
    run(
        *("openssl", "x509", "-req", "-in", tmp_path / "signer.csr", "-CA", tmp_path / "root.crt", "-CAkey", root),
        *("-CAcreateserial", "-days", "9", "-extfile", tmp_path / "usage", "-out", tmp_path / "signer.crt"),
    )
    sign(packed, signer, tmp_path / "signer.crt", [tmp_path / "root.crt"])
    assert opened(packed, tmp_path / "root.crt").name == "iris"
    run("openssl", "req", "-x509", "-new", "-key", signer, "-subj", "/CN=x", "-days", "9", "-out", tmp_path / "x.crt")
    with pytest.raises(ArtifactError, match="does not verify with"):
        opened(packed, tmp_path / "x.crt")


def test_the_commands_sign_and_verify(packed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    private, public = keys(tmp_path, "own")
    for arguments, code, told in (
        (("verify", packed.parent.parent, "--trust-key", public), 1, "is not signed"),
        (("sign", packed, "--key", public), 2, "cannot sign"),
        (("sign", packed, "--key", private), 0, "Signed "),
        (("verify", packed.parent.parent, "--trust-key", public), 0, "iris 1 is signed"),
        (("check", packed, "--trust", "signed", "--trust-key", public), 0, "fit to serve"),
        (("check", packed, "--trust", "signed"), 1, "the public key or the certificates"),
    ):
        with pytest.raises(SystemExit) as end:
            cli.main([str(argument) for argument in arguments])
        found = capsys.readouterr()
        assert (end.value.code, told in found.out + found.err) == (code, True), found

"""Models are fetched whole and verified, or not at all, from a server that cuts, redirects, changes and lies."""

import hashlib
import io
import json
import os
import stat
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import joblib
import pytest
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

from slipway.errors import ArtifactError
from slipway.packing.pack import pack
from slipway.sources import fetching
from slipway.sources.address import Address, parse
from slipway.sources.fetching import fetch, place_in
from slipway.sources.oci import may_have_login
from slipway.sources.opening import opener
from slipway.sources.remote import Unreachable
from slipway.sources.unpacking import unpack
from tests.support.file_server import Files, listening, offer

MOST = 64 * 1024 * 1024
X, Y = load_iris(return_X_y=True)


@pytest.fixture
def server() -> Iterator[Files]:
    with listening() as server:
        yield server


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "_LONGEST_WAIT", 0.0)


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("packed")
    joblib.dump(LogisticRegression(max_iter=1000).fit(X, Y), folder / "m.joblib")
    return pack(folder / "m.joblib", name="iris", output=folder / "models").directory


def get(address: str, cache: Path, headers: Path | None = None, most: int = MOST) -> fetching.Fetched:
    return fetch(parse(address), cache, most, opener(headers))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_folder_is_fetched_under_its_name_and_version(server: Files, packed: Path, tmp_path: Path) -> None:
    address = offer(server, packed)
    fetched = get(address, tmp_path)
    assert contents(fetched.folder / "iris/1") == contents(packed)
    assert fetched.changed
    server.asked.clear()
    assert not get(address, tmp_path).changed
    assert not server.asked_for("/iris/model.joblib")


@pytest.mark.parametrize("knows_ranges", [True, False])
def test_a_connection_that_is_cut_is_gone_on_with(
    knows_ranges: bool, server: Files, tmp_path: Path, packed: Path
) -> None:
    server.knows_ranges, server.cuts = knows_ranges, 2
    fetched = get(offer(server, packed), tmp_path)
    assert contents(fetched.folder / "iris/1") == contents(packed)
    ranges = [headers.get("Range") for headers in server.asked_for("/iris/model.joblib")]
    assert len(ranges) >= 2
    assert ranges[-1] is not None


def test_what_has_come_is_kept_for_the_next_time(server: Files, packed: Path, tmp_path: Path) -> None:
    address = offer(server, packed)
    size = len(server.files["/iris/model.joblib"])
    server.cuts = 1_000_000
    server.knows_ranges = False  # so that it never ends
    with pytest.raises(Unreachable, match="cannot be fetched"):
        get(address, tmp_path)
    assert not (tmp_path / parse(address).key / "current").exists()
    server.cuts, server.knows_ranges = 0, True
    server.asked.clear()
    get(address, tmp_path)
    assert server.asked_for("/iris/model.joblib")[0]["Range"] == f"bytes={size // 2}-"


def test_a_file_that_changes_between_two_pieces_is_fetched_anew(server: Files, packed: Path, tmp_path: Path) -> None:
    address = offer(server, packed)
    server.cuts = 1_000_000
    server.knows_ranges = False
    with pytest.raises(Unreachable):
        get(address, tmp_path)
    joblib.dump(LogisticRegression(max_iter=1000, C=3).fit(X, Y), tmp_path / "m.joblib")
    other = pack(tmp_path / "m.joblib", name="iris", output=tmp_path / "other").directory
    offer(server, other)
    server.cuts, server.knows_ranges = 0, True
    assert contents(get(address, tmp_path).folder / "iris/1") == contents(other)


def test_a_file_that_is_not_the_packed_one_never_appears(server: Files, packed: Path, tmp_path: Path) -> None:
    address = offer(server, packed)
    before = contents(get(address, tmp_path).folder / "iris/1")
    server.files["/iris/model.joblib"] = server.files["/iris/model.joblib"][:-1] + b"?"
    with pytest.raises(ArtifactError, match=r"model\.joblib is not the file that was expected: .* the SHA-256 "):
        get(address, tmp_path)
    assert contents(tmp_path / parse(address).key / "current/iris/1") == before


def test_a_manifest_that_is_pinned_is_that_one(server: Files, packed: Path, tmp_path: Path) -> None:
    address = offer(server, packed)
    digest = hashlib.sha256((packed / "manifest.json").read_bytes()).hexdigest()
    assert get(f"{address}#sha256={digest}", tmp_path).changed
    with pytest.raises(ArtifactError, match="is not the one that was pinned"):
        get(f"{address}#sha256={'0' * 64}", tmp_path)


def test_a_server_that_is_away_is_told_apart_from_one_that_refuses(server: Files, packed: Path, tmp_path: Path) -> None:
    address = offer(server, packed)
    server.status = 503
    with pytest.raises(Unreachable, match="answered 503"):
        get(address, tmp_path)
    server.status = 403
    with pytest.raises(ArtifactError, match="answered 403 Forbidden: check the credentials") as refused:
        get(address, tmp_path)
    assert not isinstance(refused.value, Unreachable)


def test_credentials_do_not_follow_to_another_host(server: Files, packed: Path, tmp_path: Path) -> None:
    headers = tmp_path / "headers"
    headers.mkdir()
    (headers / "Authorization").write_text("Bearer secret\n")
    with listening() as other:
        offer(other, packed)
        for name in ("manifest.json", "model.joblib", "model.sig"):
            server.redirects[f"/iris/{name}"] = f"{other.url}/iris/{name}"
        assert get(f"{server.url}/iris", tmp_path / "cache", headers).changed
        assert server.asked
        assert {asked[2].get("Authorization") for asked in server.asked} == {"Bearer secret"}
        assert {asked[2].get("Authorization") for asked in other.asked} == {None}


@pytest.mark.parametrize("target", ["http://models.example.org/iris/manifest.json", "file:///etc/passwd"])
def test_a_redirect_away_from_https_is_not_followed(target: str, server: Files, tmp_path: Path) -> None:
    server.redirects["/iris/manifest.json"] = target
    with pytest.raises(ArtifactError, match=r"is not HTTPS|is not allowed"):
        get(f"{server.url}/iris", tmp_path)


def test_what_does_not_fit_into_the_cache_is_not_fetched(server: Files, packed: Path, tmp_path: Path) -> None:
    address = offer(server, packed)
    with pytest.raises(ArtifactError, match="SLIPWAY_FETCH_CACHE_BYTES allows 100"):
        get(address, tmp_path, most=100)
    assert not server.asked_for("/iris/model.joblib")


def test_the_copy_that_was_not_used_for_the_longest_time_goes_first(
    server: Files, packed: Path, tmp_path: Path
) -> None:
    size = sum(file.stat().st_size for file in packed.iterdir())
    addresses = [offer(server, packed, f"/{name}") for name in "abc"]
    for place, address in enumerate(addresses):
        get(address, tmp_path)
        os.utime(tmp_path / parse(address).key / "state.json", (place, place))
    get(addresses[0], tmp_path)
    get(offer(server, packed, "/d"), tmp_path, most=int(2.9 * size))
    left = [(tmp_path / parse(address).key).exists() for address in addresses]
    assert left == [True, False, False]


def test_models_are_put_into_a_folder_and_not_over_others(server: Files, packed: Path, tmp_path: Path) -> None:
    folder = get(offer(server, packed), tmp_path / "cache").folder
    output = tmp_path / "models"
    assert place_in(output, folder, force=False) == [output / "iris/1"]
    assert place_in(output, folder, force=False) == [output / "iris/1"]
    (output / "iris/1/manifest.json").unlink()
    with pytest.raises(ArtifactError, match="exists already, with other files"):
        place_in(output, folder, force=False)
    place_in(output, folder, force=True)
    assert contents(output / "iris/1") == contents(packed)
    assert [path.name for path in output.iterdir()] == ["iris"]


def tar(members: list[tuple[tarfile.TarInfo, bytes]], mode: str = "w:gz") -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode=mode) as archive:  # type: ignore[call-overload]
        for member, body in members:
            member.size = len(body)
            archive.addfile(member, io.BytesIO(body))
    return content.getvalue()


def of(directory: Path, below: str = "") -> list[tuple[tarfile.TarInfo, bytes]]:
    return [(tarfile.TarInfo(f"{below}{file.name}"), file.read_bytes()) for file in sorted(directory.iterdir())]


@pytest.mark.parametrize("below", ["", "iris/1/", "models-1.0/"])
def test_an_archive_is_unpacked(below: str, server: Files, packed: Path, tmp_path: Path) -> None:
    server.files["/iris.tar.gz"] = tar(of(packed, below))
    digest = hashlib.sha256(server.files["/iris.tar.gz"]).hexdigest()
    fetched = get(f"{server.url}/iris.tar.gz#sha256={digest}", tmp_path)
    assert contents(fetched.folder / "iris/1") == contents(packed)
    with pytest.raises(ArtifactError, match="is not the file that was expected"):
        get(f"{server.url}/iris.tar.gz#sha256={'0' * 64}", tmp_path)


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tuple[tarfile.TarInfo, bytes]:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member, b""


@pytest.mark.parametrize(
    "member",
    [
        (tarfile.TarInfo("../outside"), b"x"),
        (tarfile.TarInfo("a/../../outside"), b"x"),
        link("model.joblib", "/etc/passwd"),
        link("folder", ".."),
        link("model.joblib", "../../outside", tarfile.LNKTYPE),
        link("device", "", tarfile.CHRTYPE),
        link("pipe", "", tarfile.FIFOTYPE),
    ],
    ids=lambda member: f"{member[0].name} {member[0].type!r}",
)
def test_an_archive_that_leads_out_of_its_folder_is_not_used(member: Any, packed: Path, tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(tar([*of(packed), member]))
    (tmp_path / "in").mkdir()
    with pytest.raises(ArtifactError, match=r"leads out of its folder|is a link or a device"):
        unpack(tmp_path / "a.tar", "tar", tmp_path / "in", MOST)
    assert not (tmp_path / "outside").exists()


def test_a_zip_with_a_link_or_a_way_out_is_not_used(tmp_path: Path) -> None:
    for name, mode in (("../outside", stat.S_IFREG), ("link", stat.S_IFLNK)):
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w") as archive:
            member = zipfile.ZipInfo(name)
            member.external_attr = (mode | 0o777) << 16
            archive.writestr(member, "/etc/passwd")
        (tmp_path / "a.zip").write_bytes(content.getvalue())
        with pytest.raises(ArtifactError, match=r"leads out of its folder|is a link or a device"):
            unpack(tmp_path / "a.zip", "zip", tmp_path / "in", MOST)


@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_a_bomb_is_not_unpacked(kind: str, tmp_path: Path) -> None:
    zeros = bytes(8 * 1024 * 1024)
    if kind == "tar":
        content = tar([(tarfile.TarInfo("model.joblib"), zeros)])
    else:
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("model.joblib", zeros)
        content = packed.getvalue()
    assert len(content) < 100_000
    (tmp_path / "bomb").write_bytes(content)
    with pytest.raises(ArtifactError, match="unpacks to more than"):
        unpack(tmp_path / "bomb", kind, tmp_path / "in", 1024 * 1024)
    assert not list(tmp_path.glob("in/*"))


def test_a_layer_hides_what_lies_below_it(tmp_path: Path) -> None:
    for place, members in enumerate(
        (
            [(tarfile.TarInfo("models/iris/1/old"), b"1"), (tarfile.TarInfo("models/gone/1/x"), b"2")],
            [(tarfile.TarInfo("models/.wh.gone"), b""), (tarfile.TarInfo("etc/passwd"), b"3"), link("bin", "usr/bin")],
            [(tarfile.TarInfo("models/iris/1/.wh..wh..opq"), b""), (tarfile.TarInfo("models/iris/1/new"), b"4")],
        )
    ):
        (tmp_path / f"{place}.tar").write_bytes(tar(members))
        unpack(tmp_path / f"{place}.tar", "tar", tmp_path / "in", MOST, "models")
    assert {str(path.relative_to(tmp_path / "in")) for path in tmp_path.glob("in/**/*") if path.is_file()} == {
        "iris/1/new"
    }


@pytest.mark.parametrize(
    ("host", "realm", "allowed"),
    [
        ("registry.example.org", "https://registry.example.org/token", True),
        ("127.0.0.1:5000", "http://127.0.0.1:5000/token", True),
        ("registry-1.docker.io", "https://auth.docker.io/token", True),
        ("registry.gitlab.com", "https://gitlab.com/jwt/auth", True),
        ("registry.example.org", "http://auth.example.org/token", False),
        ("registry.example.org", "https://evil.org/token", False),
        ("registry.example.org", "https://registry.example.org.evil.org/token", False),
        ("victim.co.uk", "https://evil.co.uk/token", False),
        ("example.org", "https://evil.org/token", False),
        ("10.0.0.1:5000", "https://9.0.0.1/token", False),
    ],
)
def test_a_login_is_sent_to_the_registrys_own_realm_alone(host: str, realm: str, allowed: bool) -> None:
    assert may_have_login(host, realm) is allowed


@pytest.mark.parametrize(
    "text",
    ["ftp://x/y", "s3://", "models:/iris", "models:/iris/latest/7", "http://models.example.org/x", "https://x/y#md5=1"],
)
def test_what_is_no_address_is_told_with_what_is(text: str) -> None:
    with pytest.raises(ArtifactError):
        parse(text)


def test_no_message_has_what_may_be_a_secret() -> None:
    address = parse("https://user:secret@models.example.org/iris?signature=secret")
    assert isinstance(address, Address)
    assert address.shown == "https://models.example.org/iris"


def test_a_manifest_that_names_another_folder_leads_nowhere(server: Files, packed: Path, tmp_path: Path) -> None:
    address = offer(server, packed)
    manifest = json.loads(server.files["/iris/manifest.json"])
    server.files["/iris/manifest.json"] = json.dumps(manifest | {"file": "../../outside"}).encode()
    server.files["/outside"] = b"x"
    with pytest.raises(ArtifactError):
        get(address, tmp_path / "cache")
    assert not list(tmp_path.rglob("outside"))

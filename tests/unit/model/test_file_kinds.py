"""What was given as a model is named, with the way out: files made for real where the library is here, else by their
first bytes.
"""

import bz2
import gzip
import io
import lzma
import pickle
import sys
import tarfile
import types
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import lightgbm
import numpy as np
import pandas as pd
import pytest
import sklearn
import xgboost
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from slipway.cli import main as cli
from slipway.errors import ArtifactError
from slipway.model.estimator_file import load_estimator
from slipway.model.file_kinds import fitted_version, foreign
from slipway.prediction.repository import Repository
from slipway.settings import Settings
from slipway.telemetry.metrics import Metrics

X, Y = load_iris(return_X_y=True)
LINEAR = LogisticRegression(max_iter=300).fit(X, Y)
XGBOOST = xgboost.XGBClassifier(n_estimators=2).fit(X, Y)
LIGHTGBM = lightgbm.LGBMClassifier(n_estimators=2, verbose=-1).fit(X, Y)
FRAME = pd.DataFrame(X, columns=["a", "b", "c", "d"])


def zipped(**members: bytes) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, member in members.items():
            archive.writestr(name.replace("__", "/").replace("_", "."), member)
    return content.getvalue()


def tarred() -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("model.joblib"))
    return content.getvalue()


def saved(save: Callable[[str], object], name: str) -> Callable[[Path], bytes]:
    def content(folder: Path) -> bytes:
        save(str(folder / name))
        return (folder / name).read_bytes()

    return content


def as_npz(path: str) -> None:
    np.savez(path, X=X)


CSV = FRAME.to_csv(index=False).encode()
FOREIGN: dict[str, tuple[bytes | Callable[[Path], bytes], str]] = {
    "an empty file": (b"", "it is empty; write it again"),
    "HDF5": (b"\x89HDF\r\n\x1a\n\x00", "it is an HDF5 file, as Keras writes"),
    "Keras": (zipped(metadata_json=b"", config_json=b"", model_weights_h5=b""), "it is a network of Keras"),
    "PyTorch": (zipped(net__data_pkl=b"", net__version=b"3"), "it is a file of PyTorch; only scikit-learn"),
    "CSV": (CSV, "it is a table (CSV); --data takes tables"),
    "CSV whose first letter is a pickle's order to import": (b"customer_id,age\n1,2\n", "it is a table (CSV)"),
    "CSV whose first letter is zlib's": (b"x1;x2\n1;2\n", "it is a table (CSV)"),
    "CSV with a byte order mark": (b"\xef\xbb\xbf" + CSV, "it is a table (CSV)"),
    "Parquet": (saved(FRAME.to_parquet, "t.parquet"), "it is a table (Parquet); --data takes tables"),
    "text": (b"hello\n", "it is plain text; MODEL is the file that joblib.dump or"),
    "a script": (b"import joblib\njoblib.dump(model, 'model.joblib')\n", "it is plain text"),
    "JSON": (b'{"a": 1}', "it is JSON"),
    "a page": (b"\n<!DOCTYPE html><html>404</html>", "it is a page of HTML"),
    "Git LFS": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n", "it is a pointer of Git LFS"),
    "an array": (saved(lambda path: np.save(path, X), "x.npy"), "it is an array of numpy"),
    "arrays": (saved(as_npz, "x.npz"), "it is arrays of numpy (npz)"),
    "a zip archive": (
        zipped(model_joblib=b"\x80\x04."),
        "it is a zip archive; unpack it, and name the joblib file that is in it (model.joblib)",
    ),
    "half of a zip archive": (zipped(model_joblib=b"\x80\x04.")[:20], "it is a zip archive that is cut off"),
    "an MLflow model in a zip archive": (
        zipped(m__MLmodel=b"", m__model_pkl=b""),
        "it is a zip archive of an MLflow model",
    ),
    "a tar archive": (tarred(), "it is a tar archive"),
    "CSV in gzip": (
        gzip.compress(CSV),
        "compressed by gzip, with something else than a joblib file inside: a table (CSV)",
    ),
    "a tar archive in gzip": (gzip.compress(tarred()), "inside: a tar archive"),
    "text in bzip2": (
        bz2.compress(b"hello"),
        "compressed by bzip2, with something else than a joblib file inside: plain text",
    ),
    "text in xz": (
        lzma.compress(b"hello"),
        "compressed by xz, with something else than a joblib file inside: plain text",
    ),
    "text in zlib": (
        zlib.compress(b"hello"),
        "compressed by zlib, with something else than a joblib file inside: plain text",
    ),
    "zeros": (b"\0" * 100, "it is something that is not known here, its first bytes are 00 00 00 00 00 00 00 00"),
}


def sentence_of(path: Path) -> str:
    with pytest.raises(ArtifactError) as caught:
        load_estimator(path, None, [])
    found = str(caught.value)
    assert found.startswith(str(path))
    assert "\n" not in found
    return found


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_file_of_another_kind_is_named_with_the_way_out(kind: str, tmp_path: Path) -> None:
    content, sentence = FOREIGN[kind]
    path = tmp_path / "model.joblib"
    path.write_bytes(content if isinstance(content, bytes) else content(tmp_path))
    found = sentence_of(path)
    assert "is no joblib file that can be loaded: it is" in found
    assert sentence in found


@given(st.text(alphabet="bcdgikmoprstxz_,;\n 0123456789", max_size=60).filter(lambda text: text.strip()))
def test_no_text_is_handed_to_pickle(text: str) -> None:
    assert foreign(io.BytesIO(text.encode())) is not None


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("compress", [0, 3, ("zlib", 1), ("gzip", 3), ("bz2", 3), ("xz", 3), ("lzma", 3)])
def test_what_joblib_writes_is_loaded(protocol: int, compress: Any, tmp_path: Path) -> None:
    joblib.dump(LINEAR, tmp_path / "model.joblib", protocol=protocol, compress=compress)
    notes: list[str] = []
    assert type(load_estimator(tmp_path / "model.joblib", None, notes)[0]) is LogisticRegression
    assert not notes


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_what_pickle_writes_is_loaded(protocol: int, tmp_path: Path) -> None:
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(LIGHTGBM, protocol=protocol))
    assert type(load_estimator(tmp_path / "model.pkl", None, [])[0]) is lightgbm.LGBMClassifier


def of_another_version(old: str, new: str, *, compress: int = 0) -> bytes:
    """The linear model as scikit-learn 1.2.2 might have written it, with `old` in it called `new`."""
    content = io.BytesIO()
    joblib.dump(LINEAR, content)
    changed = content.getvalue()
    for before, after in ((old, new), (sklearn.__version__, "1.2.2")):
        changed = changed.replace(
            bytes([0x8C, len(before)]) + before.encode(), bytes([0x8C, len(after)]) + after.encode()
        )
    return zlib.compress(changed) if compress else changed


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("compress", [0, 3])
def test_the_version_that_is_written_in_a_file_is_found(protocol: int, compress: int) -> None:
    content = io.BytesIO()
    joblib.dump(RandomForestClassifier(3).fit(X, Y), content, protocol=protocol, compress=compress)
    assert fitted_version(content) == sklearn.__version__


@pytest.mark.parametrize("compress", [0, 1])
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("sklearn.linear_model._logistic", "_loss"),
        ("sklearn.linear_model._logistic", "sklearn.ensemble._gb_losses"),
        ("LogisticRegression", "LogisticRegressor"),
        ("__setstate__", "__setstate__"),
    ],
)
def test_a_file_of_another_scikit_learn_names_the_version(old: str, new: str, compress: int, tmp_path: Path) -> None:
    path = tmp_path / "model.joblib"
    path.write_bytes(of_another_version(old, new, compress=compress))
    if new == "__setstate__":  # nothing is missing: it is loaded, and the version noted
        notes: list[str] = []
        load_estimator(path, None, notes)
        assert notes == [f"Fitted with scikit-learn 1.2.2, loaded with {sklearn.__version__}: answers may differ"]
        return
    found = sentence_of(path)
    assert f"was fitted with scikit-learn 1.2.2, which {sklearn.__version__}, installed here, cannot load" in found
    assert found.endswith("install scikit-learn==1.2.2, or fit the model again")


def test_another_version_of_another_library_is_named(tmp_path: Path) -> None:
    path = tmp_path / "model.joblib"
    joblib.dump(LIGHTGBM, path)
    path.write_bytes(path.read_bytes().replace(b"\x10lightgbm.sklearn", b"\x10lightgbm.skleern"))
    assert "was dumped with another version of lightgbm than " + lightgbm.__version__ in sentence_of(path)


def test_a_module_of_the_users_own_is_asked_for_with_pythonpath(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, module = tmp_path / "model.joblib", types.ModuleType("churn_features")
    module.Scaler = type("Scaler", (LogisticRegression,), {"__module__": "churn_features"})
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "churn_features", module)
        joblib.dump(module.Scaler(max_iter=300).fit(X, Y), path)
    found = sentence_of(path)
    assert "needs the Python module 'churn_features', which is not installed here" in found
    assert "name its folder in PYTHONPATH" in found


def test_a_class_of_the_users_own_script_is_to_be_moved_to_a_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, main = tmp_path / "model.joblib", sys.modules["__main__"]
    with monkeypatch.context() as patch:
        patch.setattr(main, "Mine", type("Mine", (LogisticRegression,), {"__module__": "__main__"}), raising=False)
        joblib.dump(main.Mine(max_iter=300).fit(X, Y), path)  # type: ignore[attr-defined]
    found = sentence_of(path)
    assert "Mine" in found
    assert (
        "move it from the script or notebook to a module that is installed here, or that is in a folder of PYTHONPATH"
    ) in found


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (
            XGBOOST.get_booster(),
            "holds a Booster of xgboost, whose predict takes other input than rows: fit XGBClassifier or XGBRegressor, "
            "or",
        ),
        (
            LIGHTGBM.booster_,
            "holds a Booster of lightgbm, whose predict takes other input than rows: fit LGBMClassifier or "
            "LGBMRegressor and",
        ),
        ({"model": LINEAR, "scaler": 1}, "A dict has no predict, it holds model, scaler: make the parts one Pipeline"),
        ([LINEAR, 1], "A list has no predict, it holds LogisticRegression, int"),
    ],
)
def test_a_pickle_of_something_else_is_named_with_the_way_out(
    content: Any, sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    joblib.dump(content, tmp_path / "model.joblib")
    with pytest.raises(SystemExit) as end:
        cli.main(["pack", str(tmp_path / "model.joblib"), "--name", "mine", "--output", str(tmp_path / "models")])
    assert end.value.code == 2
    assert sentence in capsys.readouterr().err


def printed(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    with pytest.raises(SystemExit) as end:
        cli.main([str(argument) for argument in arguments])
    assert end.value.code in (1, 2)
    found = capsys.readouterr()
    return found.out + found.err


def test_a_folder_with_a_model_of_another_name_says_how_to_pack_it(tmp_path: Path) -> None:
    (tmp_path / "churn").mkdir()
    joblib.dump(LINEAR, tmp_path / "churn/best.pkl")
    with pytest.raises(
        ArtifactError,
        match=r"holds no model: .*churn holds best\.pkl: pack it with `slipway pack .*churn/best\.pkl "
        r"--name churn`",
    ):
        Repository(Settings(models=tmp_path), Metrics(None, None))

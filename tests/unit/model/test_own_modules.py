"""Modules of a user's own go with the model that was packed with them, and are its own."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from slipway.errors import ArtifactError
from slipway.model.artifact import open_model
from slipway.model.own_modules import zipped
from slipway.packing.pack import pack

MODULE = """
from sklearn.base import BaseEstimator, RegressorMixin
from parts.sums import total

class Adds(RegressorMixin, BaseEstimator):
    def fit(self, X, y=None):
        self.n_features_in_ = 2
        return self

    def predict(self, X):
        import parts.later
        return total(X) + parts.later.{answer}
"""


def written(folder: Path, answer: float, name: str = "features") -> Path:
    """A folder of modules, and the model.joblib that a process which could import them wrote."""
    (folder / "code/parts").mkdir(parents=True)
    (folder / f"code/{name}.py").write_text(MODULE.format(answer="ANSWER"))
    (folder / "code/parts/__init__.py").write_text("")
    (folder / "code/parts/sums.py").write_text("def total(X):\n    return X.sum(axis=1)\n")
    (folder / "code/parts/later.py").write_text(f"ANSWER = {answer}\n")
    dump = f"import joblib, {name}; joblib.dump({name}.Adds().fit(None), '../model.joblib')"
    subprocess.run([sys.executable, "-c", dump], cwd=folder / "code", check=True)
    return folder


def packed(folder: Path, name: str) -> Path:
    return pack(folder / "model.joblib", name=name, output=folder.parent / "models", code=folder / "code").directory


def answer(artifact: Any) -> float:
    return float(artifact.model.infer(artifact.validator(1).features([1.0, 2.0]).data).predictions[0])


def test_two_models_with_modules_of_one_name_stand_side_by_side(tmp_path: Path) -> None:
    one, other = (packed(written(tmp_path / name, value), name) for name, value in (("one", 10.0), ("other", 20.0)))
    loaded = open_model(one), open_model(other)
    assert [answer(artifact) for artifact in loaded] == [13.0, 23.0]
    assert [answer(artifact) for artifact in reversed(loaded)] == [23.0, 13.0]
    assert not {"features", "parts", "parts.later"} & sys.modules.keys()


def test_without_its_modules_the_way_is_told(tmp_path: Path) -> None:
    folder = written(tmp_path / "m", 1.0)
    with pytest.raises(ArtifactError, match="needs the Python module 'features'"):
        pack(folder / "model.joblib", name="m", output=tmp_path / "models")


def test_modules_that_were_changed_do_not_run(tmp_path: Path) -> None:
    directory = packed(written(tmp_path / "m", 1.0), "m")
    (tmp_path / "evil").mkdir()
    (tmp_path / "evil/features.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    (directory / "code.zip").write_bytes(zipped(tmp_path / "evil"))
    with pytest.raises(ArtifactError, match="is not the file that was packed"):
        open_model(directory)
    (directory / "features.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    assert not (tmp_path / "ran").exists()


def test_safe_runs_no_modules_of_ones_own(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="which SLIPWAY_TRUST=safe does not run"):
        open_model(packed(written(tmp_path / "m", 1.0), "m"), trust="safe")


def test_a_module_that_would_hide_another_is_refused(tmp_path: Path) -> None:
    for name in ("json", "numpy"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}.py").write_text("")
        with pytest.raises(ArtifactError, match=f"there is another module called {name}"):
            pack(tmp_path / "m.joblib", name="m", code=tmp_path / name)


def test_the_same_modules_are_the_same_file(tmp_path: Path) -> None:
    written(tmp_path / "m", 1.0)
    before = zipped(tmp_path / "m/code")
    (tmp_path / "m/code/parts/sums.py").touch()
    assert zipped(tmp_path / "m/code") == before

"""A model that LightGBM wrote as text: a Booster, asked as LightGBM's own estimators ask theirs."""

import re
from pathlib import Path
from typing import Any, BinaryIO

import lightgbm
import numpy as np

from ...errors import ArtifactError
from ..contained import described, harmless
from .native import Native
from .openmp import end_openmp_threads

_CLASSIFIERS = frozenset({"binary", "multiclass"})
_REGRESSORS = frozenset(
    {"fair", "gamma", "huber", "mape", "poisson", "quantile", "regression", "regression_l1", "tweedie"}
)
_MADE_UP = re.compile(r"Column_\d+")


class LightgbmBooster(Native):
    """Classes are 0, 1, …: the text does not keep those that an estimator was fitted on."""

    runtime = "lightgbm"

    def __init__(self, booster: lightgbm.Booster, objective: str, classes: int) -> None:
        self._booster = booster
        self.n_features_in_ = booster.num_feature()
        names = booster.feature_name()
        self.feature_names_in_ = None if all(map(_MADE_UP.fullmatch, names)) else names
        self._estimator_type = "classifier" if objective in _CLASSIFIERS else "regressor"
        if self._estimator_type == "classifier":
            self.classes_ = np.arange(classes)
            self.predict_proba = self._probabilities

    def predict(self, data: Any) -> Any:
        if self._estimator_type == "regressor":
            return self._raw(data)
        return self.classes_[self._probabilities(data).argmax(axis=1)]

    def _probabilities(self, data: Any) -> Any:
        raw = self._raw(data)
        return np.column_stack([1.0 - raw, raw]) if raw.ndim == 1 else raw

    def _raw(self, data: Any) -> Any:
        return self._booster.predict(np.asarray(data, dtype=np.float64), num_threads=1)


def read(file: BinaryIO, path: Path) -> LightgbmBooster:
    """Raises ArtifactError for an objective whose answers are neither classes nor values, and for categories."""
    try:
        text = file.read().decode()
        _check_whole(text, path)
        found = re.search(r"^objective=(\S+)(.*)$", text[: text.find("\nTree=")], re.MULTILINE)
        objective = found[1] if found else "none"
        if objective not in _CLASSIFIERS | _REGRESSORS:
            known = ", ".join(sorted(_CLASSIFIERS | _REGRESSORS))
            raise ArtifactError(
                f"{path} has LightGBM's objective {harmless(objective)}, of which no answer can be told from the file: "
                f"fit an estimator of LightGBM's, and write that with joblib.dump. Known are {known}"
            )
        booster = lightgbm.Booster(model_str=text)
        if re.search(r"^pandas_categorical:(?!null|\[\])", text, re.MULTILINE):
            raise ArtifactError(
                f"{path} was fitted on columns of pandas' dtype category, which its text does not name: write the "
                "LGBMClassifier or LGBMRegressor itself with joblib.dump"
            )
        count = re.search(r"num_class:(\d+)", found[2] if found else "")
        return LightgbmBooster(booster, objective, int(count[1]) if count else 2)
    except (lightgbm.basic.LightGBMError, UnicodeDecodeError) as error:
        raise ArtifactError(
            f"{path} is no model of LightGBM that {lightgbm.__version__} can load: {described(error)}"
        ) from None
    finally:
        end_openmp_threads()


def _check_whole(text: str, path: Path) -> None:
    """LightGBM ends the whole process where a tree is cut off."""
    trees = text.find("\nTree=0\n") + 1
    sizes = re.search(r"^tree_sizes=([\d ]+)$", text[:trees], re.MULTILINE)
    end = trees + sum(map(int, sizes[1].split())) if sizes else -1
    if not text.startswith("end of trees\n", end) or not re.search(r"^pandas_categorical:.*\n\Z", text, re.MULTILINE):
        raise ArtifactError(f"{path} is a model of LightGBM that is damaged or cut off: copy it again")

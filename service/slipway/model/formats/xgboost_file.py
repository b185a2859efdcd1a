"""A model that XGBoost wrote itself, as JSON or UBJ: a Booster's or an estimator's, answered by its estimators."""

import json
from pathlib import Path
from typing import Any, BinaryIO

import xgboost

from ...errors import ArtifactError
from ..contained import described, harmless
from .openmp import end_openmp_threads

# Whose answers are what XGBoost's own estimators make of them; the others answer margins, ranks or times.
_CLASSIFIERS = frozenset({"binary:logistic", "multi:softprob", "multi:softmax"})
_REGRESSORS = frozenset(
    {
        "count:poisson",
        "reg:absoluteerror",
        "reg:gamma",
        "reg:linear",
        "reg:logistic",
        "reg:pseudohubererror",
        "reg:quantileerror",
        "reg:squarederror",
        "reg:squaredlogerror",
        "reg:tweedie",
    }
)


def read(file: BinaryIO, path: Path) -> Any:
    """Raises ArtifactError for an objective whose answers are neither classes nor values."""
    try:
        content = bytearray(file.read())
        booster = xgboost.Booster()
        booster.load_model(content)
        objective = json.loads(booster.save_config())["learner"]["objective"]["name"]
        if objective not in _CLASSIFIERS | _REGRESSORS:
            known = ", ".join(sorted(_CLASSIFIERS | _REGRESSORS))
            raise ArtifactError(
                f"{path} has XGBoost's objective {harmless(str(objective))}, of which no answer can be told from the "
                f"file: fit an estimator of XGBoost's with it, and write that with joblib.dump. Known are {known}"
            )
        estimator = xgboost.XGBClassifier() if objective in _CLASSIFIERS else xgboost.XGBRegressor()
        estimator.load_model(content)
        if objective == "multi:softmax":  # the same trees, asked for probabilities
            estimator.get_booster().set_param({"objective": "multi:softprob"})
        return estimator
    except xgboost.core.XGBoostError as error:
        raise ArtifactError(
            f"{path} is no model of XGBoost that {xgboost.__version__} can load: {described(error)}"
        ) from None
    finally:
        end_openmp_threads()

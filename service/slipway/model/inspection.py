"""What a fitted estimator says about itself, read from its attributes and tags without asking it for a prediction."""

import functools
import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ..errors import ArtifactError
from .answers import plain
from .formats.native import Native

if TYPE_CHECKING:
    from sklearn.utils import Tags

Kind = Literal["classifier", "regressor", "clusterer", "outlier_detector", "other"]
Scalar = bool | int | float | str

_ENCODERS = frozenset({"ColumnTransformer", "OneHotEncoder", "OrdinalEncoder", "TargetEncoder"})
# See their input before it is made numbers.
_UNCONVERTED = frozenset({"DummyClassifier", "DummyRegressor", "FunctionTransformer"})


def unwrap(estimator: Any) -> Any:
    """The estimator that answers: the last step of a pipeline, the best one of a search."""
    while True:
        if hasattr(estimator, "best_estimator_"):
            estimator = estimator.best_estimator_
        elif _steps(estimator):
            estimator = _steps(estimator)[-1]
        else:
            return estimator


def kind(estimator: Any) -> Kind:
    tags = _tags(estimator)
    name = getattr(estimator, "_estimator_type", None) if tags is None else tags.estimator_type
    if name == "density_estimator":  # a mixture: its predict names a component
        return "clusterer"
    if name in ("classifier", "regressor", "clusterer", "outlier_detector"):
        return name  # type: ignore[no-any-return]
    return "classifier" if hasattr(estimator, "classes_") else "other"


def classes(estimator: Any) -> list[Any] | None:
    """The classes in the order of predict_proba's columns; one list per output where there are several."""
    leaf = unwrap(estimator)
    found = getattr(estimator, "classes_", None)
    if found is None:
        tags = _tags(leaf)
        is_mixture = tags is not None and tags.estimator_type == "density_estimator" and hasattr(leaf, "weights_")
        return list(range(len(leaf.weights_))) if is_mixture else None
    indicators = _indicators(leaf)
    if indicators is not None:
        return [[0, 1]] * indicators
    if isinstance(found, list | tuple) and found and isinstance(found[0], np.ndarray | list | tuple):
        return [_plain_classes(output) for output in found]
    return _plain_classes(found)


def _plain_classes(found: Any) -> list[Any]:
    """As answers hold them. Raises ArtifactError for classes that JSON cannot hold."""
    try:
        values = plain(np.asarray(found))
    except TypeError:
        kind = (
            type(np.asarray(found).tolist()[0]).__name__
            if np.asarray(found).dtype == object
            else np.asarray(found).dtype
        )
        raise ArtifactError(f"Its classes are {kind}s, which JSON cannot hold: fit it on strings or numbers") from None
    return values


def width(estimator: Any) -> int | None:
    """The number of features, or None where the estimator does not tell."""
    count = _attribute(estimator, "n_features_in_")
    return None if count is None else int(count)


def names(estimator: Any) -> tuple[str, ...] | None:
    """The columns of the DataFrame that it was fitted on, or None."""
    found = _attribute(estimator, "feature_names_in_")
    return None if found is None else tuple(str(name) for name in found)


def joins_words(estimator: Any) -> bool:
    """Whether its names have underscores where those of the DataFrame had blanks, as LightGBM's do."""
    inner = _seers(estimator)
    if inner:
        return any(map(joins_words, inner))
    return "lightgbm" in (_package(estimator), getattr(estimator, "runtime", None))


def takes_text(estimator: Any) -> bool:
    """Whether the input is a list of strings, which is what text vectorizers want (they have no n_features_in_)."""
    inner = _seers(estimator)
    if inner:
        return any(takes_text(part) for part in inner)
    tags = _tags(estimator)
    return tags is not None and tags.input_tags.string and not tags.input_tags.two_d_array


def takes_strings(estimator: Any) -> bool:
    """Whether it begins with what scikit-learn has for columns of strings."""
    inner = _seers(estimator)
    if inner:
        return any(takes_strings(part) for part in inner)
    name = type(estimator).__name__
    return name in _ENCODERS or (name == "SimpleImputer" and estimator.strategy in ("most_frequent", "constant"))


def numbers_only(estimator: Any) -> bool:
    """Whether every column of a DataFrame was surely numeric, so that one block of floats is as good as the original
    columns.
    """
    inner = _seers(estimator)
    if inner:
        return all(numbers_only(part) for part in inner)
    if takes_strings(estimator) or type(estimator).__name__ in _UNCONVERTED:
        return False
    if getattr(estimator, "is_categorical_", None) is not None or getattr(estimator, "enable_categorical", False):
        return False
    if getattr(getattr(estimator, "booster_", None), "pandas_categorical", None):
        return False
    return _package(estimator) in ("sklearn", "xgboost", "lightgbm")


def allows_missing(estimator: Any) -> bool:
    """Whether NaN may go in: every step takes it, up to the first that fills it in."""
    estimator = getattr(estimator, "best_estimator_", estimator)
    for step in _steps(estimator) or [estimator]:
        tags = _tags(step)
        if tags is None or not tags.input_tags.allow_nan:
            return _package(step) in ("xgboost", "lightgbm")
        if type(step).__module__.startswith("sklearn.impute"):
            return True
    return True


def calls_own_code(part: Any) -> bool:
    """Whether it is a FunctionTransformer of anything but scikit-learn's own functions, which HistGradientBoosting
    has inside.
    """
    function = getattr(part, "func", None) if type(part).__name__ == "FunctionTransformer" else None
    while isinstance(function, functools.partial):
        function = function.func
    return function is not None and not str(getattr(function, "__module__", "")).startswith("sklearn.")


def _package(estimator: Any) -> str:
    return type(estimator).__module__.partition(".")[0]


def _attribute(estimator: Any, name: str) -> Any:
    """The attribute, also where a `passthrough` first step hides it."""
    for candidate in (estimator, *_steps(getattr(estimator, "best_estimator_", estimator))[:1]):
        found = getattr(candidate, name, None)
        if found is not None:
            return found
    return None


def _steps(estimator: Any) -> list[Any]:
    """The steps of a pipeline that do something; empty for everything else."""
    steps = getattr(estimator, "steps", None)
    if not isinstance(steps, list):
        return []
    return [step for _, step in steps if step is not None and step != "passthrough"]


def fitted_parts(estimator: Any) -> Sequence[Any]:
    """The fitted estimators in a meta-estimator that see its input as it is; empty for a plain estimator."""
    if hasattr(estimator, "calibrated_classifiers_"):
        return [each.estimator for each in estimator.calibrated_classifiers_]
    if hasattr(estimator, "estimators_"):
        parts = [each for each in _flat(estimator.estimators_) if not isinstance(each, str)]
        is_forest = hasattr(estimator, "estimator_") and all(hasattr(part, "tree_") for part in parts)
        return [] if is_forest else parts  # which sees numbers alone, and has many trees
    for name in ("best_estimator_", "estimator_", "regressor_", "classifier_"):
        if hasattr(estimator, name):
            return [getattr(estimator, name)]
    return [estimator.estimator] if type(estimator).__name__ == "FrozenEstimator" else []


def _flat(estimators: Any) -> Iterable[Any]:
    """Out of lists and arrays; a Pipeline is a sequence, too."""
    if isinstance(estimators, list | tuple | np.ndarray):
        return [part for each in estimators for part in _flat(each)]
    return [estimators]


def _seers(estimator: Any) -> Sequence[Any]:
    """The parts of a meta-estimator that see its input as it is, fitted ones where it keeps them; empty for a plain
    estimator.
    """
    if _steps(estimator):
        return _steps(estimator)[:1]
    if fitted := fitted_parts(estimator):
        return fitted
    for name in ("transformer_list", "estimators"):  # FeatureUnion; voting and stacking
        parts = getattr(estimator, name, None)
        if isinstance(parts, list) and parts and isinstance(parts[0], tuple):
            return [part[1] for part in parts if not isinstance(part[1], str)]
    inner = getattr(estimator, "estimator", getattr(estimator, "regressor", None))
    return [] if inner is None or isinstance(inner, str) else [inner]


def _indicators(leaf: Any) -> int | None:
    """The number of outputs of a classifier that answers a 0/1 indicator matrix although its `classes_` are flat;
    else None.
    """
    target = getattr(getattr(leaf, "_label_binarizer", None), "y_type_", "")
    if getattr(leaf, "multilabel_", False) or str(target).startswith("multilabel"):
        return len(leaf.classes_)
    if type(leaf).__module__.startswith("xgboost."):
        config = json.loads(leaf.get_booster().save_config())
        targets = int(config["learner"]["learner_model_param"]["num_target"])
        return targets if targets > 1 else None
    return None


def _tags(estimator: Any) -> "Tags | None":
    if isinstance(estimator, Native):
        return None
    # Who has an estimator has imported scikit-learn; a server of compiled models does not.
    from sklearn.utils import get_tags

    try:
        return get_tags(estimator)
    except (AttributeError, TypeError, ValueError):  # not derived from BaseEstimator, or a pipeline of strangers
        return None

"""A fitted estimator as a model: one call gives predictions, confidences and probabilities, as scikit-learn itself
would.
"""

import math
from collections.abc import Iterator
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

from ..errors import ArtifactError, RefusedByModel
from . import inspection
from .answers import Answers, plain
from .batch import Data
from .client_fault import client_fault, extremes
from .contained import Escaped, contained
from .file_kinds import WRAPPERS
from .formats.native import Native
from .signature import Signature

__all__ = ["Answers", "Model", "require_predict"]

# Classes whose predict is the argmax of predict_proba but for ties: one call gives both. Not so for
# SVC(probability=True), SGD with modified_huber, FixedThresholdClassifier and others. Exact types: a subclass may
# decide otherwise.
_ONE_CALL = {
    "sklearn": frozenset(
        {
            "AdaBoostClassifier",
            "BaggingClassifier",
            "BayesianGaussianMixture",
            "BernoulliNB",
            "CalibratedClassifierCV",
            "CategoricalNB",
            "ComplementNB",
            "DecisionTreeClassifier",
            "ExtraTreeClassifier",
            "ExtraTreesClassifier",
            "GaussianMixture",
            "GaussianNB",
            "GradientBoostingClassifier",
            "HistGradientBoostingClassifier",
            "KNeighborsClassifier",
            "LinearDiscriminantAnalysis",
            "LogisticRegression",
            "LogisticRegressionCV",
            "MLPClassifier",
            "MultinomialNB",
            "QuadraticDiscriminantAnalysis",
            "RandomForestClassifier",
            "VotingClassifier",
        }
    ),
    "xgboost": frozenset({"XGBClassifier", "XGBRFClassifier"}),
    "lightgbm": frozenset({"LGBMClassifier"}),
}
_PASSES_ON = frozenset(
    {
        "FrozenEstimator",
        "GridSearchCV",
        "HalvingGridSearchCV",
        "HalvingRandomSearchCV",
        "Pipeline",
        "RandomizedSearchCV",
    }
)
# Packages, see `_may_change_input`.
_LEAVES_INPUT = frozenset(
    {"builtins", "lightgbm", "numpy", "onnxruntime", "pandas", "scipy", "sklearn", "slipway", "xgboost"}
)
NEAR_TIE = 1e-9  # where predict and predict_proba may round to different sides
_LEAVES = (
    str,
    bytes,
    int,
    float,
    complex,
    type(None),
    type,
    ModuleType,
    FunctionType,
    BuiltinFunctionType,
    MethodType,
    np.generic,
)


class Unanswered(RuntimeError):
    """It answered another number of rows than it was asked, which no value of theirs explains."""


class Model:
    """Answers for one estimator. Thread-safe and picklable as far as the estimator is. Holds it to one thread."""

    def __init__(self, estimator: Any, signature: Signature) -> None:
        single_threaded(estimator)
        self.estimator = estimator
        self.signature = signature
        self.kind = inspection.kind(estimator)
        self._has_probabilities = signature.classes is not None and hasattr(estimator, "predict_proba")
        self._one_call = self._has_probabilities and not signature.multi_output and decides_by_probability(estimator)
        self._both = getattr(estimator, "predict_both", None) if isinstance(estimator, Native) else None
        self.is_short = isinstance(estimator, Native) and estimator.is_short
        self._copies = _may_change_input(estimator)
        self._classes: list[Any] = signature.classes or []
        outputs: list[Any] = self._classes if signature.multi_output else [self._classes]
        self._places = [{value: i for i, value in enumerate(output)} for output in outputs]

    def infer(self, data: Data) -> Answers:
        """Answers n rows. Raises RefusedByModel where extreme or unknown values explain the failure, else an
        Exception, Escaped perhaps.
        """
        try:
            with contained, np.errstate(all="ignore"):
                answers = self._one_call_answers(data) if self._one_call else self._answers(data)
                answers.short = self.is_short
                return answers
        except (RefusedByModel, Unanswered, Escaped, MemoryError):
            raise
        except Exception as error:  # an estimator may raise anything for a value that it does not know
            reason = client_fault(data, self.signature)
            if reason is None:
                raise
            raise RefusedByModel(reason) from error

    def _one_call_answers(self, data: Data) -> Answers:
        probabilities = np.asarray(self.estimator.predict_proba(self._own(data)))
        self._check_length(probabilities, data)
        rows = probabilities.tolist()
        if len(rows) == 1:  # plain floats: numpy's calls cost more than they do on one row
            top = [max(rows[0])]
            best = [rows[0].index(top[0])]
            limit = top[0] - NEAR_TIE
            clear = sum([value > limit for value in rows[0]]) == 1 and math.isfinite(sum(rows[0]))
        else:
            places = probabilities.argmax(axis=1)
            highest = probabilities[np.arange(len(rows)), places]
            clear = np.count_nonzero(probabilities > (highest - NEAR_TIE)[:, None]) == len(rows) and bool(
                np.isfinite(probabilities).all()
            )
            best, top = places.tolist(), highest.tolist()
        if not clear:  # a tie or NaN somewhere: predict has the last word
            return self._answers(data, probabilities)
        return Answers([self._classes[place] for place in best], top, rows)

    def _answers(self, data: Data, probabilities: Any = None) -> Answers:
        if self._both is not None and self._has_probabilities and probabilities is None:
            predictions, probabilities = self._both(data)
        else:
            predictions = self.estimator.predict(self._own(data))
        if hasattr(predictions, "toarray"):  # a sparse indicator matrix
            predictions = predictions.toarray()
        predictions = np.asarray(predictions)
        if predictions.ndim == 2 and predictions.shape[1] == 1 and not self.signature.multi_output:
            predictions = predictions[:, 0]  # fitted on a column of targets: still one output
        self._check_length(predictions, data)
        values = self._finite(predictions, data)
        several = bool(values) and isinstance(values[0], list)
        if not self._has_probabilities or several != self.signature.multi_output:
            return Answers(values, [[None] * len(value) if isinstance(value, list) else None for value in values])
        if probabilities is None:
            probabilities = self.estimator.predict_proba(self._own(data))
        if self.signature.multi_output:
            return self._with_several_outputs(values, probabilities, data)
        rows = self._finite(probabilities, data)
        return Answers(
            values, [_confidence(self._places[0], value, row) for value, row in zip(values, rows, strict=True)], rows
        )

    def _with_several_outputs(self, values: list[Any], probabilities: Any, data: Data) -> Answers:
        """`probabilities`: a list of (n, classes) per output, or one (n, outputs) array with those of each output's
        second class.
        """
        if not isinstance(probabilities, list):
            second = np.asarray(probabilities)
            probabilities = [np.column_stack([1 - column, column]) for column in second.T]
        rows = [list(row) for row in zip(*(self._finite(output, data) for output in probabilities), strict=True)]
        confidences = [
            [
                _confidence(places, value, output)
                for places, value, output in zip(self._places, row_values, row, strict=True)
            ]
            for row_values, row in zip(values, rows, strict=True)
        ]
        return Answers(values, confidences, rows)

    def _own(self, data: Data) -> Data:
        """What one call of the estimator is given. The rows are asked again: for probabilities, by probes."""
        return data.copy() if self._copies else data

    def _check_length(self, answered: Any, data: Data) -> None:
        if len(answered) != len(data):
            raise Unanswered(f"{type(self.estimator).__name__} answered {len(answered)} rows for {len(data)}")

    def _finite(self, values: Any, data: Data) -> list[Any]:
        """As plain values. Where the answer is NaN or infinite, extreme features are refused; otherwise it is None."""
        array = np.asarray(values)
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            reason = extremes(data, self.signature)
            if reason is not None:
                raise RefusedByModel(reason)
        return plain(array)


def require_predict(estimator: Any) -> None:
    """Raises ArtifactError where there is nothing to serve: no predict, or not fitted."""
    if isinstance(estimator, Native):
        return
    # Who has an estimator has imported scikit-learn; a server of compiled models does not.
    from sklearn.exceptions import NotFittedError
    from sklearn.utils.validation import check_is_fitted

    name = type(estimator).__name__
    if isinstance(estimator, type):
        raise ArtifactError(
            f"The file holds the class {estimator.__name__}, not a fitted estimator: dump what fit() returned"
        )
    package = type(estimator).__module__.partition(".")[0]
    if name == "Booster" and package in WRAPPERS:
        way = f"fit {WRAPPERS[package]}" + (", or give it the model with load_model()," if package == "xgboost" else "")
        raise ArtifactError(
            f"The file holds a Booster of {package}, whose predict takes other input than rows: {way} and dump that"
        )
    if isinstance(estimator, dict | list | tuple):
        raise ArtifactError(
            f"A {name} has no predict, it holds {_contents(estimator)}: make the parts one Pipeline, and dump that"
        )
    if not callable(getattr(estimator, "predict", None)):
        remedy = {
            "LocalOutlierFactor": "fit it with novelty=True to give it one",
            "DBSCAN": "it only labels the data it was fitted on; KMeans has one",
            "AgglomerativeClustering": "it only labels the data it was fitted on; KMeans has one",
        }.get(type(inspection.unwrap(estimator)).__name__, "only fitted estimators with predict can be served")
        raise ArtifactError(f"{name} has no predict: {remedy}")
    leaf = inspection.unwrap(estimator)
    if type(leaf).__module__.startswith("sklearn."):  # others need not follow its convention of attributes ending in _
        try:
            check_is_fitted(leaf)
        except NotFittedError:
            raise ArtifactError(f"{name} is not fitted: call fit() before dumping it") from None


def _contents(parts: Any) -> str:
    keys = list(parts) if isinstance(parts, dict) else [type(part).__name__ for part in parts]
    return ", ".join(str(key)[:30] for key in keys[:5]) or "nothing in it"


def decides_by_probability(estimator: Any) -> bool:
    """Whether predict follows from predict_proba. At every level: whatever is not of these exact types may have a
    threshold.
    """
    while (origin := _origin(estimator))[0] == "sklearn" and origin[1] in _PASSES_ON:
        if origin[1] == "Pipeline":
            estimator = estimator.steps[-1][1]
        else:
            estimator = estimator.estimator if origin[1] == "FrozenEstimator" else estimator.best_estimator_
    return origin[1] in _ONE_CALL.get(origin[0], ())


def _origin(part: Any) -> tuple[str, str]:
    """The package and the name of its exact type."""
    return type(part).__module__.partition(".")[0], type(part).__name__


def _may_change_input(estimator: Any) -> bool:
    """Whether a part may write into the rows that it is given: code of the user's own may, and scikit-learn's with
    copy=False.
    """
    return any(
        _origin(part)[0] not in _LEAVES_INPUT or vars(part).get("copy") is False or inspection.calls_own_code(part)
        for part in _parts(estimator)
    )


def _confidence(places: dict[Any, int], prediction: Any, probabilities: list[Any]) -> Any:
    place = places.get(prediction)
    return None if place is None else probabilities[place]


def single_threaded(estimator: Any) -> None:
    """Sets n_jobs = 1 everywhere inside: more slows single rows 5 to 10 times down, and the workers are the
    parallelism.
    """
    for part in _parts(estimator):
        attributes = vars(part)
        package = type(part).__module__.partition(".")[0]
        # There None means all cores, in scikit-learn one.
        one = (1,) if package in ("xgboost", "lightgbm") else (1, None)
        if attributes.get("n_jobs", 1) not in one:
            part.n_jobs = 1
        if package == "xgboost" and hasattr(part, "get_booster") and part.__sklearn_is_fitted__():
            part.get_booster().set_param({"nthread": 1})  # it keeps a number of its own


def _parts(estimator: Any) -> Iterator[Any]:
    """Every object with attributes that can be reached from this one, once."""
    seen: set[int] = set()
    waiting = [estimator]
    while waiting:
        part = waiting.pop()
        if isinstance(part, _LEAVES) or id(part) in seen:
            continue
        seen.add(id(part))
        if isinstance(part, dict):
            waiting.extend(part.values())
        elif isinstance(part, list | tuple | set | frozenset):
            waiting.extend(part)
        elif isinstance(part, np.ndarray):
            if part.dtype == object:  # such as the trees of GradientBoosting
                waiting.extend(part.ravel().tolist())
        elif hasattr(part, "__dict__"):
            yield part
            waiting.extend(vars(part).values())

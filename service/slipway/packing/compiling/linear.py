"""Linear estimators as weights in JSON, with all that comes before them folded in."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn import linear_model
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.multiclass import OneVsRestClassifier
from sklearn.svm import LinearSVC, LinearSVR

from ...model.compiled.decision import Decision, Kind
from ...model.compiled.encoding import Feature, Number, Table
from .candidate import Candidate, CannotCompile

Array = np.ndarray[Any, Any]

LARGEST = float(np.finfo(np.float64).max)

_LOGISTIC = (linear_model.LogisticRegression, linear_model.LogisticRegressionCV, LinearDiscriminantAnalysis)
_WITHOUT_PROBABILITIES = (
    LinearSVC,
    linear_model.Perceptron,
    linear_model.RidgeClassifier,
    linear_model.RidgeClassifierCV,
)
_REGRESSORS = (
    LinearSVR,
    linear_model.ARDRegression,
    linear_model.BayesianRidge,
    linear_model.ElasticNet,
    linear_model.ElasticNetCV,
    linear_model.HuberRegressor,
    linear_model.Lars,
    linear_model.LarsCV,
    linear_model.Lasso,
    linear_model.LassoCV,
    linear_model.LassoLars,
    linear_model.LassoLarsCV,
    linear_model.LassoLarsIC,
    linear_model.LinearRegression,
    linear_model.MultiTaskElasticNet,
    linear_model.MultiTaskElasticNetCV,
    linear_model.MultiTaskLasso,
    linear_model.MultiTaskLassoCV,
    linear_model.OrthogonalMatchingPursuit,
    linear_model.OrthogonalMatchingPursuitCV,
    linear_model.Ridge,
    linear_model.RidgeCV,
    linear_model.SGDRegressor,
    linear_model.TheilSenRegressor,
)
_GENERALIZED = (linear_model.GammaRegressor, linear_model.PoissonRegressor, linear_model.TweedieRegressor)


def is_linear(estimator: Any) -> bool:
    """Whether its score is a weighted sum. Exact types: a subclass may decide otherwise."""
    exactly = (*_LOGISTIC, *_WITHOUT_PROBABILITIES, *_REGRESSORS, *_GENERALIZED, linear_model.SGDClassifier)
    if type(estimator) is OneVsRestClassifier:
        return all(type(part) is linear_model.LogisticRegression for part in estimator.estimators_)
    return type(estimator) in exactly


def compile_linear(
    estimator: Any, features: Sequence[Feature], columns: int, classes: Sequence[Any] | None
) -> Candidate:
    """The form of a linear estimator behind `features`, made of that many columns. Raises CannotCompile."""
    kind = _kind(estimator, classes or ())
    parts = estimator.estimators_ if type(estimator) is OneVsRestClassifier else [estimator]
    weights = np.vstack([np.atleast_2d(np.asarray(part.coef_, dtype=np.float64)) for part in parts])
    bias = np.concatenate([np.ravel(np.asarray(part.intercept_, dtype=np.float64)) for part in parts])
    bias = np.broadcast_to(bias, len(weights)).copy()  # without an intercept it is one 0
    if kind in ("softmax", "one_vs_rest", "one_vs_rest_or_none", "largest") and len(weights) != len(classes or ()):
        raise CannotCompile(f"{type(estimator).__name__} has {len(weights)} scores for {len(classes or ())} classes")
    content = _folded(weights, bias, features) | {"columns": columns, "decision": Decision(kind).content()}
    return Candidate("linear", json.dumps(content, allow_nan=False).encode())


def _kind(estimator: Any, classes: Sequence[Any]) -> Kind:
    if any(isinstance(output, list) for output in classes):
        raise CannotCompile("A classifier of several outputs is not compiled")
    two = len(classes) == 2
    if type(estimator) in _LOGISTIC:
        return "sigmoid" if two else "softmax"
    if type(estimator) is OneVsRestClassifier:
        return "sigmoid" if two else "one_vs_rest_or_none"
    if type(estimator) is linear_model.SGDClassifier:
        if estimator.loss == "modified_huber":
            raise CannotCompile(
                "SGDClassifier with modified_huber has probabilities of its own making, which are not compiled"
            )
        if estimator.loss == "log_loss":
            return "sigmoid" if two else "one_vs_rest"
    if type(estimator) in _GENERALIZED:
        link = type(estimator._base_loss.link).__name__
        if link not in ("LogLink", "IdentityLink"):
            raise CannotCompile(f"The {link} of {type(estimator).__name__} is not compiled")
        return "exponential" if link == "LogLink" else "value"
    if type(estimator) in _REGRESSORS:
        return "value"
    return "sign" if two else "largest"


def _folded(weights: Array, bias: Array, features: Sequence[Feature]) -> dict[str, Any]:
    """The weights (outputs, numbers) as weights of the columns themselves."""
    numbers, tables = [], []
    place = 0
    for feature in features:
        own = weights[:, place : place + feature.width]
        place += feature.width
        if isinstance(feature, Table):
            tables.append(_folded_table(feature, own))
            continue
        factor, shift, largest_factor = 1.0, 0.0, 1.0
        for operator, value in feature.steps:
            match operator:
                case "+":
                    shift += value
                case "-":
                    shift -= value
                case "*":
                    factor, shift = factor * value, shift * value
                case "/":
                    factor, shift = factor / value, shift / value
            largest_factor = max(largest_factor, abs(factor))
        bias += own[:, 0] * shift
        fill = None if feature.missing is None else (_number(feature) - shift) / factor
        numbers.append(
            {
                "column": feature.column,
                "weights": (own[:, 0] * factor).tolist(),
                "fill": fill,
                "limit": LARGEST / largest_factor,
            }
        )
    if place != weights.shape[1]:
        raise CannotCompile(f"The estimator takes {weights.shape[1]} numbers, its preprocessing makes {place}")
    return {"bias": bias.tolist(), "numbers": numbers, "tables": tables}


def _folded_table(table: Table, weights: Array) -> dict[str, Any]:
    entries = [[key, (weights @ np.array(numbers)).tolist()] for key, numbers in table.entries.items()]
    unknown = None if table.unknown is None else (weights @ np.array(table.unknown)).tolist()
    if any(value != value for _, scores in [*entries, [None, unknown or []]] for value in scores):
        raise CannotCompile("An encoder leaves missing values, which a linear model refuses")
    return {"column": table.column, "entries": entries, "unknown": unknown}


def _number(feature: Number) -> float:
    if isinstance(feature.missing, int | float):
        return float(feature.missing)
    raise CannotCompile("A linear model of strings that are not encoded is not compiled")

"""Finds the estimators inside an estimator, fitted ones too, to hold all of them to one thread."""

from collections.abc import Iterator
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

_LEAVES = (str, bytes, int, float, complex, type(None), type, ModuleType, FunctionType, BuiltinFunctionType, MethodType, np.generic)


def single_threaded(estimator: Any) -> None:
    """Sets n_jobs = 1 everywhere inside: more slows single rows 5 to 10 times down, and the workers are the parallelism."""
    for part in _parts(estimator):
        attributes = vars(part)
        package = type(part).__module__.partition(".")[0]
        one = (1,) if package in ("xgboost", "lightgbm") else (1, None)  # there None means all cores, in scikit-learn one
        if attributes.get("n_jobs", 1) not in one:
            part.n_jobs = 1
        if package == "xgboost" and attributes.get("_Booster") is not None:
            part._Booster.set_param({"nthread": 1})  # it keeps a number of its own


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

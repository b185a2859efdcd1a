"""DataFrames of validated rows, each column in the dtype that the estimator was fitted with."""

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from .integers import EXACT, exact_integers, short_floats
from .signature import SHORT_FLOATS, Column, Signature

Row = Sequence[Any]
Build = Callable[[Sequence[Any]], Any]


def frame_builder(signature: Signature) -> Callable[[Sequence[Row]], pd.DataFrame]:
    """How to make a DataFrame of rows (tuples in column order, None where a value is missing)."""
    columns = signature.columns or ()
    if all(column.type == "number" and column.dtype in (None, "float64") for column in columns):
        index = pd.Index(signature.names or ())
        return lambda rows: pd.DataFrame(np.array(rows, dtype=np.float64), columns=index, copy=False)
    builders = [(column.name, _array_builder(column)) for column in columns]

    def frame(rows: Sequence[Row]) -> pd.DataFrame:
        values = zip(*rows, strict=True)
        return pd.DataFrame(
            {name: build(column) for (name, build), column in zip(builders, values, strict=True)}, copy=False
        )

    return frame


def _array_builder(column: Column) -> Build:
    """How to make one column of a DataFrame, in the dtype that the estimator was fitted with."""
    dtype: Any = column.dtype or ""
    if dtype == "category":
        return _categories(column)
    if column.type == "datetime":
        return lambda values: pd.to_datetime(list(values), format="ISO8601", utc="," in dtype).astype(dtype)
    if dtype == "object":
        return _objects(None if column.missing == "None" else np.nan)
    if column.numeric:
        return _numbers(dtype or "float64")
    if column.type == "boolean" and dtype in ("", "bool"):
        return _object_column if column.nullable else lambda values: np.array(values, dtype=bool)
    if column.type == "any":
        return _whatever_fits
    return (lambda values: pd.array(list(values), dtype=dtype)) if dtype else _object_column


def _categories(column: Column) -> Build:
    """The categories that the estimator knows, and behind them what else the rows hold: that is the estimator's to
    refuse or to answer.
    """
    known = list(column.known_categories)
    dtype = pd.CategoricalDtype(known, column.ordered)
    codes = {value: code for code, value in enumerate(known)}
    kinds = set(map(type, known))

    def same_kind(values: Sequence[Any]) -> bool:
        return set(map(type, values)) <= kinds

    def build(values: Sequence[Any]) -> pd.Categorical:
        unknown = list(dict.fromkeys(value for value in values if value is not None and value not in codes))
        if not unknown:
            return pd.Categorical.from_codes([codes.get(value, -1) for value in values], dtype=dtype, validate=False)
        places = codes | {value: len(known) + place for place, value in enumerate(unknown)}
        unknown = [_as_integer(value) if kinds == {int} else value for value in unknown]
        # As objects: among floats, integers beyond 2^53 would not be told apart.
        wider = pd.CategoricalDtype(
            pd.Index([*known, *unknown], dtype=None if same_kind(unknown) else object), column.ordered
        )
        return pd.Categorical.from_codes([places.get(value, -1) for value in values], dtype=wider, validate=False)

    return build


def _as_integer(value: Any) -> Any:
    """JSON knows no difference between 9 and 9.0, and a float beside integers makes objects of them to an estimator."""
    return int(value) if type(value) is float and value.is_integer() and abs(value) < EXACT else value


def _numbers(dtype: str) -> Build:
    if dtype == "float64":
        return lambda values: np.array(values, dtype=np.float64)
    if dtype in SHORT_FLOATS:
        return lambda values: short_floats(values, dtype)
    if dtype.startswith(("int", "uint")) and "[" not in dtype:
        return lambda values: _integers(values, np.dtype(dtype))
    return lambda values: _of_extension(values, dtype)


def _integers(values: Sequence[Any], dtype: "np.dtype[Any]") -> np.ndarray[Any, Any]:
    """Exact where all values are integers; of another dtype where one is missing, has a fraction or does not fit, as
    pandas would.
    """
    whole = [int(value) if type(value) is float and value.is_integer() else value for value in values]
    if all(type(value) is int for value in whole):
        return exact_integers(whole, dtype)
    return np.array(values, dtype=np.float64)


def _of_extension(values: Sequence[Any], dtype: Any) -> Any:
    """A nullable dtype of pandas'; the first that fits where a value is too large for it or has a fraction."""
    for fitting in (dtype, "Int64", "UInt64"):
        with contextlib.suppress(TypeError, ValueError, OverflowError):
            return pd.array(list(values), dtype=fitting)
    return pd.array(list(values), dtype="Float64")


def _whatever_fits(values: Sequence[Any]) -> Any:
    """A column of an unknown type, as pandas would infer it: numbers or booleans where all values are, objects
    otherwise.
    """
    kinds = set(map(type, values))
    if kinds == {int}:
        return _integers(values, np.dtype(np.int64))
    if kinds & {float, int} and kinds <= {float, int, type(None)}:
        return np.array(values, dtype=np.float64)
    return np.array(values, dtype=bool) if kinds == {bool} else _object_column(values)


def _objects(missing: Any) -> Build:
    """Python's own values. OneHotEncoder and others tell None from NaN, of which JSON knows one."""
    return lambda values: pd.Series([missing if value is None else value for value in values], dtype=object)


_object_column = _objects(np.nan)

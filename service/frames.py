"""DataFrames of validated rows, each column in the dtype that the estimator was fitted with."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from .schema import Column, Signature

Row = Sequence[Any]


def frame_builder(signature: Signature) -> Callable[[Sequence[Row]], pd.DataFrame]:
    """How to make a DataFrame of rows (tuples in column order, None where a value is missing)."""
    columns = signature.columns or ()
    if all(column.type == "number" and column.dtype in (None, "float64") for column in columns):
        index = pd.Index(signature.names or ())
        return lambda rows: pd.DataFrame(np.array(rows, dtype=np.float64), columns=index, copy=False)
    builders = [(column.name, _array_builder(column)) for column in columns]

    def frame(rows: Sequence[Row]) -> pd.DataFrame:
        values = zip(*rows, strict=True)
        return pd.DataFrame({name: build(column) for (name, build), column in zip(builders, values, strict=True)}, copy=False)

    return frame


def _array_builder(column: Column) -> Callable[[Sequence[Any]], Any]:
    """How to make one column of a DataFrame, in the dtype that the estimator was fitted with."""
    if column.dtype == "category":
        categories = list(column.observed_categories or ())
        dtype = pd.CategoricalDtype(categories)
        codes = {value: code for code, value in enumerate(categories)}
        # A category that was never seen is missing, as it is when pandas casts to the dtype.
        return lambda values: pd.Categorical.from_codes([codes.get(value, -1) for value in values], dtype=dtype, validate=False)
    if column.dtype == "int64":
        return _integers
    if column.type == "number":
        return lambda values: np.array(values, dtype=np.float64)
    if column.type == "boolean" and not column.nullable:
        return lambda values: np.array(values, dtype=bool)
    if column.type == "string" and column.dtype == "str":
        return lambda values: pd.array(values, dtype="str")
    if column.type == "any":
        return _whatever_fits
    return _object_column


def _integers(values: Sequence[Any]) -> np.ndarray[Any, Any]:
    """int64, for text made of these numbers must read "3" and not "3.0"; float64 where one is no integer."""
    numbers = np.array(values, dtype=np.float64)
    if np.all((np.trunc(numbers) == numbers) & (np.abs(numbers) < 2.0**63)):
        return numbers.astype(np.int64)
    return numbers


def _whatever_fits(values: Sequence[Any]) -> Any:
    """A column of an unknown type: floats or booleans where all values are, objects otherwise."""
    kinds = set(map(type, values))
    if kinds <= {float, int}:
        return np.array(values, dtype=np.float64)
    return np.array(values, dtype=bool) if kinds == {bool} else _object_column(values)


def _object_column(values: Sequence[Any]) -> pd.Series:
    """Objects with NaN for None, which OneHotEncoder would take for a category that it has never seen."""
    return pd.Series([np.nan if value is None else value for value in values], dtype=object)

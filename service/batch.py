"""Validated rows in the form that an estimator takes: an array, a DataFrame or a list of texts."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from .schema import Column, Signature

Row = Sequence[Any]
Data = np.ndarray[Any, Any] | pd.DataFrame | list[str]


@dataclass(slots=True)
class Batch:
    """`data` is what predict is called with: array (n, k), DataFrame of n rows, or n texts. `rows`: the values it was built of."""

    data: Data
    rows: Sequence[Row] | None = None

    def __len__(self) -> int:
        return len(self.data)

    def take(self, indices: Sequence[int]) -> "Batch":
        rows = None if self.rows is None else [self.rows[i] for i in indices]
        if isinstance(self.data, list):
            return Batch([self.data[i] for i in indices], rows)
        if isinstance(self.data, np.ndarray):
            return Batch(self.data[list(indices)], rows)
        return Batch(self.data.take(list(indices)).reset_index(drop=True), rows)

    def key(self, i: int) -> bytes:
        """The exact row i: two rows have the same key only if every value is the same, the sign of zero included."""
        if self.rows is not None:
            return repr(self.rows[i]).encode("utf-8", "surrogatepass")
        row = self.data[i]
        return row.encode("utf-8", "surrogatepass") if isinstance(row, str) else row.tobytes()


def batch_builder(signature: Signature) -> Callable[[Sequence[Row]], Batch]:
    """How to make a Batch of validated rows (tuples in column order, None where a value is missing)."""
    if signature.input == "text":
        return lambda rows: Batch([row[0] for row in rows])
    columns = signature.columns
    if columns is None or all(column.type in ("number", "boolean") and column.dtype in (None, "float64") for column in columns):
        if signature.input == "array":
            return lambda rows: Batch(np.array(rows, dtype=np.float64))
        if all(column.type == "number" for column in columns or ()):
            index = pd.Index(signature.names or ())
            return lambda rows: Batch(pd.DataFrame(np.array(rows, dtype=np.float64), columns=index, copy=False), rows)
    assert columns is not None  # unknown columns are numbers in an array
    if signature.input == "array":
        return lambda rows: Batch(_objects(rows, len(columns)), rows)
    builders = [(column.name, _array_builder(column)) for column in columns]

    def frame(rows: Sequence[Row]) -> Batch:
        values = zip(*rows, strict=True)
        return Batch(pd.DataFrame({name: build(column) for (name, build), column in zip(builders, values, strict=True)}, copy=False), rows)

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


def _objects(rows: Sequence[Row], width: int) -> np.ndarray[Any, Any]:
    array = np.empty((len(rows), width), dtype=object)
    for i, row in enumerate(rows):
        array[i] = [np.nan if value is None else value for value in row]
    return array

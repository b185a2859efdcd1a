"""Validated rows in the form that a model takes: an array, a DataFrame, a list of texts, or the rows themselves."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from .integers import EXACT, exact_integers, short_floats
from .signature import Signature

if TYPE_CHECKING:
    import pandas as pd

Row = Sequence[Any]
Data: TypeAlias = "np.ndarray[Any, Any] | pd.DataFrame | list[Any]"


@dataclass(slots=True)
class Batch:
    """`data` is what a model is asked: array (n, k), DataFrame of n rows, list of n texts or rows. `rows`: the
    values it was built of.
    """

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

    @property
    def form(self) -> Any:
        """Batches of one model whose forms are equal can be joined: no row reaches the estimator in another type
        than it would alone.
        """
        if isinstance(self.data, list):
            return list
        if isinstance(self.data, np.ndarray):
            return self.data.dtype, self.data.shape[1:]
        return tuple(self.data.dtypes)

    def key(self, i: int) -> bytes:
        """The exact row i: two rows have the same key only if every value is the same, the sign of zero included."""
        if self.rows is not None:
            return repr(self.rows[i]).encode("utf-8", "surrogatepass")
        row = self.data[i]
        return row.encode("utf-8", "surrogatepass") if isinstance(row, str) else row.tobytes()


def batch_of_rows(rows: list[Row]) -> Batch:
    """For a compiled form, which takes validated rows as they are."""
    return Batch(rows, rows)


def batch_builder(signature: Signature) -> Callable[[Sequence[Row]], Batch]:
    """How to make a Batch for an estimator of validated rows (tuples in column order, None where a value is
    missing).
    """
    if signature.input == "text":
        return lambda rows: Batch([row[0] for row in rows])
    if signature.input == "frame":
        from .frames import frame_builder  # only a server that has such a model pays for pandas

        frame = frame_builder(signature)
        return lambda rows: Batch(frame(rows), rows)
    columns = signature.columns or ()
    if signature.of_objects:
        missing = [None if column.missing == "None" else np.nan for column in columns]
        return lambda rows: Batch(_objects(rows, missing), rows)
    dtype = signature.float_dtype
    if dtype != "float64":
        return lambda rows: Batch(short_floats(rows, dtype), rows)
    if columns and all(column.keeps_integers for column in columns):
        return lambda rows: Batch(_integers(rows), rows)
    if any(column.keeps_integers for column in columns):
        return lambda rows: Batch(np.array(rows, dtype=np.float64), rows)
    return lambda rows: Batch(np.array(rows, dtype=np.float64))


def _integers(rows: Sequence[Row]) -> np.ndarray[Any, Any]:
    """Floats, in which most estimators compute anyway; integers where floats would lose digits of one."""
    numbers = np.array(rows, dtype=np.float64)
    if np.abs(numbers).max(initial=0) < EXACT or not all(type(value) is int for row in rows for value in row):
        return numbers
    return exact_integers([value for row in rows for value in row], np.dtype(np.int64)).reshape(numbers.shape)


def _objects(rows: Sequence[Row], missing: Sequence[Any]) -> np.ndarray[Any, Any]:
    """`missing`: what stands for a missing value, by column."""
    array = np.empty((len(rows), len(missing)), dtype=object)
    for i, row in enumerate(rows):
        array[i] = [none if value is None else value for value, none in zip(row, missing, strict=True)]
    return array

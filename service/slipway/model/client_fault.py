"""Whether the rows explain why an estimator failed: values or categories far from everything that it was trained on."""

from typing import TYPE_CHECKING, Any

import numpy as np

from .batch import Data
from .signature import Column, Signature

if TYPE_CHECKING:
    import pandas as pd

FAR_OUTSIDE = 10  # times the size of what was observed
FLOAT32_MAX = float(np.finfo(np.float32).max)


def client_fault(data: Data, signature: Signature) -> str | None:
    """A sentence where the rows explain why an estimator failed; None where it failed by itself.

    Whatever it raised: XGBoost alone has ValueError, TypeError and AssertionError for an unknown category, by its
    value.
    """
    columns = signature.columns
    if columns is None:
        return "The model cannot use these features: check their number, for it does not tell how many it expects"
    if untold := [column.name for column in columns if column.type == "any"]:
        what = f"nothing tells the types of {_some(untold)}, check them against its training data"
        return f"The model cannot use these features: {what}"
    unknown = _unknown_categories(data, columns)
    if unknown:
        return (
            f"The model cannot use these features: {_some(unknown)} may hold a category that was not in its training "
            "data"
        )
    return extremes(data, signature)


def extremes(data: Data, signature: Signature) -> str | None:
    """A sentence naming the number columns with a value that no float32 holds, or absurdly far outside of what was
    observed.
    """
    if isinstance(data, list) or signature.columns is None:
        return None
    names = [
        column.name
        for i, column in enumerate(signature.columns)
        if column.numeric and column.dtype != "category" and _is_extreme(_values(data, i), column)
    ]
    return (
        f"The model cannot use these features: {_some(names)} lies too far outside of its training data"
        if names
        else None
    )


def _is_extreme(values: np.ndarray[Any, Any], column: Column) -> bool:
    low, high = column.observed_minimum, column.observed_maximum
    if low is None or high is None:
        return bool((np.abs(values) > FLOAT32_MAX).any())
    margin = FAR_OUTSIDE * max(high - low, abs(low), abs(high))
    return bool(((values < low - margin) | (values > high + margin) | (np.abs(values) > FLOAT32_MAX)).any())


def _unknown_categories(data: Data, columns: tuple[Column, ...]) -> list[str]:
    """The string columns with a value that was not observed, or where what was observed is not known."""
    if isinstance(data, list):
        return []
    found = []
    for i, column in enumerate(columns):
        if column.type == "string" or column.dtype == "category":
            known = set(column.known_categories)
            values = _values(data, i, dtype=object).tolist()
            if not known or any(_is_value(value) and value not in known for value in values):
                found.append(column.name)
    return found


def _is_value(value: Any) -> bool:
    """Not a missing one: neither None, NaN nor pandas' NA."""
    return isinstance(value, bool | int | float | str) and value == value


def _values(data: "np.ndarray[Any, Any] | pd.DataFrame", i: int, dtype: Any = np.float64) -> np.ndarray[Any, Any]:
    if isinstance(data, np.ndarray):
        return data[:, i].astype(dtype)
    # No float is made of pandas' NA otherwise.
    return data.iloc[:, i].to_numpy(dtype=dtype, na_value=np.nan)


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (" and others" if len(names) > 5 else "")

"""Integers of which no digit is lost, where floats would lose some, and floats of fewer digits."""

from collections.abc import Sequence
from typing import Any

import numpy as np

EXACT = 2.0**53  # from here on floats pass over integers


def exact_integers(values: Sequence[int], dtype: "np.dtype[Any]") -> np.ndarray[Any, Any]:
    """Of this dtype or of one of 64 bits that holds them all; floats where none does. numpy itself would mix two
    kinds into floats.
    """
    low, high = min(values), max(values)
    for fitting in (dtype, np.dtype(np.int64), np.dtype(np.uint64)):
        limits = np.iinfo(fitting)
        if limits.min <= low and high <= limits.max:
            return np.array(values, dtype=fitting)
    return np.array(values, dtype=np.float64)


def short_floats(values: Sequence[Any], dtype: str) -> np.ndarray[Any, Any]:
    """What no short float holds becomes an infinity, which an estimator refuses."""
    with np.errstate(over="ignore"):
        return np.array(values, dtype=np.float64).astype(dtype)

"""Integers of which no digit is lost, where floats would lose some."""

from collections.abc import Sequence
from typing import Any

import numpy as np

EXACT = 2.0**53  # from here on floats pass over integers


def exact_integers(values: Sequence[int], dtype: "np.dtype[Any]") -> np.ndarray[Any, Any]:
    """Of this dtype or of one of 64 bits that holds them all; floats where none does. numpy itself would mix two kinds into floats."""
    low, high = min(values), max(values)
    for fitting in (dtype, np.dtype(np.int64), np.dtype(np.uint64)):
        limits = np.iinfo(fitting)
        if limits.min <= low and high <= limits.max:
            return np.array(values, dtype=fitting)
    return np.array(values, dtype=np.float64)

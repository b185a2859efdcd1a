"""The population stability index: how far shares have moved from others. The recording rule in the chart computes
the same.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

FLOOR = 0.001  # of a share: the logarithm has no use for empty bins
SOME, MUCH = 0.1, 0.25  # from here on a shift is worth a look, and an alert
FEWEST_ROWS = 500  # with fewer, rows that have not changed have a PSI of some hundredths by chance


def shares(counts: Array) -> Array:
    """Of all that is counted; zeros where nothing is."""
    total = counts.sum()
    return counts / total if total else np.zeros(len(counts))


def psi(reference: Sequence[float] | Array, current: Sequence[float] | Array) -> float:
    """Of two sequences of shares by bin: 0 where they are equal."""
    expected, actual = np.maximum(reference, FLOOR), np.maximum(current, FLOOR)
    return float(np.sum((actual - expected) * np.log(actual / expected)))


def kolmogorov_smirnov(reference: Array, current: Array) -> float:
    """The largest distance of two distribution functions where bins end, of shares by ascending bin; 0 to 1."""
    return float(np.max(np.abs(np.cumsum(_normalised(reference)) - np.cumsum(_normalised(current))), initial=0.0))


def _normalised(found: Array) -> Array:
    total = found.sum()
    return found / total if total else found

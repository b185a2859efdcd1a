"""What a compiled model raises where its estimator would have failed: the rows are to blame, or the model is."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..client_fault import client_fault, extremes
from ..errors import RefusedByModel
from ..schema import Signature
from .encoding import Row

Array = np.ndarray[Any, Any]


def refusal(rows: Sequence[Row] | Array, signature: Signature, error: Exception) -> Exception:
    """RefusedByModel where the rows explain the error, else the error itself."""
    reason = client_fault(_data(rows), signature, error)
    return error if reason is None else RefusedByModel(reason)


def check_extremes(rows: Sequence[Row] | Array, signature: Signature) -> None:
    """Raises RefusedByModel where the rows explain why an answer is no number."""
    reason = extremes(_data(rows), signature)
    if reason is not None:
        raise RefusedByModel(reason)


def _data(rows: Sequence[Row] | Array) -> Array:
    return rows if isinstance(rows, np.ndarray) else np.array(rows, dtype=object)

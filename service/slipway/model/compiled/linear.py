"""Scores of a linear model in plain Python floats, its preprocessing folded into the weights: on one row it needs no
library.
"""

import json
import math
from collections.abc import Callable, Sequence
from itertools import repeat
from operator import add, itemgetter, mul
from typing import Any

import numpy as np

from .encoding import Row, Unusable, columns_of, keys

Array = np.ndarray[Any, Any]

PLAIN_PRODUCTS = 200  # more multiplications than these are quicker with numpy, its overhead included
TIE = 1e-6  # scores this close may change places by the order in which their parts are added up
SUSPICIOUS = 1e250  # a score beyond it: the estimator's own steps may have overflowed on the way


class LinearCore:
    """scores = bias + weights · numbers + the tables' entries. Thread-safe: nothing in it changes."""

    def __init__(self, content: bytes, nullable: bool) -> None:
        parts = json.loads(content)
        self.decision: dict[str, Any] = parts["decision"]
        self._bias = np.array(parts["bias"])
        numbers = parts["numbers"]
        self._columns = [number["column"] for number in numbers]
        self._is_all = self._columns == list(range(parts["columns"]))
        self._pick = _picker(self._columns, self._is_all)
        self._weights = np.array([number["weights"] for number in numbers]).reshape(len(numbers), len(self._bias))
        self._outputs = list(zip(self._weights.T.tolist(), self._bias.tolist(), strict=True))
        self._plain = self._weights.size <= PLAIN_PRODUCTS
        self._nullable = nullable
        self._fills = [math.nan if number["fill"] is None else number["fill"] for number in numbers]
        self._limits = np.array([number["limit"] for number in numbers])
        self._tables = [
            (table["column"], dict(map(tuple, table["entries"])), table["unknown"]) for table in parts["tables"]
        ]

    def one(self, row: Row) -> list[float]:
        numbers = self._pick(row)
        if self._nullable and None in numbers:
            numbers = [fill if number is None else number for number, fill in zip(numbers, self._fills, strict=True)]
        if self._plain:
            scores = [sum(map(mul, weights, numbers), bias) for weights, bias in self._outputs]
        else:
            scores = (np.dot(numbers, self._weights) + self._bias).tolist()
        for column, entries, unknown in self._tables:
            entry = entries.get(row[column], unknown)
            if entry is None:
                raise Unusable("Found an unknown category")
            scores = list(map(add, scores, entry))
        for score in scores:
            if not -SUSPICIOUS < score < SUSPICIOUS:
                self._check_overflow(np.array([numbers], dtype=np.float64))
        if _is_tie(scores):
            summed: list[float] = self.many([row])[0].tolist()  # in the order in which the estimator adds up
            return summed
        return scores

    def many(self, rows: Sequence[Row] | Array) -> Array:
        if self._is_all and not self._tables:
            numbers = np.asarray(rows, dtype=np.float64)
        else:
            columns = columns_of(rows)
            numbers = np.array([columns[column] for column in self._columns], dtype=np.float64).reshape(-1, len(rows)).T
        missing = np.isnan(numbers)
        if missing.any():
            numbers = np.where(missing, self._fills, numbers)
        scores: Array = numbers @ self._weights + self._bias
        for column, entries, unknown in self._tables:
            found = list(map(entries.get, keys(columns[column]), repeat(unknown)))
            if None in found:
                raise Unusable("Found an unknown category")
            scores += np.array(found)
        if not (np.abs(scores) < SUSPICIOUS).all():
            self._check_overflow(numbers)
        return scores

    def _check_overflow(self, numbers: Array) -> None:
        """Raises where a scaler of the estimator would have made an infinity of a number."""
        if (np.abs(numbers) > self._limits).any():
            raise Unusable("Input contains infinity or a value too large")


def _is_tie(scores: list[float]) -> bool:
    if len(scores) == 1:
        return -TIE < scores[0] < TIE
    close = max(scores) - TIE
    return sum([score > close for score in scores]) > 1


def _picker(columns: list[int], is_all: bool) -> Callable[[Row], Sequence[Any]]:
    """From a row to the values of some columns."""
    if is_all:
        return lambda row: row
    if len(columns) < 2:
        return lambda row: [row[column] for column in columns]
    return itemgetter(*columns)

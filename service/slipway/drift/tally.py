"""Rows and answers of a model, counted by the bins of a distribution."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..model.distribution import Distribution
from .bins import Array, Bins


class Tally:
    """Counts by bin, for each variable of a distribution. `columns`: the names of a row's values, in their order."""

    def __init__(self, distribution: Distribution, columns: Sequence[str]) -> None:
        self.distribution = distribution
        self.rows = 0
        self.counts = {
            part: [np.zeros(len(each.bins), dtype=np.int64) for each in found]
            for part, found in distribution.parts.items()
        }
        self._features = [Bins(each) for each in distribution.features]
        self._places = [columns.index(each.name) for each in distribution.features]
        self._predictions = [Bins(each) for each in distribution.predictions]
        self._confidences = [Bins(each) for each in distribution.confidences]
        self._block = len(self._places) == len(columns) and all(bins.kind == "number" for bins in self._features)

    def add(self, values: Sequence[Any] | Array, predictions: Sequence[Any], confidences: Sequence[Any]) -> None:
        """`values`: rows in column order with None for missing values, an array with NaN for them, or the texts of a
        text model.
        """
        self.rows += len(values)
        if len(values) and isinstance(values[0], str):
            values = [(text,) for text in values]
        if self._block and not isinstance(values, np.ndarray):
            values = np.array(values, dtype=np.float64)
        counts = self.counts["feature"]
        if isinstance(values, np.ndarray):
            columns = np.ascontiguousarray(values.T, dtype=np.float64)
            for count, bins, place in zip(counts, self._features, self._places, strict=True):
                count += bins.count_array(columns[place])
        else:
            for count, bins, place in zip(counts, self._features, self._places, strict=True):
                count += bins.count([row[place] for row in values])
        several = bool(predictions) and isinstance(predictions[0], list)
        for part, found, answers in (
            ("prediction", self._predictions, predictions),
            ("confidence", self._confidences, confidences),
        ):
            for output, bins in enumerate(found):
                self.counts[part][output] += bins.count([row[output] for row in answers] if several else answers)

    def clear(self) -> None:
        self.rows = 0
        for found in self.counts.values():
            for count in found:
                count.fill(0)

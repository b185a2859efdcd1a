"""Bins: made of the values of a variable, and other values of it counted by them. The same code when packing and
when serving.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import ROUND_CEILING, Context, Decimal
from typing import Any

import numpy as np

from ..model.distribution import MISSING, OTHER, Kind, Variable, value_label

Array = np.ndarray[Any, Any]

QUANTILE_BINS = 10
MOST_VALUES = 20  # categories with a bin of their own
ROWS_PER_BIN = 25  # fewer bins where there are fewer rows: each adds 1 / rows to the PSI of data that has not changed
LONGEST_LABEL = 100  # characters of a category's name in a metric
_RARE = 0.001  # share of rows that an edge may pass for the sake of fewer digits


class Bins:
    """Counts values by the bins of a variable: arrays of counts, parallel to its `bins`, the last of missing values."""

    def __init__(self, variable: Variable) -> None:
        self.kind: Kind = variable.kind
        self.size = len(variable.bins)
        self._edges = np.array(variable.edges)
        self._places = {value: place for place, value in enumerate(variable.values)}

    def count(self, values: Sequence[Any]) -> Array:
        """Of JSON values, None where one is missing."""
        if self.kind == "number":
            return self.count_array(np.array(values, dtype=np.float64))
        if self.kind == "length":
            return self.count_array(
                np.array([None if value is None else len(value) for value in values], dtype=np.float64)
            )
        counts = np.zeros(self.size, dtype=np.int64)
        other = self.size - 2
        for value, rows in Counter(values).items():
            counts[-1 if value is None else self._places.get(value, other)] += rows
        return counts

    def count_array(self, values: Array) -> Array:
        """Of floats, NaN where one is missing."""
        if self.kind == "category":
            return self.count([None if value != value else value for value in values.tolist()])
        counts = np.bincount(np.searchsorted(self._edges, values), minlength=self.size)
        missing = np.count_nonzero(values != values)  # they sort behind the last edge
        counts[-2] -= missing
        counts[-1] = missing
        return counts


def learn(name: str, kind: Kind, values: Sequence[Any], labels: Mapping[Any, str] | None = None) -> Variable:
    """The bins of a variable, and the shares of its JSON values in them. `labels`: names of a category's values."""
    present = [value for value in values if value is not None]
    most = max(2, len(values) // ROWS_PER_BIN)
    edges: tuple[float, ...] = ()
    chosen: tuple[Any, ...] = ()
    names: tuple[str, ...] | None = None
    if kind == "length":
        edges = _edges(np.array([len(value) for value in present], dtype=np.float64), min(QUANTILE_BINS, most))
    elif kind == "number":
        numbers = np.array(present, dtype=np.float64)
        edges = _edges(numbers, min(QUANTILE_BINS, most))
        if not edges:  # one value or none: a bin for it, and one for all others
            kind, present = "category", numbers.tolist()
    if kind == "category":
        chosen = _frequent(present, labels, min(MOST_VALUES, most))
        names = None if labels is None else tuple(labels[value] for value in chosen)
    facts = {"name": name, "kind": kind, "edges": edges, "values": chosen, "labels": names}
    empty = Variable.model_validate(facts | {"shares": (0.0,) * (len(edges or chosen) + 2)})
    counts = Bins(empty).count(values)
    return empty.model_copy(update={"shares": tuple((counts / max(len(values), 1)).round(6).tolist())})


def _edges(values: Array, bins: int) -> tuple[float, ...]:
    """Up to bins - 1 of them. Where many values are equal, they have a bin to themselves or share it with smaller
    ones.
    """
    distinct, ordered = np.unique(values), np.sort(values)
    if distinct.size <= bins:
        return _short(distinct[:-1], ordered, 0)
    quantiles = np.quantile(ordered, np.linspace(0, 1, bins + 1)[1:-1], method="inverted_cdf")
    # The largest value, where it is frequent, has what is behind the last edge to itself.
    return _short(np.unique(np.minimum(quantiles, distinct[-2])), ordered, int(_RARE * ordered.size))


def _short(edges: Array, ordered: Array, slack: int) -> tuple[float, ...]:
    """The edges moved up to numbers of few digits, past none of the values or past `slack` of them: people read the
    bins.
    """
    ends = ordered[np.searchsorted(ordered, edges, side="right") + slack]
    contexts = [Context(prec=digits, rounding=ROUND_CEILING) for digits in range(2, 18)]
    found = []
    for edge, end in zip(edges.tolist(), ends.tolist(), strict=True):
        rounded = (float(context.plus(Decimal(repr(edge)))) for context in contexts)
        found.append(next((short for short in rounded if edge <= short < end), edge))
    return tuple(np.unique(found).tolist())


def _frequent(values: Sequence[Any], labels: Mapping[Any, str] | None, most: int) -> tuple[Any, ...]:
    """The most frequent values whose names are short, and no two of them alike."""
    taken, chosen = {OTHER, MISSING}, []
    for value, _ in Counter(values).most_common():
        label = value_label(value) if labels is None else labels.get(value)
        if label is None or len(label) > LONGEST_LABEL or label in taken:
            continue
        taken.add(label)
        chosen.append(value)
        if len(chosen) == most:
            break
    return tuple(chosen)

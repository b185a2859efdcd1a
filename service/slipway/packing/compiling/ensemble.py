"""Decision trees of any library as arrays, on their way into a graph."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...model.compiled.decision import Decision

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Tree:
    """A node goes left where its feature <= threshold, or where it is missing and `missing_left` says so; a leaf has
    left = -1.

    `value` (nodes, len(targets)) adds to the scores `targets`. `members`: nodes that instead go left where the feature
    is one of these.
    """

    feature: Array
    threshold: Array
    left: Array
    right: Array
    missing_left: Array
    value: Array
    targets: Sequence[int]
    members: Mapping[int, Sequence[float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Ensemble:
    """Scores are sums over the trees in their order.

    `single`: features are rounded to float32 before they are compared; `finite`: those that become an infinity then are
    refused.
    """

    trees: Sequence[Tree]
    outputs: int
    decision: Decision
    single: bool
    finite: bool = True


def constant(values: Sequence[float], targets: Sequence[int]) -> Tree:
    """A tree of one leaf: a sum that begins, or ends, with something."""
    nothing = np.full(1, -1)
    return Tree(
        nothing, np.zeros(1), nothing, nothing, np.zeros(1, dtype=bool), np.array([values], dtype=np.float64), targets
    )

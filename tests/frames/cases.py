"""One case: a frame, an estimator fitted on the whole of it, the rows that the packer is given, and rows beyond the
frame.
"""

import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from hypothesis import strategies as st

from tests.frames.columns import Column, columns, series
from tests.frames.estimators import kinds_of, pipelines

CLASSES: tuple[list[Any], ...] = ([0, 1], ["no", "yes"], [False, True], ["NA", "None", "1"], [3, 1, 2])
MOST_VALUES = 10  # of a column, or more
Row = tuple[Any, ...]


@dataclass(frozen=True, repr=False)
class Case:
    """`rows`: of the training frame, the first `sample` of which the packer is given. `outside`: rows with a value that
    the frame lacks.

    `turn`: which of the ways are gone where not all are.
    """

    columns: tuple[Column, ...]
    rows: list[Row]
    sample: int
    outside: list[tuple[int, Row]]
    targets: Any
    estimator: Any
    turn: int = 0

    def frame(self, rows: Sequence[Row]) -> pd.DataFrame:
        values = zip(*rows, strict=True)
        return pd.DataFrame(
            {column.name: series(column, cells) for column, cells in zip(self.columns, values, strict=True)}
        )

    @cached_property
    def training(self) -> pd.DataFrame:
        return self.frame(self.rows)

    def fit(self) -> bool:
        """Whether the estimator takes such columns: that is its own affair."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                self.estimator.fit(self.training, self.targets).predict(self.training)
            except Exception:  # it may raise anything
                return False
        return True

    def lacks(self, row: Row) -> list[str]:
        """The columns of which no row of the sample has a value of this row's kind, or misses one as this row does."""
        return [
            column.name
            for i, column in enumerate(self.columns)
            if _kind(row[i]) not in {_kind(known[i]) for known in self.rows[: self.sample]}
        ]

    def __str__(self) -> str:
        lines = [f"  {column}" for column in self.columns]
        # XGBoost shows all that was not set.
        estimator = re.sub(r"\w+=None, ", "", " ".join(repr(self.estimator).split()))
        return "\n".join(
            [f"{len(self.rows)} rows, the packer is given the first {self.sample}", *lines, f"  {estimator[:1500]}"]
        )


def _kind(value: Any) -> type:
    return type(value) if value is None or isinstance(value, bool | str) else object


@st.composite
def cases(draw: Any, family: str, most_columns: int = 4) -> Case:
    bare = family != "ensemble" and draw(st.booleans())
    kinds = kinds_of(family, bare=bare)
    if family == "ensemble" and draw(st.booleans()):
        kinds = kinds_of("hist", bare=True)
    drawn = tuple(draw(columns(f"c{i}", kinds)) for i in range(draw(st.integers(1, most_columns))))
    classifies = draw(st.booleans())
    estimator = draw(pipelines(family, drawn, bare=bare, classifies=classifies))
    sample = draw(st.integers(4, 16))
    count = sample + draw(st.integers(MOST_VALUES, 40))
    known = [draw(st.integers(1, len(column.pool))) for column in drawn]
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    places = np.array(
        [_places(rng, len(column.pool), k, count, sample) for column, k in zip(drawn, known, strict=True)]
    ).T
    rows = [tuple(column.pool[place] for column, place in zip(drawn, row, strict=True)) for row in places.tolist()]
    names = CLASSES[0] if family == "xgboost" else draw(st.sampled_from(CLASSES))
    targets = _targets(rng, drawn, places, names if classifies else None)
    return Case(drawn, rows, sample, list(_outside(rng, drawn, rows)), targets, estimator, int(rng.integers(4)))


def _places(rng: np.random.Generator, size: int, known: int, count: int, sample: int) -> Any:
    """Places in a pool: only the last `known` of it in the sample, all of it in the rest."""
    return np.concatenate(
        [rng.integers(size - known, size, sample), np.arange(size), rng.integers(0, size, count - sample - size)]
    )


def _targets(rng: np.random.Generator, drawn: Sequence[Column], places: Any, classes: list[Any] | None) -> Any:
    """Every value of every column counts."""
    scores = sum(rng.normal(size=len(column.pool))[places[:, i]] for i, column in enumerate(drawn)) + rng.normal(
        0, 0.1, len(places)
    )
    if classes is None:
        return scores
    ranks = np.argsort(np.argsort(scores)) * len(classes) // len(scores)
    return np.array(classes)[ranks]


def _outside(rng: np.random.Generator, drawn: Sequence[Column], rows: list[Row]) -> Iterator[tuple[int, Row]]:
    for i, column in enumerate(drawn):
        for value in column.outside:
            row = rows[int(rng.integers(len(rows)))]
            yield i, (*row[:i], value, *row[i + 1 :])

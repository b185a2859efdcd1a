"""Two periods of the prediction log, or one and the training distribution, counted by the same bins in constant
memory.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from re import fullmatch
from typing import Any, NamedTuple

import numpy as np
from pydantic_core import from_json

from ..errors import ArtifactError
from ..model.answers import Answers
from ..model.distribution import Distribution, Variable
from ..model.signature import Column, Signature
from .bins import Array
from .learning import FEWEST_ROWS, learn_distribution
from .psi import FEWEST_ROWS as FEWEST_OF_INDEX
from .psi import kolmogorov_smirnov, psi, shares
from .tally import Tally

COLUMNS = ("time", "features", "answer", "confidence")  # of the log, that a period is read with
SLICES = 24  # of the current period: when a drift began
SAMPLE = 10_000  # rows of the reference that bins are learned from, where there is no training distribution

HASHED = "[0-9a-f]{64}"  # what the log keeps of a column in log_hash

Page = Sequence[tuple[Any, ...]]
Read = Callable[["Period"], Iterable[Page]]


class Period(NamedTuple):
    """start <= time < end, both aware."""

    start: datetime
    end: datetime

    def __str__(self) -> str:
        return f"{_short(self.start)} to {_short(self.end)}"


class Compared(NamedTuple):
    """One variable: shares by bin, parallel to its `bins`; `slices`: the PSI of each slice of the current period,
    None of few rows.
    """

    part: str
    variable: Variable
    reference: Array
    current: Array
    psi: float
    slices: list[float | None]

    @property
    def ks(self) -> float | None:
        """None where bins have no order."""
        return None if self.variable.kind == "category" else kolmogorov_smirnov(self.reference[:-1], self.current[:-1])


class Drift(NamedTuple):
    """What a report shows. `reference` None: the training distribution; `left_out`: rows that do not have the model's
    columns.

    `unusable`: columns that the log does not hold, or only as hashes.
    """

    reference: Period | None
    current: Period
    reference_rows: int
    current_rows: int
    left_out: int
    unusable: list[str]
    variables: list[Compared]


class _Rows:
    """The rows of a page as a tally takes them. `columns` None: those of the first row, and so with `outputs`, the
    names of several.

    `unusable`: columns that the log does not hold as they are.
    """

    def __init__(self, columns: Sequence[str] | None, outputs: Sequence[str] | None) -> None:
        self.columns = columns
        self.outputs = outputs
        self.left_out = 0
        self.unusable: set[str] = set()

    def read(self, page: Page) -> tuple[list[datetime], list[list[Any]], list[Any], list[Any]]:
        """Times, values in column order, predictions, confidences. Rows of other columns, or replaced by a note, are
        passed over.
        """
        times: list[datetime] = []
        rows: list[list[Any]] = []
        predictions, confidences = [], []
        for time, features, text, confidence in page:
            found, answer = from_json(features), from_json(text)
            names = self.columns = self.columns or (
                tuple(found) if isinstance(found, dict) else tuple(f"x{i}" for i in range(len(found)))
            )
            if isinstance(found, dict):
                row = [found.get(name) for name in names]
                usable = names[0] in found or not found.keys().isdisjoint(names)
            else:
                row, usable = found, len(found) == len(names)
            if isinstance(answer, dict):
                answer = self._listed(answer)
            if not usable or answer is None:
                self.left_out += 1
                continue
            if not rows:
                self._look_at(found, names, row)
            times.append(time)
            rows.append(row)
            predictions.append(answer)
            confidences.append(confidence)
        if self.unusable:
            gone = [place for place, name in enumerate(self.columns or ()) if name in self.unusable]
            for row in rows:
                for place in gone:
                    row[place] = None
        return times, rows, predictions, confidences

    def _listed(self, answer: dict[str, Any]) -> list[Any] | None:
        """What was answered per output, in their order; None of what is no answer, but a note in its place."""
        if self.outputs is None and len(answer) > 1:
            self.outputs = tuple(answer)
        return [answer[name] for name in self.outputs] if self.outputs and answer.keys() == set(self.outputs) else None

    def _look_at(self, found: Any, names: Sequence[str], row: Sequence[Any]) -> None:
        """One row of a page tells which columns were left out of the log, or hashed."""
        if isinstance(found, dict):
            self.unusable.update(name for name in names if name not in found)
        self.unusable.update(
            name for name, value in zip(names, row, strict=True) if isinstance(value, str) and fullmatch(HASHED, value)
        )


def compare(
    distribution: Distribution | None,
    columns: Sequence[str] | None,
    reference: Period | None,
    current: Period,
    read: Read,
    outputs: Sequence[str] | None = None,
) -> Drift:
    """`read` gives the pages of a period, with COLUMNS, in the order of time. Without a distribution the reference
    gives the bins.

    Raises ArtifactError, in one sentence, where there is nothing to compare.
    """
    reader = _Rows(columns, outputs)
    if distribution is None:
        if reference is None:
            raise ArtifactError(
                "This model was packed without a training distribution: name a period of the log with --reference"
            )
        distribution = _learned(reader, reference, read)
    # The log has no confidences of several outputs.
    if distribution.predictions and distribution.predictions[0].name != "prediction":
        distribution = Distribution(
            rows=distribution.rows, features=distribution.features, predictions=distribution.predictions
        )
    names = reader.columns or ()
    before = Tally(distribution, names)
    if reference is not None:
        for page in read(reference):
            _, rows, predictions, confidences = reader.read(page)
            before.add(rows, predictions, confidences)
        _require(before.rows, reference)
    slices = [Tally(distribution, names) for _ in range(SLICES)]
    width = (current.end - current.start) / SLICES
    for page in read(current):
        times, rows, predictions, confidences = reader.read(page)
        for number, at in _spans(times, current.start, width):
            slices[number].add(rows[at], predictions[at], confidences[at])
    total = sum(each.rows for each in slices)
    _require(total, current)
    variables = []
    for part, found in distribution.parts.items():
        for i, variable in enumerate(found):
            if part == "feature" and variable.name in reader.unusable:
                continue
            counts = [each.counts[part][i] for each in slices]
            expected = np.array(variable.shares) if reference is None else shares(before.counts[part][i])
            actual = shares(np.sum(counts, axis=0))
            by_slice = [
                psi(expected, shares(count)) if each.rows >= FEWEST_OF_INDEX else None
                for each, count in zip(slices, counts, strict=True)
            ]
            variables.append(Compared(part, variable, expected, actual, psi(expected, actual), by_slice))
    return Drift(
        reference,
        current,
        distribution.rows if reference is None else before.rows,
        total,
        reader.left_out,
        sorted(reader.unusable),
        variables,
    )


def _learned(reader: _Rows, reference: Period, read: Read) -> Distribution:
    """Bins out of a random sample of the reference, in one pass over it: the same rows each time."""
    random = np.random.default_rng(0)
    sample: list[tuple[Sequence[Any], Any, Any]] = []
    seen = 0
    for page in read(reference):
        _, *found = reader.read(page)
        for row in zip(*found, strict=True):
            seen += 1
            if len(sample) < SAMPLE:
                sample.append(row)
            elif (place := int(random.integers(seen))) < SAMPLE:
                sample[place] = row
    reader.left_out = 0  # they are read once more
    _require(seen, reference)
    if len(sample) < FEWEST_ROWS:
        raise ArtifactError(
            f"The log has {len(sample)} rows from {reference}: it takes {FEWEST_ROWS} to compare others with"
        )
    rows, predictions, confidences = (list(values) for values in zip(*sample, strict=True))
    several = isinstance(predictions[0], list)
    answers = Answers(predictions, [[None] * len(predictions[0])] * len(rows) if several else confidences)
    columns = tuple(
        Column(name=name, type=_type(values))
        for name, values in zip(reader.columns or (), zip(*rows, strict=True), strict=True)
    )
    return learn_distribution(
        Signature(columns=columns, outputs=tuple(reader.outputs) if several and reader.outputs else None), rows, answers
    )


def _type(values: Iterable[Any]) -> Any:
    kinds = {type(value) for value in values if value is not None}
    if kinds <= {int, float}:
        return "number"
    return {frozenset({str}): "string", frozenset({bool}): "boolean"}.get(frozenset(kinds), "any")


def _spans(times: Sequence[datetime], start: datetime, width: timedelta) -> Iterator[tuple[int, slice]]:
    """Number of a slice of the period, and the rows that lie in it."""
    numbers = [min(SLICES - 1, max(0, int((time - start) / width))) for time in times]
    first = 0
    for i in range(1, len(numbers) + 1):
        if i == len(numbers) or numbers[i] != numbers[first]:
            yield numbers[first], slice(first, i)
            first = i


def _require(rows: int, period: Period) -> None:
    if not rows:
        raise ArtifactError(f"The log has no rows of this model from {period}")


def _short(time: datetime) -> str:
    """In UTC; midnight is a date alone, and seconds are shown where they are not 0."""
    clock = (time.hour, time.minute, time.second)
    return time.strftime("%Y-%m-%d" if not any(clock) else "%Y-%m-%d %H:%M:%S" if time.second else "%Y-%m-%d %H:%M")

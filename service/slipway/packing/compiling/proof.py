"""The proof that a compiled form answers as its estimator: on all sample rows and on rows made to tell them apart."""

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ...errors import RefusedByModel
from ...model.answers import Answers
from ...model.compiled.encoding import Row
from ...model.compiled.model import LARGEST_BOUND, CompiledModel, difference
from ...model.estimator import Model
from ...model.rows import RowValidator
from ...model.signature import Signature
from .edge_rows import edge_rows

Array = np.ndarray[Any, Any]

SMALLEST_BOUND = 1e-12  # sums in another order differ by less
MARGIN = 10  # times the largest difference seen
CHUNK = 500
# Halvings of a distance: near, and not yet where rounding decides; trees are exact, twice as many lead them to a
# threshold.
BISECTIONS = 25
PAIRS = 200

Outcome = tuple[Any, Any, Any] | str  # prediction, confidence and probabilities, or how it failed


class NotProven(Exception):
    """The two differ; the message is a sentence that says where."""


class Proof(NamedTuple):
    """`bound`: no difference reaches it; `rows`: how many were compared."""

    bound: float
    rows: int


def prove(model: Model, form: CompiledModel, samples: Sequence[Row], thresholds: Mapping[int, Array]) -> Proof:
    """Compares class, confidence and probabilities of each row, asked by itself and among others. Raises NotProven."""
    random = np.random.default_rng(0)
    validator = RowValidator(model.signature, CHUNK)

    def estimate(rows: Sequence[Row]) -> Answers:
        return model.infer(validator.instances([list(row) for row in rows]).data)

    def compute_singly(rows: Sequence[Row]) -> Answers:
        return Answers(*map(list, zip(*map(form.infer_row, rows), strict=True)))

    rows_by_origin = {
        "a row of the data": samples,
        "a row between two classes": _between(
            estimate, samples, model.signature, BISECTIONS * (2 if thresholds else 1), random
        ),
        "a generated row": edge_rows(model.signature.columns or (), samples, thresholds, random),
    }
    largest = 0.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an encoder warns of every category that it does not know
        for origin, rows in rows_by_origin.items():
            expected = _outcomes(estimate, rows)
            for answers in (_outcomes(compute_singly, rows), _outcomes(form.infer, rows)):
                for row, answer, wanted in zip(rows, answers, expected, strict=True):
                    gap = difference(answer, wanted)
                    if not gap * MARGIN <= LARGEST_BOUND:
                        raise NotProven(
                            f"{origin}, {_shown(row)}, would be answered {_shown(answer)} instead of {_shown(wanted)}"
                        )
                    largest = max(largest, gap)
    bound = 10.0 ** math.ceil(math.log10(max(largest * MARGIN, SMALLEST_BOUND)))
    return Proof(bound, sum(map(len, rows_by_origin.values())))


def _outcomes(infer: Callable[[Sequence[Row]], Answers], rows: Sequence[Row]) -> list[Outcome]:
    """What comes of each row. Where some rows fail a call, the others are asked without them."""
    return [
        outcome for start in range(0, len(rows), CHUNK) for outcome in _answered(infer, rows[start : start + CHUNK])
    ]


def _answered(infer: Callable[[Sequence[Row]], Answers], rows: Sequence[Row]) -> list[Outcome]:
    try:
        answers = infer(rows)
    except Exception as error:  # an estimator may raise anything
        if len(rows) == 1:
            return ["refused" if isinstance(error, RefusedByModel) else "failed"]
        half = len(rows) // 2
        return _answered(infer, rows[:half]) + _answered(infer, rows[half:])
    return list(zip(answers.predictions, answers.confidences, answers.probabilities or [None] * len(rows), strict=True))


def _between(
    estimate: Callable[[Sequence[Row]], Answers],
    samples: Sequence[Row],
    signature: Signature,
    steps: int,
    random: np.random.Generator,
) -> list[Row]:
    """Rows close to where the class changes, found between pairs of sample rows by halving their numbers' distance
    again and again.
    """
    numbers = [i for i, column in enumerate(signature.columns or ()) if column.numeric]
    rows = [row for row in samples if all(row[i] is not None for i in numbers)]
    numbers = [i for i in numbers if rows and not isinstance(_answered(estimate, [_between_values(rows, i)])[0], str)]
    if signature.classes is None or signature.multi_output or not numbers or not rows:
        return []
    first, second = ([rows[place] for place in random.integers(len(rows), size=PAIRS).tolist()] for _ in range(2))

    def rows_of(values: Array) -> list[Row]:
        made: list[Row] = []
        for row, own in zip(first, values.tolist(), strict=True):
            changed = dict(zip(numbers, own, strict=True))
            made.append([changed.get(i, value) for i, value in enumerate(row)])
        return made

    def classes(values: Array) -> Array:
        return np.array([str(outcome[0]) for outcome in _outcomes(estimate, rows_of(values))])

    low, high = (np.array([[float(row[i]) for i in numbers] for row in side]) for side in (first, second))
    at_low = classes(low)
    differ = at_low != classes(high)
    for _ in range(steps):
        middle = (low + high) / 2
        same = (classes(middle) == at_low)[:, None]
        low, high = np.where(same, middle, low), np.where(same, high, middle)
    return [row for side in (low, high) for row, wanted in zip(rows_of(side), differ.tolist(), strict=True) if wanted]


def _between_values(rows: Sequence[Row], i: int) -> Row:
    """A row whose column i has a value between those that were seen, which an encoder of numbers refuses."""
    seen = [row[i] for row in rows]
    return [*rows[0][:i], 0.6 * min(seen) + 0.4 * max(seen), *rows[0][i + 1 :]]


def _shown(values: Any) -> str:
    text = repr(list(values)) if isinstance(values, list | tuple) else str(values)
    return text if len(text) <= 300 else text[:297] + "..."

"""Where a model runs, and how many rows of several calls are joined: measured at warm-up."""

import logging
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ..model.answers import Answers, same
from ..model.rows import Batch
from .loaded_model import LoadedModel

log = logging.getLogger("slipway.engine")

Mode = Literal["inline", "thread", "process"]
INLINE_SECONDS = 0.001  # a dearer row leaves the event loop: a health probe must not wait for a prediction
LOOP_SECONDS = 0.005  # a batch that would hold the loop longer than this goes to a thread, whatever one row costs
UNTIMED_ROWS = 64  # joined at most where there is no row to time the model with
# One-row calls never come to it; those with more rows than this must not have the others wait for them.
MOST_JOINED_ROWS = 1000
AMORTISED = 10  # times the cost of a call: a batch that costs more saves less than a tenth by growing
# Of a lone row's cost: what one among others costs at most, or joining gains too little for the wait.
WORTH_JOINING = 0.5


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a model runs: inline only for batches of at most `inline_rows`; calls joined up to `joined_rows`, 0:
    never.
    """

    mode: Mode
    inline_rows: float = 0
    joined_rows: int = 0
    row_seconds: float | None = None


def place(model: LoadedModel) -> Placement:
    """Times single rows and a batch of the example rows (medians of 5) and decides where the model runs."""
    pinned = model.execution
    examples = model.warm_up_batch
    if examples is None:  # nothing to time it with
        joined_rows = UNTIMED_ROWS if model.batching else 0
        return Placement(
            "thread" if pinned == "auto" else pinned, float("inf") if pinned == "inline" else 0, joined_rows
        )
    many = examples.take([i % len(examples) for i in range(64)])
    alone, one = _timed(model, [many.take([i]) for i in range(5)])
    together, all_64 = _timed(model, [many] * 5)
    each = max((all_64 - one) / 63, 1e-8)
    joined_rows = 0
    if model.batching and each < one * WORTH_JOINING:
        if all(_equal(answers, together[0].take([i])) for i, answers in enumerate(alone)):
            joined_rows = min(int(AMORTISED * one / each), MOST_JOINED_ROWS)
        else:
            log.warning(
                "model %s %s answers a row otherwise where others are beside it: calls are not joined",
                model.name,
                model.version,
            )
    if pinned == "inline":
        return Placement("inline", float("inf"), row_seconds=one)
    if pinned != "auto":
        return Placement(pinned, 0, joined_rows, one)
    if one < INLINE_SECONDS:
        return Placement("inline", max(1, int((LOOP_SECONDS - one) / each)), joined_rows, one)
    return Placement("thread", 0, joined_rows, one)


def _timed(model: LoadedModel, batches: Sequence[Batch]) -> tuple[list[Answers], float]:
    """The answers, and the median of the seconds that they took."""
    answers, seconds = zip(*(model.timed(batch.data) for batch in batches), strict=True)
    return list(answers), statistics.median(seconds)


def _equal(answers: Answers, others: Answers) -> bool:
    short = answers.short
    are_same = same(answers.predictions, others.predictions, short=short)
    return are_same and same(answers.probabilities, others.probabilities, short=short)

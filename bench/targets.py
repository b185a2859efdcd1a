"""What must hold of Slipway, as it comes and with the estimator: each target with the figure of a run that decides
it.
"""

from collections.abc import Callable
from dataclasses import dataclass

from .contenders import BATCHED, INLINE, NOOP, PEERS, RAW, SLIPWAY, TUTORIAL
from .results import CPU, P50, P99, Figure, Row, Run, requests_per_second
from .workloads import MODELS

BUSY, LONE = 64, 1  # connections
MOSEC = "mosec"  # at its best setting for the row
NAMES = {requests_per_second: "requests/s", P50: "p50", P99: "p99", CPU: "CPU per request"}


@dataclass(frozen=True)
class Target:
    """`least`: the figure must reach `bound`; otherwise it must not exceed it."""

    place: str
    what: str
    bound: float
    figure: Callable[[Run], float | None]
    least: bool = False

    def met(self, run: Run) -> bool | None:
        """None where it was not measured."""
        found = self.figure(run)
        return None if found is None else found >= self.bound if self.least else found <= self.bound


def _ratio(row: Row, other: str, bound: float, of: Figure = requests_per_second, ours: str = SLIPWAY) -> Target:
    """Of speeds at least `bound`; of times at most. Rows per second have the ratio of the requests."""

    def figure(run: Run) -> float | None:
        return run.ratio(ours, run.best(PEERS, row) if other == MOSEC else other, row, of)

    what = "rows/s" if row.rows > 1 and of is requests_per_second else NAMES[of]
    return Target(_place(row), f"{ours} ÷ {other}: {what}", bound, figure, least=of is requests_per_second)


def _tail(row: Row, contender: str, bound: float) -> Target:
    return Target(
        _place(row),
        f"{contender}: p99 ÷ p50",
        bound,
        lambda run: run.figure(contender, row, lambda one: one.p99_ms / one.p50_ms),
    )


def _place(row: Row) -> str:
    return f"{row.model} · {row.load}"


def _start(model: str, what: str, index: int, bound: float) -> Target:
    def figure(run: Run) -> float | None:
        ours, theirs = run.started(SLIPWAY, model), run.started(TUTORIAL, model)
        return ours[index] / theirs[index] if ours and theirs else None

    return Target(model, f"{SLIPWAY} ÷ {TUTORIAL}: {what}", bound, figure)


IRIS, FOREST = (Row(model, 1, BUSY) for model in MODELS)
TARGETS = (
    _ratio(IRIS, NOOP, 2.2),
    _ratio(IRIS, RAW, 0.6),
    _ratio(IRIS, TUTORIAL, 8),
    _ratio(IRIS, MOSEC, 1.3),
    _ratio(IRIS, NOOP, 0.45, CPU),
    _ratio(IRIS, MOSEC, 0.75, CPU),
    _ratio(FOREST, NOOP, 1.8),
    _ratio(FOREST, TUTORIAL, 75),
    _ratio(FOREST, MOSEC, 3.5),
    _ratio(FOREST, NOOP, 1, P99),
    _ratio(FOREST, NOOP, 0.58, CPU),
    _ratio(FOREST, MOSEC, 0.25, CPU),
    *(_ratio(Row(model, 1, LONE), NOOP, 0.7, P50) for model in MODELS),
    *(_ratio(Row(model, 1, LONE), MOSEC, 1, P50) for model in MODELS),
    _ratio(IRIS._replace(rows=100), TUTORIAL, 3),
    _ratio(FOREST._replace(rows=100), TUTORIAL, 25),
    _ratio(FOREST, TUTORIAL, 6, ours=BATCHED),
    _tail(FOREST, BATCHED, 2),
    _ratio(FOREST._replace(connections=LONE), INLINE, 1.1, P50, ours=BATCHED),
    _start("iris", "cold start", 0, 0.6),
    _start("iris", "memory (PSS)", 1, 0.5),
)

"""Feedback on its way to the database: each waits for its row, which another worker may be storing, and few are kept
without one.
"""

from collections import deque
from collections.abc import Collection, Sequence
from time import monotonic

from ..telemetry.log_metrics import LogMetrics
from .record import Feedback

WAIT_SECONDS = 2.0  # for a row that is not there: other workers write every half second
MOST_WAITING = 10_000  # outcomes, in memory
MOST_BYTES = 16 * 1024 * 1024  # of them
# Outcomes without a row that a worker keeps at once, and then one a second; one of many kilobytes counts as so many.
STRAYS = 10_000


class Outcomes:
    """`put` them, `take` those whose rows are to be looked for, and of those store what is `admitted`."""

    def __init__(self, metrics: LogMetrics) -> None:
        self._metrics = metrics
        self._new: list[Feedback] = []
        self._late: deque[tuple[float, Feedback]] = deque()  # with the time when their rows are looked for again
        self._bytes = 0
        self._strays = float(STRAYS)
        self._strays_at = monotonic()

    def __len__(self) -> int:
        return len(self._new) + len(self._late)

    @property
    def full(self) -> bool:
        return len(self) >= MOST_WAITING or self._bytes >= MOST_BYTES

    def put(self, rows: Sequence[Feedback]) -> None:
        self._new += rows
        self._bytes += sum(len(row.outcome) for row in rows)

    def take(self, *, last: bool) -> tuple[list[Feedback], list[Feedback]]:
        """The new ones, and those that have waited. `last`: as if all had."""
        new, self._new = self._new, []
        late = []
        while self._late and (last or self._late[0][0] <= monotonic()):
            late.append(self._late.popleft()[1])
        self._bytes -= sum(len(row.outcome) for row in (*new, *late))
        return ([], [*late, *new]) if last else (new, late)

    def admitted(self, new: list[Feedback], late: list[Feedback], found: Collection[str]) -> list[Feedback]:
        """Of what was taken: all whose row was found, and as many strays as may be. New ones without a row wait once
        more.
        """
        waiting = [row for row in new if row.prediction not in found]
        self._late.extend((monotonic() + WAIT_SECONDS, row) for row in waiting)
        self._bytes += sum(len(row.outcome) for row in waiting)
        strays = [row for row in late if row.prediction not in found]
        kept = [row for row in strays if self._may_stray(row)]
        self._metrics.strays("stored", len(kept))
        self._metrics.strays("dropped", len(strays) - len(kept))
        return [row for row in (*new, *late) if row.prediction in found] + kept

    def _may_stray(self, row: Feedback) -> bool:
        now = monotonic()
        self._strays = min(float(STRAYS), self._strays + now - self._strays_at)
        self._strays_at = now
        cost = 1 + len(row.outcome) // 1024
        if self._strays < cost:
            return False
        self._strays -= cost
        return True

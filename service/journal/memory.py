"""What a worker has answered and not yet handed on: the requests, and the rows that are made of them soon after."""

import asyncio
import contextvars
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence

from .answered import Answered, Recorder, rows_in
from .pace import Pace
from .record import Row

BATCH_ROWS = 1_000  # so many are enough to write
MOST_WRITTEN = 2_000  # at once
SLICE_ROWS = 32  # made at a time: some 100 to 150 microseconds
AHEAD_ROWS = 64  # are worth making, and handing to the database, which begins with them: with more at a stretch it would hold up requests
MOST_ROWS = (
    50_000  # wait here, and as many may be on their way; more come where database and disk both hang, or faster than rows can be made
)


class Memory:
    """`put` is all that a request pays for. `enough` is called when BATCH_ROWS are there, `ahead` when more rows are made."""

    def __init__(self, recorder: Recorder, enough: Callable[[], None], ahead: Callable[[], None]) -> None:
        self._recorder = recorder
        self._enough = enough
        self._ahead = ahead
        self._queue: deque[Answered] = deque()  # younger than what is made
        self._queued = 0  # rows in it
        self._making = False  # `_make` is to run
        self._context = contextvars.Context()  # not that of a request, whose id log lines about another would name
        self.made: list[Row] = []
        self.rows = 0  # in both, in requests that are taken but not made yet, and in those that wait for theirs to be kept

    def put(self, request: Answered, rows: int) -> None:
        """Rows are made some at a time, after the answer: what it takes to make one is in no cache when a request has been answered."""
        self._queue.append(request)
        self.rows += rows
        self._queued += rows
        if self._queued >= AHEAD_ROWS:
            if self.rows >= BATCH_ROWS:
                self._enough()
            if self._queued - rows < AHEAD_ROWS and not self._making:
                self._making = True
                asyncio.get_running_loop().call_soon(self._make, context=self._context)

    def _make(self) -> None:
        """A few in a turn of the event loop. A request of more waits for `take`, which pauses, and so does what came after it."""
        some, count = list[Answered](), 0
        while self._queue and count + (rows := rows_in(self._queue[0])) <= SLICE_ROWS:
            some.append(self._queue.popleft())
            count += rows
        made = self._recorder.all_rows(some)
        self.made += made
        self._queued -= count
        self.rows += len(made) - count
        self._making = bool(some) and self._queued >= SLICE_ROWS
        asyncio.get_running_loop().call_soon(self._make if self._making else self._ahead, context=self._context)

    async def take(self) -> AsyncGenerator[list[Row], None]:
        """What is there now, and no younger."""
        queue, self._queue, self._queued = self._queue, deque(), 0
        made, self.made = self.made, []
        self.rows -= len(made)
        try:
            async for some in self.rows_of(queue, made):
                yield some
        finally:
            self._queue.extendleft(reversed(queue))  # none, as a rule
            self._queued += sum(map(rows_in, queue))

    async def rows_of(self, queue: deque[Answered], made: Sequence[Row] = ()) -> AsyncGenerator[list[Row], None]:
        """After those that are made, MOST_WRITTEN at a time at most; others run in between."""
        rows, pace = list(made), Pace()
        while queue or rows:
            while queue and len(rows) < MOST_WRITTEN:
                request = queue.popleft()
                count = rows_in(request)
                self.rows -= count
                for first in range(0, count, SLICE_ROWS):
                    rows += self._recorder.rows(request, first, first + SLICE_ROWS)
                    if pace.due:
                        await pace.rest(1 + 10 * self.rows / MOST_ROWS)
            yield rows[:MOST_WRITTEN]
            rows = rows[MOST_WRITTEN:]

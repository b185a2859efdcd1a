"""What a worker has answered and not yet handed on: the requests, and the rows that are made of them soon after."""

import asyncio
import contextvars
import logging
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from typing import Any, TypeAlias

from ..engine.loaded_model import LoadedModel
from ..model.batch import Batch
from ..telemetry.log_metrics import LogMetrics
from ..telemetry.request_id import Key, row_key
from .pace import Pace
from .record import Row
from .redaction import Encode, Redaction, json_bytes, row_of
from .stores.forms import Form

BATCH_ROWS = 1_000  # so many are enough to write
MOST_WRITTEN = 2_000  # at once
SLICE_ROWS = 32  # made at a time: some 100 to 150 microseconds
AHEAD_ROWS = 64  # so many that wait are made and handed to the database at once; more at a stretch would hold up requests
# Rows that may wait here; as many again may be on their way. Past it they come faster than they can be written.
MOST_ROWS = 50_000
Answered: TypeAlias = tuple[
    Key, int, str, str, str | None, LoadedModel, Sequence[Sequence[Any]] | Batch, Sequence[Any], Sequence[Any], float
]
DIGITS = tuple(b"%d" % i for i in range(100))  # JSON of most answers of classifiers
log = logging.getLogger("slipway.log")


class Recorder:
    """Makes rows; what of a model's columns may be kept is found out once."""

    def __init__(self, redaction: Redaction, metrics: LogMetrics, form: Form) -> None:
        self._redaction = redaction
        self._metrics = metrics
        self._form = form
        self._key, self._make = form.key, form.row
        self._most_bytes = redaction.most_bytes
        self._known: dict[tuple[LoadedModel, str], tuple[Encode, Any]] = {}  # by model and dialect
        self._failed = False

    def row(self, request: Answered, i: int) -> Row | None:
        """Row i. What cannot be made is dropped, counted and said once: it must not take the others along."""
        key, nanoseconds, request_id, dialect, client, model, rows, predictions, confidences, seconds = request
        try:
            encode, source = self._known.get((model, dialect)) or self._learn(model, dialect)
            prediction, confidence = predictions[i], confidences[i]
            features = encode(row_of(rows, i) if isinstance(rows, Batch) else rows[i])
            answer = DIGITS[prediction] if type(prediction) is int and 0 <= prediction < len(DIGITS) else json_bytes(prediction)
            if len(features) + len(answer) > self._most_bytes:
                features, answer = self._redaction.fitting(features, answer)
            if type(confidence) is not float:
                confidence = None
            own: Any = key[self._key]
            if i:
                own = row_key(own, i)
            latency_ms = int(seconds * 1e7) / 1e4  # what round() would do takes three times as long
            return self._make(own, nanoseconds, request_id, i, source, features, answer, confidence, latency_ms, client)
        except Exception:
            self._metrics.counted("dropped", 1)
            if not self._failed:
                log.exception("an answer of model %s cannot be made a record of the prediction log", model.name)
            self._failed = True
            return None

    def rows(self, request: Answered, first: int, last: int) -> list[Row]:
        """These rows, as far as there are so many."""
        made = [self.row(request, i) for i in range(first, min(last, rows_in(request)))]
        return [row for row in made if row is not None]

    def all_rows(self, requests: Iterable[Answered]) -> list[Row]:
        return [row for request in requests for i in range(rows_in(request)) if (row := self.row(request, i)) is not None]

    def _learn(self, model: LoadedModel, dialect: str) -> tuple[Encode, Any]:
        encode = self._redaction.encoder(model.name, model.artifact.signature)
        known = self._known[model, dialect] = (encode, self._form.source(*model.key, dialect))
        return known


def rows_in(request: Answered) -> int:
    return len(request[7])


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


# Key of the first row, time in nanoseconds since the epoch, request id, dialect, client, model, rows, predictions, confidences, seconds
# from arrival to answer. Not a class, nor the batch and the answers as they came, which would cost more than the rest.

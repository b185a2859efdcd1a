"""What a worker has answered and not yet handed on: whole requests, whose rows are made when they are written."""

import logging
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from ..engine.loaded_model import LoadedModel
from ..model.batch import Batch
from ..telemetry.log_metrics import LogMetrics
from ..telemetry.request_id import row_key
from .bounds import BATCH_ROWS, BOUNDS, MOST_ROWS, Bounds
from .pace import Pace
from .record import Record
from .redaction import Encode, Redaction, json_bytes, row_of

SLICE_ROWS = 32  # made at a time: some 100 to 150 microseconds
log = logging.getLogger("slipway.log")


class Answered(NamedTuple):
    """A request with its answers, as they came."""

    key: str  # of its first row
    time: float  # seconds since 1970
    request_id: str
    dialect: str
    client: str | None
    model: LoadedModel
    rows: Sequence[Sequence[Any]] | Batch
    predictions: Sequence[Any]
    confidences: Sequence[Any]
    latency_ms: float


class Recorder:
    """Makes records; what of a model's columns may be kept is found out once."""

    def __init__(self, redaction: Redaction, metrics: LogMetrics) -> None:
        self._redaction = redaction
        self._metrics = metrics
        self._encoders: WeakKeyDictionary[LoadedModel, Encode] = WeakKeyDictionary()
        self._failed = False

    def records(self, request: Answered, start: int, stop: int) -> list[Record]:
        """Of these rows, as far as there are so many."""
        made = [self._record(request, i) for i in range(start, min(stop, len(request.predictions)))]
        return [record for record in made if record is not None]

    def _record(self, request: Answered, i: int) -> Record | None:
        """What cannot be made is dropped, counted and said once: it must not take the others along."""
        model, rows = request.model, request.rows
        try:
            encode = self._encoders.get(model)
            if encode is None:
                encode = self._encoders[model] = self._redaction.encoder(model.name, model.artifact.signature)
            row = row_of(rows, i) if isinstance(rows, Batch) else rows[i]
            features, answer = self._redaction.fitting(encode(row), json_bytes(request.predictions[i]))
            confidence = request.confidences[i]
            return Record(
                row_key(request.key, i),
                request.time,
                request.request_id,
                i,
                *model.key,
                request.dialect,
                features.decode(),
                answer.decode(),
                confidence if type(confidence) is float else None,
                request.latency_ms,
                request.client,
            )
        except Exception:
            self._metrics.counted("dropped", 1)
            if not self._failed:
                log.exception("an answer of model %s cannot be made a record of the prediction log", model.name)
            self._failed = True
            return None


class Queue:
    """`put` is all that a request pays for. `enough` is called when BATCH_ROWS are there."""

    def __init__(self, recorder: Recorder, enough: Callable[[], None], bounds: Bounds = BOUNDS) -> None:
        self._recorder = recorder
        self._enough = enough
        self._bounds = bounds
        self._requests: deque[Answered] = deque()
        # In it, in requests that are taken but not made yet, and in those that wait for theirs to be kept.
        self.rows = 0

    def put(self, request: Answered) -> None:
        self._requests.append(request)
        self.rows += len(request.predictions)
        if self.rows >= BATCH_ROWS:
            self._enough()

    def take(self) -> AsyncGenerator[list[Record], None]:
        """The rows of what is there now, and of nothing younger."""
        return self.records(self._requests)

    async def records(self, requests: deque[Answered]) -> AsyncGenerator[list[Record], None]:
        """Of those that are there now, some at a time; what is being answered has its turns in between."""
        most, made, pace, left = self._bounds.most_written, list[Record](), Pace(), len(requests)
        while left or made:
            while left and len(made) < most:
                request = requests.popleft()
                left -= 1
                rows = len(request.predictions)
                self.rows -= rows
                for start in range(0, rows, SLICE_ROWS):
                    made += self._recorder.records(request, start, start + SLICE_ROWS)
                    if pace.due:
                        await pace.rest(1 + 10 * self.rows / MOST_ROWS)
            yield made[:most]
            made = made[most:]

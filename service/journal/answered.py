"""An answered request as the predictor leaves it, and the rows that are made of it."""

import logging
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

from ..batch import Batch
from ..loaded import LoadedModel
from ..log_metrics import LogMetrics
from .forms import Form
from .record import Row
from .redaction import Encode, Redaction, json_bytes, row_of
from .row_keys import Key, row_key

# Key of the first row, time in nanoseconds since the epoch, request id, dialect, client, model, rows, predictions, confidences, seconds
# from arrival to answer. Not a class, nor the batch and the answers as they came, which would cost more than the rest.
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

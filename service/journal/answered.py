"""An answered request as the predictor leaves it, and the records that the writer makes of it."""

import logging
from typing import TypeAlias

from ..answers import Answers
from ..batch import Batch
from ..loaded import LoadedModel
from ..log_metrics import LogMetrics
from .record import Record
from .redaction import Encode, Redaction, json_text, row_of
from .row_keys import row_key

# Key of the first row, time in seconds since the epoch, request id, dialect, client, model, batch, answers, seconds from arrival to answer.
# All that a request pays for; not a class, which would cost more than the rest.
Answered: TypeAlias = tuple[str, float, str, str, str | None, LoadedModel, Batch, Answers, float]

log = logging.getLogger("slipway.log")


class Recorder:
    """Makes records; what of a model's columns may be kept is found out once."""

    def __init__(self, redaction: Redaction, metrics: LogMetrics) -> None:
        self._redaction = redaction
        self._metrics = metrics
        self._encoders: dict[LoadedModel, Encode] = {}
        self._failed = False

    def record(self, request: Answered, i: int) -> Record | None:
        """Of row i. What cannot be made is dropped, counted and said once: it must not take the others along."""
        key, time, request_id, dialect, client, model, batch, answers, seconds = request
        try:
            prediction, confidence = answers.predictions[i], answers.confidences[i]
            features = (self._encoders.get(model) or self._encoder(model))(batch.rows[i] if batch.rows else row_of(batch, i))
            answer = repr(prediction) if type(prediction) is int else json_text(prediction)
            if len(features) + len(answer) > self._redaction.short:
                features, answer = self._redaction.fitting(features, answer)
            if type(confidence) is not float:
                confidence = None
            if i:
                key = row_key(key, i)
            latency_ms = int(seconds * 1e7) / 1e4  # what round() would do takes three times as long
            name, version, digest = model.key
            fields = (key, time, request_id, i, name, version, digest, dialect, features, answer, confidence, latency_ms, client)
            return tuple.__new__(Record, fields)
        except Exception:
            self._metrics.counted("dropped", 1)
            if not self._failed:
                log.exception("an answer of model %s cannot be made a record of the prediction log", model.name)
            self._failed = True
            return None

    def records(self, request: Answered, first: int, last: int) -> list[Record]:
        """Of these rows, as far as there are so many."""
        made = [self.record(request, i) for i in range(first, min(last, rows_in(request)))]
        return [record for record in made if record is not None]

    def _encoder(self, model: LoadedModel) -> Encode:
        encode = self._encoders[model] = self._redaction.encoder(model.name, model.artifact.signature)
        return encode


def rows_in(request: Answered) -> int:
    return len(request[7].predictions)

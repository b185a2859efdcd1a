"""An answered request as the predictor leaves it, and the records that the writer makes of it."""

import logging
from collections.abc import Sequence
from typing import TypeAlias

from ..answers import Answers
from ..batch import Batch
from ..loaded import LoadedModel
from ..log_metrics import LogMetrics
from .record import Entry, Feedback, Record
from .redaction import Encode, Redaction, json_text, rows_of
from .row_keys import row_key

# Key of the first row, time in seconds since the epoch, request id, dialect, client, model, batch, answers, seconds from arrival to answer.
# All that a request pays for; not a class, which would cost more than the rest.
Answered: TypeAlias = tuple[str, float, str, str, str | None, LoadedModel, Batch, Answers, float]
Item = Answered | Feedback

log = logging.getLogger("slipway.log")


class Recorder:
    """Makes records; what of a model's columns may be kept is found out once."""

    def __init__(self, redaction: Redaction, metrics: LogMetrics) -> None:
        self._redaction = redaction
        self._metrics = metrics
        self._encoders: dict[LoadedModel, Encode] = {}
        self._failed = False

    def entries(self, item: Item, first: int, last: int) -> Sequence[Entry]:
        """Of these rows. What cannot be made is dropped, counted and said once: it must not take the others along."""
        if isinstance(item, Feedback):
            return (item,)
        try:
            return self._records(item, first, last)
        except Exception:
            self._metrics.counted("dropped", min(last, rows_in(item)) - first)
            if not self._failed:
                log.exception("an answer of model %s cannot be made a record of the prediction log", item[5].name)
            self._failed = True
            return ()

    def _records(self, answered: Answered, first: int, last: int) -> list[Record]:
        key, time, request_id, dialect, client, model, batch, answers, seconds = answered
        encode = self._encoders.get(model) or self._encoder(model)
        redaction = self._redaction
        name, version, digest = model.key
        latency_ms = int(seconds * 1e7) / 1e4  # what round() would do takes three times as long
        predictions, confidences = answers.predictions, answers.confidences
        records = []
        for i, row in enumerate(rows_of(batch, first, last), first):
            prediction, confidence = predictions[i], confidences[i]
            features, answer = encode(row), str(prediction) if type(prediction) is int else json_text(prediction)
            if len(features) + len(answer) > redaction.short:
                features, answer = redaction.fitting(features, answer)
            if type(confidence) is not float:
                confidence = None
            where = (row_key(key, i) if i else key, time, request_id, i, name, version, digest, dialect)
            records.append(tuple.__new__(Record, (*where, features, answer, confidence, latency_ms, client)))
        return records

    def _encoder(self, model: LoadedModel) -> Encode:
        encode = self._encoders[model] = self._redaction.encoder(model.name, model.artifact.signature)
        return encode


def rows_in(item: Item) -> int:
    return 1 if isinstance(item, Feedback) else len(item[7].predictions)

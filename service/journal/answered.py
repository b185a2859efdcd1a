"""An answered request as the predictor leaves it, and the records that the writer makes of it."""

from collections.abc import Iterator
from typing import TypeAlias

from ..answers import Answers
from ..batch import Batch
from ..loaded import LoadedModel
from .record import Record
from .redaction import Encode, Redaction, json_text, rows_of
from .row_keys import row_key

SLICE_ROWS = 10  # made into records at a time: 50 microseconds

# Key of the first row, time in seconds since the epoch, request id, dialect, client, model, batch, answers, seconds from arrival to answer.
# All that a request pays for; not a class, which would cost more than the rest.
Answered: TypeAlias = tuple[str, float, str, str, str | None, LoadedModel, Batch, Answers, float]


class Recorder:
    """Makes records; what of a model's columns may be kept is found out once."""

    def __init__(self, redaction: Redaction) -> None:
        self._redaction = redaction
        self._encoders: dict[LoadedModel, Encode] = {}

    def records(self, answered: Answered) -> Iterator[list[Record]]:
        """Of each row, a slice at a time."""
        key, time, request_id, dialect, client, model, batch, answers, seconds = answered
        encode = self._encoders.get(model) or self._encoder(model)
        fitting, record = self._redaction.fitting, Record._make
        name, version, digest = model.key
        latency_ms = int(seconds * 1e7) / 1e4  # what round() would do takes three times as long
        rows = batch.rows or rows_of(batch)
        predictions, confidences = answers.predictions, answers.confidences
        records = []
        for i, row in enumerate(rows):
            prediction, confidence = predictions[i], confidences[i]
            features, answer = fitting(encode(row), str(prediction) if type(prediction) is int else json_text(prediction))
            if type(confidence) is not float:
                confidence = None
            where = (row_key(key, i) if i else key, time, request_id, i, name, version, digest, dialect)
            records.append(record((*where, features, answer, confidence, latency_ms, client)))
            if len(records) == SLICE_ROWS:
                yield records
                records = []
        if records:
            yield records

    def _encoder(self, model: LoadedModel) -> Encode:
        encode = self._encoders[model] = self._redaction.encoder(model.name, model.artifact.signature)
        return encode


def rows_in(answered: Answered) -> int:
    return len(answered[7].predictions)


def model_in(answered: Answered) -> str:
    return answered[5].name

"""Rows in the binary format of PostgreSQL's COPY, which needs no escaping and is read without parsing.

https://www.postgresql.org/docs/current/sql-copy.html, "Binary Format". A field is its length and its bytes; NULL has the length -1.
"""

from struct import Struct
from typing import Any
from uuid import UUID

from ..record import Entry, Feedback, Record

HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"
# Those of one size first, which are then packed at once.
_FIXED = ("key", "time", "position", "latency_ms", "confidence")
RECORD_COLUMNS = (*_FIXED, "request_id", "model", "version", "digest", "dialect", "features", "answer", "client")

_EPOCH = 946_684_800_000_000  # from 1970 to 2000, which timestamptz counts microseconds from
_YEAR_10000 = 253_402_300_800  # the first second that Python's datetime could not read back
_JSONB_VERSION = 1
_FIELDS = len(RECORD_COLUMNS)

_length = Struct(">i").pack
_begin = Struct(">hi16siq").pack  # number of fields, key, time
_begin_record = Struct(">hi16siqiiididi").pack  # and position, latency, confidence, and the length of the request id
_begin_unsure = Struct(">hi16siqiiidii").pack  # the same without a confidence
_json_length = Struct(">iB").pack
_NULL = _length(-1)
_fixed = Struct(">6x16s4xq4xi4xdi")  # what a row begins with, and the length of the confidence
_float = Struct(">d").unpack_from
_size = Struct(">i").unpack_from
_TEXTS = 8  # then


def source(model: str, version: str, digest: str, dialect: str) -> bytes:
    """Those four fields, which many rows have in common."""
    return b"".join(map(_text, (model, version, digest, dialect)))


def pack(
    key: bytes,
    nanoseconds: int,
    request_id: str,
    position: int,
    source: bytes,
    features: bytes,
    answer: bytes,
    confidence: float | None,
    latency_ms: float,
    client: str | None,
) -> bytes:
    """A record's fields as a row. The time is since 1970. Raises UnicodeEncodeError and struct.error."""
    request = request_id.encode()
    time, size = nanoseconds // 1000 - _EPOCH, len(request)
    return b"".join(
        (
            _begin_unsure(_FIELDS, 16, key, 8, time, 4, position, 8, latency_ms, -1, size)
            if confidence is None
            else _begin_record(_FIELDS, 16, key, 8, time, 4, position, 8, latency_ms, 8, confidence, size),
            request,
            source,
            _json_length(len(features) + 1, _JSONB_VERSION),
            features,
            _json_length(len(answer) + 1, _JSONB_VERSION),
            answer,
            _NULL if client is None else _text(client),
        )
    )


def packed(row: Entry) -> bytes:
    """As a row. Raises ValueError, OverflowError or struct.error for what no column could hold."""
    key = UUID(row.key).bytes
    if not 0 <= row.time < _YEAR_10000:
        raise ValueError(f"{row.time} is no time")
    if isinstance(row, Feedback):
        outcome, prediction = row.outcome.encode(), UUID(row.prediction).bytes
        begin = _begin(len(row), 16, key, 8, _microseconds(row.time) - _EPOCH) + _length(16) + prediction
        return begin + _json_length(len(outcome) + 1, _JSONB_VERSION) + outcome + (_NULL if row.client is None else _text(row.client))
    common = source(row.model, row.version, row.digest, row.dialect)
    said = row.features.encode(), row.answer.encode()
    return pack(
        key, _microseconds(row.time) * 1000, row.request_id, row.position, common, *said, row.confidence, row.latency_ms, row.client
    )


def record(row: bytes) -> Record:
    """That was packed, its time to the microsecond as the database has it."""
    key, time, position, latency_ms, size = _fixed.unpack_from(row)
    at, confidence = _fixed.size, None
    texts: list[Any] = []
    if size > 0:
        (confidence,) = _float(row, at)
        at += size
    for _ in range(_TEXTS):
        (size,) = _size(row, at)
        at += 4
        if size < 0:  # the client's, the last
            texts.append(None)
            break
        texts.append(row[at : at + size].decode())
        at += size
    request_id, model, version, digest, dialect, features, answer, client = texts
    digits, seconds = key.hex(), (time + _EPOCH) / 1_000_000
    text = f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
    features, answer = features[1:], answer[1:]  # behind their format's version
    return Record(text, seconds, request_id, position, model, version, digest, dialect, features, answer, confidence, latency_ms, client)


def _microseconds(time: float) -> int:
    """Since 1970, as datetime rounds them, to the last one: a replay knows a row by its key and its time."""
    second = int(time)
    return second * 1_000_000 + round((time - second) * 1e6)


def _text(value: str) -> bytes:
    found = value.encode()
    return _length(len(found)) + found

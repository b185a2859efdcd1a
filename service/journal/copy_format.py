"""Entries in the binary format of PostgreSQL's COPY, which needs no escaping and is read without parsing.

https://www.postgresql.org/docs/current/sql-copy.html, "Binary Format". A field is its length and its bytes; NULL has the length -1.
"""

from collections.abc import Sequence
from functools import lru_cache
from struct import Struct

from .record import Feedback, Record

HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"

_NULL = b"\xff\xff\xff\xff"
_EPOCH = 946_684_800  # seconds from 1970 to 2000, which timestamptz counts microseconds from
_YEAR_10000 = 253_402_300_800  # the first second that Python's datetime could not read back
_JSONB_VERSION = 1
_FIELDS = len(Record._fields)

_length = Struct(">i").pack
_begin = Struct(">hi16siq").pack  # number of fields, key, time
_begin_record = Struct(">hi16siqi").pack  # and the length of the request id
_position = Struct(">ii").pack
_json_length = Struct(">iB").pack
_float = Struct(">id").pack
_two_floats = Struct(">idid").pack
_FIRST = _position(4, 0)


def record_rows(records: Sequence[Record]) -> bytes:
    """Raises ValueError, OverflowError or struct.error for what no column could hold."""
    parts: list[bytes] = []
    uuids, times = _uuids([record[0] for record in records]), _microseconds([record[1] for record in records])
    # No function of its own for each field: to call them takes longer than what they do.
    for record, uuid, time in zip(records, uuids, times, strict=True):
        _, _, request_id, position, model, version, digest, dialect, features, answer, confidence, latency_ms, client = record
        request, asked, said = request_id.encode(), features.encode(), answer.encode()
        parts += (
            _begin_record(_FIELDS, 16, uuid, 8, time, len(request)),
            request,
            _position(4, position) if position else _FIRST,
            _who(model, version, digest, dialect),
            _json_length(len(asked) + 1, _JSONB_VERSION),
            asked,
            _json_length(len(said) + 1, _JSONB_VERSION),
            said,
            _NULL + _float(8, latency_ms) if confidence is None else _two_floats(8, confidence, 8, latency_ms),
            _NULL if client is None else _text(client),
        )
    return b"".join(parts)


def feedback_rows(entries: Sequence[Feedback]) -> bytes:
    """The same of outcomes."""
    parts: list[bytes] = []
    keys, predictions = _uuids([each.key for each in entries]), _uuids([each.prediction for each in entries])
    for each, key, prediction, time in zip(entries, keys, predictions, _microseconds([each.time for each in entries]), strict=True):
        said = each.outcome.encode()
        parts += (_begin(len(each), 16, key, 8, time), _length(16), prediction, _json_length(len(said) + 1, _JSONB_VERSION), said)
        parts.append(_NULL if each.client is None else _text(each.client))
    return b"".join(parts)


def _uuids(keys: Sequence[str]) -> list[bytes]:
    found = bytes.fromhex("".join(keys).replace("-", ""))
    if any(len(key) != 36 for key in keys) or len(found) != 16 * len(keys):
        raise ValueError("there is a key that is no UUID")
    return [found[start : start + 16] for start in range(0, len(found), 16)]


def _microseconds(times: Sequence[float]) -> list[int]:
    """As datetime rounds them, to the last one: a replay knows a row by its key and its time."""
    if min(times) < 0 or max(times) >= _YEAR_10000:  # NaN is no whole number of seconds
        raise ValueError("there is a time that is none")
    return [((second := int(time)) - _EPOCH) * 1_000_000 + round((time - second) * 1e6) for time in times]


def _text(value: str) -> bytes:
    found = value.encode()
    return _length(len(found)) + found


@lru_cache(maxsize=256)  # who answers, in which dialect: the same for many rows
def _who(*texts: str) -> bytes:
    return b"".join(map(_text, texts))

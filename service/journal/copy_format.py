"""Entries in the binary format of PostgreSQL's COPY, which needs no escaping and is read without parsing.

https://www.postgresql.org/docs/current/sql-copy.html, "Binary Format". A field is its length and its bytes; NULL has the length -1.
"""

from collections.abc import Iterable
from functools import lru_cache
from struct import Struct

from .record import Entry, Feedback, Record

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


def rows(entries: Iterable[Entry]) -> bytes:
    """Raises ValueError, OverflowError or struct.error for what no column could hold."""
    parts: list[bytes] = []
    for entry in entries:
        if type(entry) is not Record:
            parts.append(_feedback(entry))  # type: ignore[arg-type]
            continue
        # No function of its own for each field: to call them takes longer than what they do.
        key, time, request_id, position, model, version, digest, dialect, features, answer, confidence, latency_ms, client = entry
        request, asked, said = request_id.encode(), features.encode(), answer.encode()
        parts += (
            _begin_record(_FIELDS, 16, _uuid(key), 8, _microseconds(time), len(request)),
            request,
            _position(4, position),
            _who(model, version, digest, dialect),
            _json_length(len(asked) + 1, _JSONB_VERSION),
            asked,
            _json_length(len(said) + 1, _JSONB_VERSION),
            said,
            _NULL if confidence is None else _float(8, confidence),
            _float(8, latency_ms),
            _NULL if client is None else _text(client),
        )
    return b"".join(parts)


def _feedback(entry: Feedback) -> bytes:
    key, time, prediction, outcome, client = entry
    head = _begin(len(entry), 16, _uuid(key), 8, _microseconds(time))
    said = outcome.encode()
    about = (_length(16), _uuid(prediction), _json_length(len(said) + 1, _JSONB_VERSION), said)
    return b"".join((head, *about, _NULL if client is None else _text(client)))


def _uuid(key: str) -> bytes:
    found = bytes.fromhex(key.replace("-", ""))
    if len(found) != 16:  # struct would fill it up
        raise ValueError(f"{key!r} is no UUID")
    return found


def _microseconds(time: float) -> int:
    """As datetime rounds them, to the last one: a replay knows a row by its key and its time."""
    if not 0.0 <= time < _YEAR_10000:
        raise ValueError(f"{time!r} is no time")
    second = int(time)
    return (second - _EPOCH) * 1_000_000 + round((time - second) * 1e6)


def _text(value: str) -> bytes:
    found = value.encode()
    return _length(len(found)) + found


@lru_cache(maxsize=256)  # who answers, in which dialect: the same for many rows
def _who(*texts: str) -> bytes:
    return b"".join(map(_text, texts))

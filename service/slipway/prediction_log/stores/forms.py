"""How a row waits to be stored: as the record that people read, or as its database takes it."""

from collections.abc import Callable
from typing import Any, NamedTuple

from ..record import Entry, Record, Row
from . import copy_format, sqlite_format


class Form(NamedTuple):
    """How a row is made of its fields. `source`: of those that it shares with many others, once; `key`: which form of the key it takes."""

    source: Callable[[str, str, str, str], Any]
    key: int
    row: Callable[[Any, int, str, int, Any, bytes, bytes, float | None, float, str | None], Row]


def _record(
    key: str,
    nanoseconds: int,
    request_id: str,
    position: int,
    source: tuple[str, str, str, str],
    features: bytes,
    answer: bytes,
    confidence: float | None,
    latency_ms: float,
    client: str | None,
) -> Record:
    time = nanoseconds // 1000 / 1_000_000
    fields = (key, time, request_id, position, *source, features.decode(), answer.decode(), confidence, latency_ms, client)
    return tuple.__new__(Record, fields)  # a third of what Record(*fields) takes


AS_RECORDS = Form(lambda *source: source, 0, _record)
# One object of 300 bytes instead of a record's twelve, which would push the next requests' data out of the CPU's caches.
PACKED = Form(copy_format.source, 1, copy_format.pack)
# Made before they are written: some at a time cost less than all at once.
AS_VALUES = Form(lambda *source: source, 0, sqlite_format.values)


def unpacked(row: Row) -> Entry:
    """The record, its time to the microsecond as the database has it."""
    if isinstance(row, bytes):
        return copy_format.record(row)
    return row if isinstance(row, Entry) else sqlite_format.record(row)

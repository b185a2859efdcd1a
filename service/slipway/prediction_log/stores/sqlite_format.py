"""Rows as SQLite's statements take them: the values of a table's columns in their order, the time as text."""

import math
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from ..record import Entry, Record, Values


def values(
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
) -> Values:
    """A record's fields as a row. The time is since 1970."""
    second, rest = divmod(nanoseconds, 1_000_000_000)
    time = f"{_second(second)}.{rest // 1000:06d}Z"
    return (key, time, request_id, position, *source, features.decode(), answer.decode(), confidence, latency_ms, client)


def values_of(entry: Entry) -> Values:
    second = math.floor(entry.time)
    time = f"{_second(second)}.{min(round((entry.time - second) * 1e6), 999_999):06d}Z"
    return (entry[0], time, *entry[2:])


def record(row: Values) -> Record:
    fields: Any = (row[0], datetime.fromisoformat(row[1]).timestamp(), *row[2:])
    return Record(*fields)


@lru_cache(maxsize=4)
def _second(time: int) -> str:
    return datetime.fromtimestamp(time, UTC).replace(tzinfo=None).isoformat()

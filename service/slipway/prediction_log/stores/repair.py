"""What no database could take is made storable: one such row must not keep all others waiting, nor be lost."""

import json
import math
import uuid
from datetime import UTC, datetime
from typing import Any

from ..record import Entry, Record

_SMALLEST, _LARGEST = -(2**31), 2**31 - 1
_LAST = datetime(9999, 12, 31, tzinfo=UTC).timestamp()
_DIGITS = 1e308  # whole numbers beyond a float's range become text: PostgreSQL's numbers end somewhere


def storable(entry: Entry) -> Entry:
    """The same entry, its key and all that can be kept as they were; what changes does so alike each time, and is
    stored once.
    """
    time = min(max(entry.time, 0.0), _LAST) if math.isfinite(entry.time) else 0.0
    client = None if entry.client is None else _text(entry.client)
    if isinstance(entry, Record):
        return Record(
            _key(entry.key),
            time,
            _text(entry.request_id),
            min(max(entry.position, _SMALLEST), _LARGEST),
            _text(entry.model),
            _text(entry.version),
            _text(entry.digest),
            _text(entry.dialect),
            _json(entry.features),
            _json(entry.answer),
            entry.confidence,
            entry.latency_ms,
            client,
        )
    return entry._replace(
        key=_key(entry.key), time=time, prediction=_key(entry.prediction), outcome=_json(entry.outcome), client=client
    )


def _key(text: str) -> str:
    try:
        return str(uuid.UUID(text))
    except ValueError:
        return str(uuid.uuid5(uuid.NAMESPACE_OID, _text(text)))


def _text(text: str) -> str:
    """Without NUL, which PostgreSQL's text does not hold, and without half characters, which UTF-8 does not."""
    return text.replace("\0", "\ufffd").encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _json(text: str) -> str:
    try:
        value = _value(json.loads(text))
    except (ValueError, RecursionError):
        value = _text(text)
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _value(value: Any) -> Any:
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, list):
        return [_value(item) for item in value]
    if isinstance(value, dict):
        return {_text(name): _value(item) for name, item in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, int) and abs(value) > _DIGITS:
        return hex(value)
    return value

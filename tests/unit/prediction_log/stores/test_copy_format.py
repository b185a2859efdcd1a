"""Rows for COPY are what the driver would have made of them, and can be read back."""

import struct
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from slipway.prediction_log.record import Feedback, Record
from slipway.prediction_log.stores.copy_format import RECORD_COLUMNS, pack, packed, source
from slipway.prediction_log.stores.forms import unpacked

KEY = "019a1b2c-3d4e-7f00-b123-456789a00000"
EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
RECORD = Record(KEY, 1e9, "r-1", 3, "ship", "1", "sha256:ab", "/predict", '{"ä":1}', '"yes"', 0.75, 1.5, "me")


def fields(content: bytes) -> list[bytes | None]:
    (count,), place = struct.unpack_from(">h", content), 2
    found: list[bytes | None] = []
    for _ in range(count):
        (length,) = struct.unpack_from(">i", content, place)
        place += 4
        found.append(None if length < 0 else content[place : place + length])
        place += max(length, 0)
    assert place == len(content)
    return found


def columns(record: Record) -> dict[str, bytes | None]:
    assert sorted(RECORD_COLUMNS) == sorted(Record._fields)
    return dict(zip(RECORD_COLUMNS, fields(packed(record)), strict=True))


def test_every_column_of_a_record_is_there() -> None:
    found = columns(RECORD)
    time = struct.unpack(">q", found.pop("time") or b"")[0]
    assert EPOCH + timedelta(microseconds=time) == datetime(2001, 9, 9, 1, 46, 40, tzinfo=UTC)
    assert found == {
        "key": bytes.fromhex(KEY.replace("-", "")),
        "request_id": b"r-1",
        "position": b"\0\0\0\3",
        "model": b"ship",
        "version": b"1",
        "digest": b"sha256:ab",
        "dialect": b"/predict",
        "features": b'\1{"\xc3\xa4":1}',
        "answer": b'\1"yes"',
        "confidence": struct.pack(">d", 0.75),
        "latency_ms": struct.pack(">d", 1.5),
        "client": b"me",
    }


def test_what_is_missing_is_null() -> None:
    found = columns(RECORD._replace(confidence=None, client=None))
    assert [name for name, value in found.items() if value is None] == ["confidence", "client"]


def test_feedback_names_the_row_that_it_is_about() -> None:
    key, _, prediction, outcome, client = fields(packed(Feedback(KEY, 1e9, KEY[:-1] + "1", "2", None)))
    assert key == bytes.fromhex(KEY.replace("-", ""))
    assert prediction == key[:-1] + b"\1"
    assert (outcome, client) == (b"\x012", None)


# A replay is made by the driver, and passes over the rows that are there: by key and time.
@given(time=some.floats(0, 253_402_300_799, allow_nan=False) | some.floats(1.6e9, 2.2e9))
def test_a_time_is_the_same_to_the_microsecond_as_by_the_way_of_a_datetime(time: float) -> None:
    found = columns(RECORD._replace(time=time))["time"]
    assert EPOCH + timedelta(microseconds=struct.unpack(">q", found or b"")[0]) == datetime.fromtimestamp(time, UTC)


@given(time=some.floats(0, 253_402_300_799, allow_nan=False) | some.floats(1.6e9, 2.2e9))
def test_a_row_that_is_unpacked_for_the_spool_has_the_time_that_it_has_in_the_database(time: float) -> None:
    row = packed(RECORD._replace(time=time))
    assert packed(unpacked(row)) == row


@pytest.mark.parametrize("record", [RECORD, RECORD._replace(confidence=None, client=None), RECORD._replace(confidence=0.0, latency_ms=0.0)])
def test_a_row_that_is_unpacked_is_the_record_that_it_was(record: Record) -> None:
    row = pack(
        bytes.fromhex(record.key.replace("-", "")),
        int(record.time) * 10**9,
        record.request_id,
        record.position,
        source(record.model, record.version, record.digest, record.dialect),
        record.features.encode(),
        record.answer.encode(),
        record.confidence,
        record.latency_ms,
        record.client,
    )
    assert row == packed(record)
    assert unpacked(row) == record


@pytest.mark.parametrize(
    "wrong",
    [{"key": "abc"}, {"key": "no"}, {"time": float("nan")}, {"time": -1.0}, {"time": 1e12}, {"position": 2**31}, {"model": "\ud800"}],
)
def test_what_no_column_holds_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises((ValueError, OverflowError, struct.error)):
        packed(RECORD._replace(**wrong))

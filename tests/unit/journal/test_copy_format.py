"""Rows for COPY are what the driver would have made of them."""

import struct
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from service.journal.copy_format import feedback_rows, record_rows
from service.journal.record import Feedback, Record

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


def test_every_field_of_a_record_is_there_in_the_order_of_the_columns() -> None:
    confidence, latency = struct.pack(">d", 0.75), struct.pack(">d", 1.5)
    key, time, request_id, position, *texts = fields(record_rows([RECORD]))
    assert key == bytes.fromhex(KEY.replace("-", ""))
    assert EPOCH + timedelta(microseconds=struct.unpack(">q", time or b"")[0]) == datetime(2001, 9, 9, 1, 46, 40, tzinfo=UTC)
    assert (request_id, position) == (b"r-1", b"\0\0\0\3")
    assert texts == [b"ship", b"1", b"sha256:ab", b"/predict", b'\1{"\xc3\xa4":1}', b'\1"yes"', confidence, latency, b"me"]


def test_what_is_missing_is_null() -> None:
    found = fields(record_rows([RECORD._replace(confidence=None, client=None)]))
    assert (found[10], found[12]) == (None, None)


def test_feedback_names_the_row_that_it_is_about() -> None:
    key, _, prediction, outcome, client = fields(feedback_rows([Feedback(KEY, 1e9, KEY[:-1] + "1", "2", None)]))
    assert key == bytes.fromhex(KEY.replace("-", ""))
    assert prediction == key[:-1] + b"\1"
    assert (outcome, client) == (b"\x012", None)


# A replay is made by the driver, and passes over the rows that are there: by key and time.
@given(time=some.floats(0, 253_402_300_799, allow_nan=False) | some.floats(1.6e9, 2.2e9))
def test_a_time_is_the_same_to_the_microsecond_as_by_the_way_of_a_datetime(time: float) -> None:
    found = fields(record_rows([RECORD._replace(time=time)]))[1]
    assert EPOCH + timedelta(microseconds=struct.unpack(">q", found or b"")[0]) == datetime.fromtimestamp(time, UTC)


@pytest.mark.parametrize(
    "wrong",
    [{"key": "abc"}, {"key": "no"}, {"time": float("nan")}, {"time": -1.0}, {"time": 1e12}, {"position": 2**31}, {"model": "\ud800"}],
)
def test_what_no_column_holds_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises((ValueError, OverflowError, struct.error)):
        record_rows([RECORD._replace(**wrong)])

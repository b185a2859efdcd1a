"""Rows for SQLite's statements, and the records that they were made of."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as some

from slipway.prediction_log.record import Record
from slipway.prediction_log.stores.forms import AS_RECORDS, AS_VALUES, PACKED, Form, unpacked
from slipway.prediction_log.stores.sqlite_format import values_of
from tests.support.logged import NOON, record

RECORDS = [record(1), record(2, confidence=None, client="me"), record(3, features='{"ä":1}', position=7)]
DIGITS = "%Y-%m-%dT%H:%M:%S.%fZ"


def made(form: Form, record: Record, nanoseconds: int) -> Record:
    """The record after it waited in this form. `record` names the rest of its fields."""
    source = form.source(record.model, record.version, record.digest, record.dialect)
    key = (record.key, bytes.fromhex(record.key.replace("-", "")))[form.key]
    said = record.features.encode(), record.answer.encode(), record.confidence, record.latency_ms, record.client
    found = unpacked(form.row(key, nanoseconds, record.request_id, record.position, source, *said))
    assert isinstance(found, Record)
    return found


@pytest.mark.parametrize("record", RECORDS)
@pytest.mark.parametrize("form", [AS_RECORDS, PACKED, AS_VALUES])
def test_a_record_is_the_same_in_whatever_form_it_waited(form: Form, record: Record) -> None:
    assert made(form, record, int(NOON.timestamp()) * 10**9) == record


# A row may be read from the database, or first from the spool: its time is one.
@given(nanoseconds=some.integers(0, 253_402_300_799_999_999_999))
def test_a_time_is_the_same_to_the_microsecond_in_every_form(nanoseconds: int) -> None:
    times = {made(form, RECORDS[0], nanoseconds).time for form in (AS_RECORDS, PACKED, AS_VALUES)}
    assert len(times) == 1


@given(nanoseconds=some.integers(0, 4_102_444_800_000_000_000))  # to 2100; a float holds no microseconds of the year 9999
def test_a_time_has_one_text_whether_the_row_came_by_way_of_the_spool_or_not(nanoseconds: int) -> None:
    row = AS_VALUES.row("k", nanoseconds, "r", 0, ("m", "1", "d", "/predict"), b"[]", b"0", None, 1.0, None)
    assert isinstance(row, tuple)
    assert values_of(unpacked(row))[1] == row[1]
    assert datetime.strptime(row[1], DIGITS).replace(tzinfo=UTC) == datetime.fromtimestamp(nanoseconds // 10**9, UTC).replace(
        microsecond=nanoseconds % 10**9 // 1000
    )

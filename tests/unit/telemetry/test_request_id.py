"""Keys are UUIDs of version 7, and number the rows of a request."""

import re
import time
import uuid

from hypothesis import given
from hypothesis import strategies as some

from slipway.telemetry.request_id import MOST_ROWS, TEXT, new_key, row_key


def test_a_key_is_a_uuid_of_version_7_made_now_that_no_other_row_has() -> None:
    before = time.time_ns() // 1_000_000
    keys = [new_key() for _ in range(1000)]
    after = time.time_ns() // 1_000_000
    assert len(set(keys)) == 1000
    for text in keys:
        found = uuid.UUID(text)
        assert (found.version, found.variant) == (7, uuid.RFC_4122)
        assert before <= found.int >> 80 <= after
        assert found.int % MOST_ROWS == 0
        assert re.fullmatch(TEXT, text)


@given(position=some.integers(0, MOST_ROWS - 1))
def test_the_rows_of_a_request_are_numbered(position: int) -> None:
    first = new_key()
    assert uuid.UUID(row_key(first, position)).int == uuid.UUID(first).int + position

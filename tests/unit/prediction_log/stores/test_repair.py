"""Rows that a database does not take as they are."""

import json
import sqlite3
import uuid

from hypothesis import given
from hypothesis import strategies as st

from slipway.prediction_log.record import Record
from slipway.prediction_log.stores.repair import storable
from tests.support.logged import feedback, record

ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=20)  # half characters, too
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | ANY_TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(ANY_TEXT, inner),
)


def test_what_can_be_stored_stays_as_it_is() -> None:
    good = record(1, features='{"a":[1.5,null,"ü"]}')
    assert storable(good) == good
    assert storable(feedback(1, 2, "[1,2]")) == feedback(1, 2, "[1,2]")


def test_what_cannot_is_replaced_and_the_rest_is_kept() -> None:
    bad = record(
        1,
        model="a\0b",
        features='{"a": "x\\u0000", "b": NaN, "c": 1e999, "d": 1}',
        answer="not json \ud800",
        position=2**40,
    )
    bad = bad._replace(time=float("inf"))
    good = storable(bad)
    assert isinstance(good, Record)
    assert (good.key, good.model) == (bad.key, "a\ufffdb")
    assert json.loads(good.features) == {"a": "x\ufffd", "b": "nan", "c": "inf", "d": 1}
    assert json.loads(good.answer) == "not json \ufffd"
    assert good.position == 2**31 - 1


def test_a_key_that_is_none_becomes_one_and_always_the_same() -> None:
    once, again = (storable(record(1)._replace(key="no key")) for _ in range(2))
    assert once == again
    assert str(uuid.UUID(once.key)) == once.key


@given(ANY_TEXT, ANY_JSON | st.just(None), ANY_TEXT)
def test_whatever_a_row_holds_it_can_be_stored_then(text: str, value: object, answer: str) -> None:
    good = storable(record(1, request_id=text, client=text, features=json.dumps(value), answer=answer))
    assert isinstance(good, Record)
    for field in good:
        if isinstance(field, str):
            assert "\0" not in field
            field.encode()
    for document in (good.features, good.answer):
        json.loads(document, parse_constant=lambda _: 1 / 0)
        assert "\\u0000" not in document.replace("\\\\", "")
        assert not sqlite3.connect(":memory:").execute("SELECT json_valid(?) = 0", [document]).fetchone()[0]

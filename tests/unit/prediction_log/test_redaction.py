"""What of a request may be kept: columns left out, keyed hashes, and the size of a record."""

import hashlib
import hmac
import json
from typing import Any

import numpy as np
import pytest

from slipway.model.batch import Batch
from slipway.model.signature import Column, Signature
from slipway.prediction_log.redaction import Redaction, json_bytes, row_of

KEY = b"a key of sixteen"
NAMED = Signature(
    named=True, columns=(Column(name="age"), Column(name="port", type="string"), Column(name="fare", nullable=True))
)
MADE_UP = Signature(columns=(Column(name="x0"), Column(name="x1")))
ROW = [22.0, "S", None]


def kept(row: Any, signature: Signature = NAMED, omit: Any = (), hashed: Any = ()) -> Any:
    return json.loads(Redaction(omit, hashed, KEY, 1000).encoder("ship", signature)(row))


def digest(text: str) -> str:
    return hmac.new(KEY, text.encode(), hashlib.sha256).hexdigest()


def test_rows_are_objects_where_the_columns_have_names_and_lists_where_they_are_made_up() -> None:
    assert kept(ROW) == {"age": 22.0, "port": "S", "fare": None}
    assert kept([1.0, 2.0], MADE_UP) == [1.0, 2.0]
    assert kept([1.0, 2.0, 3.0], Signature()) == [1.0, 2.0, 3.0]


@pytest.mark.parametrize("name", ["port", "ship.port"])
def test_a_column_is_left_out_by_its_name_of_all_models_or_of_one(name: str) -> None:
    assert kept(ROW, omit=[name]) == {"age": 22.0, "fare": None}


def test_a_column_of_another_model_stays() -> None:
    assert "port" in kept(ROW, omit=["train.port"])


def test_a_place_without_a_name_becomes_null() -> None:
    assert kept([1.0, 2.0], MADE_UP, omit=["x0"]) == [None, 2.0]


def test_of_a_hashed_column_its_keyed_hash_is_kept_and_a_missing_value_stays_missing() -> None:
    assert kept(ROW, hashed=["port", "fare"]) == {"age": 22.0, "port": digest('"S"'), "fare": None}
    assert kept([1.5, 2.0], MADE_UP, hashed=["x0"]) == [digest("1.5"), 2.0]


def test_a_column_that_is_both_is_left_out() -> None:
    assert kept(ROW, omit=["port"], hashed=["port"]) == {"age": 22.0, "fare": None}


def test_names_that_no_column_has_are_found() -> None:
    redaction = Redaction(["age", "ship.age", "prot"], ["train.fare"], KEY, 1000)
    assert redaction.unknown([("ship", NAMED)]) == ["prot", "train.fare"]


@pytest.mark.parametrize(
    ("features", "answer", "replaced"),
    [(200, 56, ""), (200, 57, "f"), (5, 500, "a"), (500, 5, "f"), (500, 450, "fa"), (450, 500, "fa")],
)
def test_a_record_beyond_its_size_is_kept_with_a_note_instead(features: int, answer: int, replaced: str) -> None:
    texts = Redaction((), (), b"", 256).fitting(
        json.dumps("f" * (features - 2)).encode(), json.dumps("a" * (answer - 2)).encode()
    )
    for text, letter, size in zip(texts, "fa", (features, answer), strict=True):
        found = json.loads(text)
        if letter in replaced:
            assert f"{size} bytes" in found["slipway"]
        else:
            assert found == letter * (size - 2)


def test_the_size_is_counted_in_bytes() -> None:
    features = json.dumps("ü" * 60, ensure_ascii=False).encode()
    assert b"slipway" in Redaction((), (), b"", 100).fitting(features, b"1")[0]


def test_what_no_database_takes_becomes_a_question_mark_and_nan_becomes_null() -> None:
    assert json.loads(json_bytes({"a": "x\ud800y", "b": [float("nan")]})) == {"a": "x?y", "b": [None]}


def test_rows_are_found_in_every_kind_of_batch() -> None:
    assert row_of(Batch([[1.0], [2.0]], [[1.0], [2.0]]), 1) == [2.0]
    assert row_of(Batch(np.array([[1.0, 2.0]])), 0) == [1.0, 2.0]
    assert row_of(Batch(["one", "two"]), 1) == ["two"]

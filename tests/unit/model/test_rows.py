"""Request rows: what becomes of valid ones, and what a client reads about the others."""

import json
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic_core import from_json

from slipway.errors import FeatureCount, FieldError, InvalidBody, InvalidInput, NotFinite, TooManyRows
from slipway.model.rows import Batch, RowValidator
from slipway.model.signature import Column, Signature

FLOWER = Signature(
    named=True,
    columns=(
        Column(name="length", exclusive_minimum=0, maximum=10, description="In cm"),
        Column(name="width", minimum=0, exclusive_maximum=3, nullable=True),
        Column(name="weight", observed_minimum=1, observed_maximum=2),
    ),
)
PASSENGER = Signature(
    input="frame",
    named=True,
    columns=(
        Column(name="age", nullable=True),
        Column(name="cabin", dtype="int64"),
        Column(name="sex", type="string", dtype="object", allowed=("female", "male")),
        Column(name="port", type="string", dtype="str", nullable=True, observed_categories=("C", "Q")),
        Column(name="alone", type="boolean"),
        Column(name="married", type="boolean", nullable=True),
        Column(name="deck", type="string", dtype="category", nullable=True, observed_categories=("A", "B")),
        Column(name="rank", dtype="category", observed_categories=(1, 2, 3)),
        Column(name="note", type="any", nullable=True),
    ),
)
NUMBERS = Signature(columns=tuple(Column(name=f"x{i}") for i in range(4)))
TEXT = Signature(input="text", columns=(Column(name="text", type="string"),))
UNKNOWN = Signature()
ANY = Signature(
    input="frame", columns=(Column(name="a", type="any", nullable=True), Column(name="b", type="any", nullable=True))
)

ROW = [30.5, 2, "male", "S", True, None, "B", 3, "x"]


def validator(signature: Signature, max_rows: int = 100) -> RowValidator:
    return RowValidator(signature, max_rows)


def parsed(body: str) -> Any:
    """As the server does it."""
    return from_json(body.encode())


def refused(read: Any, body: str, kind: type[InvalidInput]) -> InvalidInput:
    with pytest.raises(kind) as error:
        read(parsed(body))
    assert type(error.value) is kind
    return error.value


def test_features_become_one_row_of_floats() -> None:
    batch = validator(NUMBERS).features([5.1, 3, 1.4, 0.2])
    assert isinstance(batch.data, np.ndarray)
    assert (batch.data.dtype, batch.data.shape, batch.data.flags.c_contiguous) == (np.float64, (1, 4), True)
    assert batch.data.tolist() == [[5.1, 3.0, 1.4, 0.2]]


def test_instances_keep_the_order_of_the_rows() -> None:
    rows = [[float(i), 0.0, 0.0, 0.0] for i in range(20)]
    assert validator(NUMBERS).instances(rows).data.tolist() == rows


def test_an_object_may_name_the_columns_in_any_order() -> None:
    batch = validator(FLOWER).row({"weight": 1, "length": 2, "width": 0.5})
    assert batch.data.tolist() == [[2.0, 0.5, 1.0]]


def test_a_column_that_may_be_missing_may_be_left_out_or_null() -> None:
    batch = validator(FLOWER).instances([{"length": 1, "weight": 1}, {"length": 1, "width": None, "weight": 1}])
    assert np.isnan(batch.data[:, 1]).all()


def test_names_that_were_made_up_are_names() -> None:
    assert validator(NUMBERS).row({"x3": 4, "x0": 1, "x1": 2, "x2": 3}).data.tolist() == [[1, 2, 3, 4]]


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ("[1, 2, 3]", "Expected 4 features, got 3"),
        ("[]", "Expected 4 features, got 0"),
        ("[1, 2, 3, 4, 5]", "Expected 4 features, got 5"),
        ('[1, 2, "3"]', "Expected 4 features, got 3"),
    ],
)
def test_a_wrong_number_of_features_is_counted(body: str, detail: str) -> None:
    error = refused(validator(NUMBERS).features, body, FeatureCount)
    assert (error.status, error.detail) == (400, detail)


def test_a_wrong_number_of_features_in_a_batch_names_the_row() -> None:
    error = refused(validator(NUMBERS).instances, "[[1, 2, 3, 4], [1, 2, 3, 4], [1, 2]]", FeatureCount)
    assert error.detail == "Expected 4 features, got 2 in instances[2]"
    assert error.errors == (FieldError("instances[2]", "Expected 4 features, got 2"),)


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999", "1" + "0" * 400])
def test_what_is_not_finite_is_refused_naming_the_field(value: str) -> None:
    error = refused(validator(NUMBERS).features, f"[1, 2, {value}, 4]", NotFinite)
    assert (error.status, error.detail) == (400, "Features contain NaN or infinity")
    assert error.errors == (FieldError("features[2]", "Expected a finite number"),)
    error = refused(
        validator(FLOWER).instances, f'[{{"length": 1, "weight": 1}}, {{"length": 1, "weight": {value}}}]', NotFinite
    )
    assert error.errors == (FieldError("instances[1].weight", "Expected a finite number"),)
    refused(validator(UNKNOWN).features, f"[{value}]", NotFinite)
    refused(validator(PASSENGER).features, json.dumps(ROW[:-1])[:-1] + f", {value}]", NotFinite)


@pytest.mark.parametrize("value", ['"1.5"', "true", "null", "[1]", "{}", '""', "[[[[]]]]"])
@pytest.mark.parametrize("signature", [NUMBERS, UNKNOWN], ids=["array", "unknown width"])
def test_what_is_no_number_is_refused_naming_the_field(signature: Signature, value: str) -> None:
    error = refused(validator(signature).features, f"[1, 2, {value}, 4]", InvalidBody)
    assert error.status == 422
    assert error.errors == (FieldError("features[2]", "Expected a number"),)
    assert error.detail == "features[2]: Expected a number"
    error = refused(validator(signature).instances, f"[[1, 2, 3, 4], [1, 2, 3, {value}]]", InvalidBody)
    assert error.errors == (FieldError("instances[1][3]", "Expected a number"),)


@pytest.mark.parametrize(
    ("row", "field", "detail"),
    [
        ({"length": 0, "weight": 1}, "length", "Expected a number greater than 0 and at most 10"),
        ({"length": 10.5, "weight": 1}, "length", "Expected a number greater than 0 and at most 10"),
        ({"length": 1, "width": -1, "weight": 1}, "width", "Expected a number at least 0 and less than 3 or null"),
        ({"length": 1, "width": 3, "weight": 1}, "width", "Expected a number at least 0 and less than 3 or null"),
        ({"length": None, "weight": 1}, "length", "Expected a number greater than 0 and at most 10"),
    ],
)
def test_declared_bounds_refuse_and_say_what_is_accepted(row: dict[str, Any], field: str, detail: str) -> None:
    assert refused(validator(FLOWER).row, json.dumps(row), InvalidBody).errors == (FieldError(field, detail),)
    assert refused(validator(FLOWER).instances, json.dumps([row]), InvalidBody).errors == (
        FieldError(f"instances[0].{field}", detail),
    )


def test_a_bound_in_a_list_names_the_column() -> None:
    error = refused(validator(FLOWER).features, "[11, 1, 1]", InvalidBody)
    assert error.errors == (FieldError("features[0]", "length: Expected a number greater than 0 and at most 10"),)


def test_observed_ranges_and_categories_refuse_nothing() -> None:
    assert len(validator(FLOWER).features([1, 1, 1e6])) == 1
    assert len(validator(PASSENGER).features([1, 2, "male", "never seen", False, None, "never seen", 9, None])) == 1


@pytest.mark.parametrize(
    ("place", "value", "detail"),
    [
        (2, "other", "sex: Expected one of 'female', 'male'"),
        (2, None, "sex: Expected one of 'female', 'male'"),
        (3, 1, "port: Expected a string or null"),
        (4, 1, "alone: Expected true or false"),
        (4, None, "alone: Expected true or false"),
        (5, "true", "married: Expected true or false or null"),
        (8, [1], "note: Expected a number, a string, true, false or null"),
        (0, False, "age: Expected a number or null"),
    ],
)
def test_every_type_of_column_says_what_it_takes(place: int, value: Any, detail: str) -> None:
    row = [*ROW[:place], value, *ROW[place + 1 :]]
    assert refused(validator(PASSENGER).features, json.dumps(row), InvalidBody).errors == (
        FieldError(f"features[{place}]", detail),
    )


def test_names_that_are_missing_or_unknown_are_named() -> None:
    error = refused(validator(FLOWER).row, '{"length": 1, "colour": 1}', InvalidBody)
    assert error.errors == (
        FieldError("weight", "Missing: a number"),
        FieldError("colour", "No such column: the columns are length, width, weight"),
    )
    error = refused(validator(FLOWER).instances, '[{"length": 1, "weight": 1}, {"weight": 1}]', InvalidBody)
    assert error.errors == (FieldError("instances[1].length", "Missing: a number greater than 0 and at most 10"),)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ("null", "instances"),
        ('"rows"', "instances"),
        ("{}", "instances"),
        ("[]", "instances"),
        ("[1, 2, 3, 4]", "instances[0]"),
        ('["abcd"]', "instances[0]"),
        ('[[1, 2, 3], {"length": 1, "weight": 1}]', "instances[1]"),
        ('[{"length": 1, "weight": 1}, [1, 2, 3]]', "instances[1]"),
        ('[{"length": 1, "weight": 1}, null]', "instances[1]"),
    ],
)
def test_rows_that_are_no_list_of_rows_are_refused(body: str, field: str) -> None:
    assert refused(validator(FLOWER).instances, body, InvalidBody).errors[0].field == field


@pytest.mark.parametrize("body", ["null", "1", '"abc"', "{}", "true"])
def test_features_that_are_no_list_are_refused(body: str) -> None:
    assert refused(validator(FLOWER).features, body, InvalidBody).errors == (
        FieldError("features", "Expected a list of 3 values: length, width, weight"),
    )


def test_more_rows_than_allowed_are_refused_before_they_are_looked_at() -> None:
    error = refused(validator(NUMBERS, 2).instances, "[null, null, null]", TooManyRows)
    assert (error.status, error.detail) == (413, "Expected at most 2 rows, got 3: send them in several requests")


def test_a_model_of_unknown_width_wants_rows_of_one_width() -> None:
    assert validator(UNKNOWN).instances([[1, 2], [3, 4]]).data.tolist() == [[1, 2], [3, 4]]
    assert refused(validator(UNKNOWN).instances, "[[1, 2], [3]]", FeatureCount).detail == (
        "Expected 2 features, got 1 in instances[1]"
    )
    assert refused(validator(UNKNOWN).features, "[]", InvalidBody).errors == (
        FieldError("features", "Expected at least one number"),
    )
    assert "no names" in refused(validator(UNKNOWN).row, '{"a": 1}', InvalidBody).detail


def test_at_most_twenty_errors_are_listed() -> None:
    error = refused(validator(NUMBERS, 1000).instances, json.dumps([["a", "b", "c", "d"]] * 1000), InvalidBody)
    assert len(error.errors) == 20
    assert (error.errors[0].field, error.errors[4].field) == ("instances[0][0]", "instances[1][0]")
    names = {f"unknown{i}": 1 for i in range(500)}
    assert len(refused(validator(FLOWER).row, json.dumps(names), InvalidBody).errors) == 20


def test_messages_never_repeat_what_was_sent() -> None:
    for row in (["hunter2", 1, 1], [1, "hunter2", 1], [{"hunter2": 1}, 1, 1]):
        error = refused(validator(FLOWER).features, json.dumps(row), InvalidBody)
        assert "hunter2" not in error.detail + str(error.errors)
    long = refused(validator(FLOWER).row, json.dumps({"x" * 10_000: 1, "length": 1, "weight": 1}), InvalidBody)
    assert len(long.detail + str(long.errors)) < 1000


def test_a_frame_has_the_dtypes_that_the_estimator_was_fitted_with() -> None:
    frame = validator(PASSENGER).features(ROW).data
    assert isinstance(frame, pd.DataFrame)
    dtypes = [str(dtype) for dtype in frame.dtypes]
    assert dtypes == ["float64", "int64", "object", "str", "bool", "object", "category", "category", "object"]
    assert frame.iloc[0].drop("married").tolist() == [30.5, 2, "male", "S", True, "B", 3, "x"]
    assert frame["deck"].cat.categories.tolist() == ["A", "B"]


def test_what_is_missing_in_a_frame_is_nan_and_never_none() -> None:
    frame = validator(PASSENGER).features([None, 1, "male", None, True, None, None, 1, None]).data
    assert isinstance(frame, pd.DataFrame)
    for name in ("age", "port", "married", "deck", "note"):
        assert frame[name].isna().all()
        assert frame[name].iloc[0] is not None


def test_integers_stay_integers_unless_one_of_them_is_none() -> None:
    read = validator(PASSENGER).instances
    assert read([[*ROW[:1], 2.0, *ROW[2:]]]).data["cabin"].dtype == np.int64
    assert read([[*ROW[:1], 2.5, *ROW[2:]]]).data["cabin"].dtype == np.float64
    assert read([[*ROW[:1], 1e300, *ROW[2:]]]).data["cabin"].dtype == np.float64


def test_a_column_of_an_unknown_type_takes_the_type_of_its_values() -> None:
    unknown = Signature(input="frame", named=True, columns=(Column(name="a", type="any", nullable=True),))
    read = validator(unknown).instances
    dtypes = [
        str(read([[value] for value in column]).data["a"].dtype)
        for column in ([1, 2.5], [True, False], ["x", None], [None], [1, "x"])
    ]
    assert dtypes == ["float64", "bool", "object", "object", "object"]


def test_strings_for_an_array_stay_objects() -> None:
    columns = (Column(name="a", type="string", nullable=True), Column(name="b"))
    data = validator(Signature(columns=columns)).instances([["x", 1], [None, 2]]).data
    assert isinstance(data, np.ndarray)
    assert data.dtype == object
    assert data[0].tolist() == ["x", 1.0]
    assert np.isnan(data[1, 0])


def test_texts_are_a_list_of_strings() -> None:
    assert validator(TEXT).features(["good"]).data == ["good"]
    assert validator(TEXT).instances([{"text": "good"}, {"text": ""}]).data == ["good", ""]
    refused(validator(TEXT).features, "[1]", InvalidBody)
    refused(validator(TEXT).features, "[]", FeatureCount)


MIXED = st.tuples(
    st.none() | st.floats(allow_nan=False, allow_infinity=False),
    st.integers(-5, 5),
    st.sampled_from(["female", "male"]),
    st.none() | st.text(),
    st.booleans(),
    st.none() | st.booleans(),
    st.none() | st.sampled_from(["A", "B", "C"]),
    st.integers(1, 4),
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
).map(list)
ROWS_OF = {
    "array": (NUMBERS, st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=4, max_size=4)),
    "frame": (PASSENGER, MIXED),
    "text": (TEXT, st.text().map(lambda text: [text])),
}


@pytest.mark.parametrize("form", ROWS_OF)
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_two_rows_have_the_same_key_only_if_they_are_the_same(form: str, data: st.DataObject) -> None:
    signature, rows = ROWS_OF[form]
    one, other = data.draw(rows), data.draw(rows)
    batch = validator(signature).instances([one, other, one])
    assert batch.key(0) == batch.key(2) == validator(signature).features(one).key(0)
    same = [repr(as_validated(value)) for value in one] == [repr(as_validated(value)) for value in other]
    assert (batch.key(0) == batch.key(1)) == same


def as_validated(value: Any) -> Any:
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


@pytest.mark.parametrize("form", ROWS_OF)
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_rows_taken_from_a_batch_are_those_rows(form: str, data: st.DataObject) -> None:
    signature, rows = ROWS_OF[form]
    drawn = data.draw(st.lists(rows, min_size=1, max_size=5))
    indices = data.draw(st.lists(st.integers(0, len(drawn) - 1), min_size=1))
    read = validator(signature).instances
    taken, direct = read(drawn).take(indices), read([drawn[i] for i in indices])
    assert len(taken) == len(indices)
    assert [taken.key(i) for i in range(len(taken))] == [direct.key(i) for i in range(len(direct))]
    assert_same_data(taken, direct)


def assert_same_data(one: Batch, other: Batch) -> None:
    if isinstance(one.data, pd.DataFrame):
        # Beside a category that is not known, others have it in their dtype.
        pd.testing.assert_frame_equal(one.data, other.data, check_dtype=False, check_categorical=False)
    else:
        np.testing.assert_array_equal(one.data, other.data)


@settings(deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: (
            st.lists(inner, max_size=5) | st.dictionaries(st.sampled_from(["length", "width", "weight", "x"]), inner)
        ),
        max_leaves=30,
    )
)
def test_no_json_value_is_an_error_of_ours(value: Any) -> None:
    for signature in (FLOWER, PASSENGER, TEXT, UNKNOWN):
        read = validator(signature)
        for method in [read.features, read.instances, *([read.row] if isinstance(value, dict) else [])]:
            found = outcome(method, value)
            assert len(found) >= 1 if isinstance(found, Batch) else found.detail and 400 <= found.status < 500


def outcome(method: Callable[[Any], Batch], value: Any) -> Batch | InvalidInput:
    try:
        return method(value)
    except InvalidInput as error:
        return error


def test_ten_thousand_rows_are_read_in_milliseconds() -> None:
    wide = validator(Signature(columns=tuple(Column(name=f"x{i}") for i in range(30))), 10_000)
    rows = np.random.default_rng(0).random((10_000, 30)).tolist()
    wide.instances(rows)
    started = time.process_time()
    wide.instances(rows)
    middle = time.process_time()
    with pytest.raises(InvalidBody):
        wide.instances([["x"] * 30] * 10_000)
    good, bad = middle - started, time.process_time() - middle
    assert good < 0.5  # a loop in Python takes longer
    assert bad < good  # listing all of the 300,000 errors takes longer


def test_a_model_of_thousands_of_columns_is_compiled_quickly() -> None:
    signature = Signature(columns=tuple(Column(name=f"x{i}") for i in range(5000)))
    times = []
    for _ in range(3):
        started = time.process_time()
        validator(signature)
        times.append(time.process_time() - started)
    assert min(times) < 0.2  # ten times what it takes; with a type per column it takes 0.5


def test_the_schema_of_a_row_shows_what_is_declared_and_what_was_observed() -> None:
    assert validator(FLOWER).row_schema() == {
        "type": "object",
        "properties": {
            "length": {"type": "number", "exclusiveMinimum": 0, "maximum": 10, "description": "In cm"},
            "width": {"type": ["number", "null"], "minimum": 0, "exclusiveMaximum": 3},
            "weight": {"type": "number", "description": "Observed: 1 to 2"},
        },
        "required": ["length", "weight"],
        "additionalProperties": False,
    }
    shown = validator(PASSENGER).row_schema()["properties"]
    assert shown["sex"] == {"enum": ["female", "male"]}
    assert shown["port"] == {"anyOf": [{"enum": ["C", "Q"]}, {"type": "string"}, {"type": "null"}]}
    assert shown["alone"] == {"type": "boolean"}
    assert shown["married"] == {"type": ["boolean", "null"]}
    assert shown["note"] == {"type": ["number", "string", "boolean", "null"]}


def test_the_schema_of_a_list_has_a_place_per_column() -> None:
    schema = validator(FLOWER).list_schema()
    assert (schema["minItems"], schema["maxItems"], schema["items"]) == (3, 3, False)
    assert [item["type"] for item in schema["prefixItems"]] == ["number", ["number", "null"], "number"]
    assert validator(UNKNOWN).list_schema() == {"type": "array", "items": {"type": "number"}, "minItems": 1}


def test_one_column_may_be_named() -> None:
    assert validator(Signature(columns=(Column(name="a"),))).row({"a": 1}).data.tolist() == [[1.0]]


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=True, allow_infinity=True),
    st.sampled_from(["male", "female", "S", "A", "", "1.5", "é\ud800"]),
    st.sampled_from([1.5, 2, 9.99, 10, 0, -0.0]),
    st.lists(st.none(), max_size=1),
)


@pytest.mark.parametrize("signature", [FLOWER, PASSENGER, NUMBERS, TEXT, UNKNOWN, ANY])
@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_a_row_checked_while_it_is_parsed_is_the_row_checked_afterwards(
    signature: Signature, data: st.DataObject
) -> None:
    reader = RowValidator(signature, 100, as_rows=True)
    row = (
        list(ROW)
        if signature is PASSENGER and data.draw(st.booleans())
        else data.draw(st.lists(VALUES, min_size=0, max_size=5))
    )
    if row and data.draw(st.booleans()):
        row[data.draw(st.integers(0, len(row) - 1))] = data.draw(VALUES)
    many = data.draw(st.booleans())
    text = json.dumps(
        {"instances": [row, *data.draw(st.lists(st.just(row) | st.lists(VALUES, max_size=5), max_size=3))]}
        if many
        else {"features": row}
    ).encode()
    at_once = reader.rows_of_json(text)
    try:
        body = from_json(text, allow_inf_nan=True)
        afterwards = reader.instances(body["instances"]) if many else reader.features(body["features"])
    except (InvalidInput, ValueError):
        assert at_once is None
    else:
        if many and signature is UNKNOWN:  # whose rows' widths are compared afterwards
            assert at_once is None
            return
        if at_once is None and any(
            type(value) is int and value.bit_length() > 63 for each in body.get("instances", [row]) for value in each
        ):
            return  # an integer that pandas cannot hold becomes a float, afterwards alone
        assert at_once is not None
        batch, came_as_many = at_once
        assert came_as_many == many
        assert [list(each) for each in batch.data] == [list(each) for each in afterwards.data]
        assert [list(map(type, each)) for each in batch.data] == [list(map(type, each)) for each in afterwards.data]


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"{}",
        b'{"features": [1,2,3,4]',
        b'{"features": [1,2,3,4], "x": 1}',
        b'{"instances": []}',
        b'{"instances": [{"x": 1}]}',
        b"\xff",
    ],
)
def test_what_is_neither_a_row_nor_rows_is_left_to_the_slower_way(text: bytes) -> None:
    assert validator(NUMBERS).rows_of_json(text) is None


def test_brackets_without_end_are_no_rows() -> None:
    for signature in (UNKNOWN, NUMBERS, PASSENGER):
        for name in (b"features", b"instances"):
            for bracket in (b"[", b'{"":'):
                assert RowValidator(signature, 10).rows_of_json(b'{"' + name + b'":' + bracket * 5000) is None


@pytest.mark.parametrize("signature", [UNKNOWN, NUMBERS])
def test_errors_are_looked_for_from_the_first_one_on_and_no_further_than_needed(signature: Signature) -> None:
    row = [1.0, "a", 1.0, "b"]
    with pytest.raises(InvalidBody) as refused:
        RowValidator(signature, 10).instances([[1.0] * 4, row, row])
    assert [error.field for error in refused.value.errors] == [f"instances[{i}][{j}]" for i in (1, 2) for j in (1, 3)]
    with pytest.raises(InvalidBody) as refused:
        RowValidator(UNKNOWN, 10).features([0.0] * 100_000 + [""] * 100_000)
    assert [error.field for error in refused.value.errors] == [f"features[{j}]" for j in range(100_000, 100_020)]


LONG = Signature(
    input="frame",
    columns=(
        Column(name="own", type="integer", dtype="int64"),
        Column(name="other", dtype="int64"),
        Column(name="open", type="any"),
    ),
)


@pytest.mark.parametrize("value", [-(2**63) - 700, -(2**63) - 1, 2**64 + 1])
def test_an_integer_beyond_64_bits_is_refused_and_not_rounded_into_them(value: int) -> None:
    reader = RowValidator(LONG, 10)
    for place, name in enumerate(("own", "other", "open")):
        row = [1, 1, 1]
        row[place] = value
        with pytest.raises(InvalidBody, match=f"{name}: Expected .*; integers have at most 64 bits"):
            reader.row(dict(zip(("own", "other", "open"), row, strict=True)))
    assert reader.rows_of_json(json.dumps({"features": [value, 1, 1]}).encode()) is None


def test_an_integer_beyond_64_bits_that_a_float_is_exactly_is_that_float_where_floats_are_taken() -> None:
    reader = RowValidator(LONG, 10, as_rows=True)
    assert list(reader.features([-(2**63), 2**70, 2**70]).data[0]) == [-(2**63), 2.0**70, 2.0**70]
    with pytest.raises(InvalidBody, match="integers have at most 64 bits"):
        reader.features([2**70, 1, 1])

"""Features of one row in plain Python are the features of the same row among many."""

import json
import math
from typing import Any

import numpy as np
import pytest

from slipway.model.compiled.encoding import Encoding, Number, Table, Unusable

SIZES = Table(2, {"S": (1.0, 0.0), "L": (0.0, 1.0), None: (math.nan, 0.5)}, unknown=(0.0, 0.0))
STRICT = Table(1, {1.0: (0.0,), 2.0: (1.0,)}, unknown=None)
SCALED = Number(0, (("-", 0.1), ("/", 0.3)), missing=-0.25)
ROWS: list[list[Any]] = [[0.7, 1.0, "S"], [None, 2.0, "L"], [-3.0, 1.0, None], [1e300, 2, "XL"]]
ENCODINGS = {
    "columns as they are": ([Number(0), Number(1)], [[0.7, 1.0], [math.nan, 2.0], [-3.0, 1.0], [1e300, 2.0]]),
    "picked columns": ([Number(1), Number(0)], [[1.0, 0.7], [2.0, math.nan], [1.0, -3.0], [2.0, 1e300]]),
    "one column": ([Number(1)], [[1.0], [2.0], [1.0], [2.0]]),
    "a scaled one": ([SCALED], [[(0.7 - 0.1) / 0.3], [-0.25], [(-3.0 - 0.1) / 0.3], [(1e300 - 0.1) / 0.3]]),
    "tables": ([SIZES, STRICT], [[1.0, 0.0, 0.0], [0.0, 1.0, 1.0], [math.nan, 0.5, 0.0], [0.0, 0.0, 1.0]]),
    "all of it": (
        [Number(0), SIZES, Number(1)],
        [[0.7, 1, 0, 1], [math.nan, 0, 1, 2], [-3, math.nan, 0.5, 1], [1e300, 0, 0, 2]],
    ),
}


@pytest.mark.parametrize("name", ENCODINGS)
def test_rows_are_encoded_alone_and_together_also_after_a_file(name: str) -> None:
    """Also where the model drops the columns that follow."""
    features, expected = ENCODINGS[name]
    encoding = Encoding(features)
    for one in (encoding, Encoding.read(json.loads(json.dumps(encoding.content(), allow_nan=False)))):
        np.testing.assert_array_equal(one.many(ROWS), expected)
        np.testing.assert_array_equal([list(one.one(row)) for row in ROWS], expected)
        assert one.width == len(expected[0])


@pytest.mark.parametrize("nullable", [True, False])
def test_columns_that_the_model_drops_may_follow_those_that_it_takes_as_they_are(nullable: bool) -> None:
    encoding = Encoding([Number(0), Number(1)], nullable)
    rows = [[0.5, 1.0, "x"], [2.0, 3.0, "y"]]
    for given in (rows, np.array([[0.5, 1.0, 9.0], [2.0, 3.0, 9.0]]), [row[:2] for row in rows]):
        np.testing.assert_array_equal(encoding.many(given), [[0.5, 1.0], [2.0, 3.0]])
    assert [list(encoding.one(row)) for row in rows] == [[0.5, 1.0], [2.0, 3.0]]


def test_an_array_is_encoded_as_its_rows_are_with_nan_for_missing() -> None:
    numbers = np.array([[0.7, 1.0], [math.nan, 2.0]])
    encoding = Encoding([STRICT, SCALED, Table(0, {None: (1.0,)}, unknown=(0.0,))])
    np.testing.assert_array_equal(encoding.many(numbers), [[0.0, (0.7 - 0.1) / 0.3, 0.0], [1.0, -0.25, 1.0]])


def test_a_value_without_an_entry_is_refused_where_the_encoder_refuses_it() -> None:
    encoding = Encoding([STRICT])
    with pytest.raises(Unusable):
        encoding.one([0.0, 3.0])
    with pytest.raises(Unusable):
        encoding.many([[0.0, 1.0], [0.0, 3.0]])


def test_arithmetic_reaches_the_missing_value_and_the_entries_too() -> None:
    assert Number(0, missing=4.0).then("-", 1.0).then("/", 2.0).one(None) == 1.5
    assert SIZES.then("*", 3.0).one("L") == (0.0, 3.0)
    assert SIZES.then("+", 3.0).one("unknown") == (3.0, 3.0)

"""Bins out of values, and other values counted by them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.drift.bins import MOST_VALUES, Bins, learn
from slipway.model.distribution import Variable

RANDOM = np.random.default_rng(0)
NORMAL = RANDOM.normal(40, 10, 1000).tolist()


def test_quantile_bins_hold_a_tenth_each_and_the_last_is_of_missing_values() -> None:
    variable = learn("age", "number", NORMAL)
    assert len(variable.edges) == 9
    assert variable.shares[:-1] == pytest.approx([0.1] * 10, abs=0.003)
    assert variable.shares[-1] == 0
    assert all(len(repr(edge)) <= 6 for edge in variable.edges), "people read them"


def test_a_bin_ends_with_its_edge() -> None:
    variable = Variable(name="x", kind="number", edges=(1.0, 2.5), shares=(0, 0, 0, 0))
    assert variable.bins == ("<=1", "1..2.5", ">2.5", "(missing)")
    assert Bins(variable).count([0.5, 1, 1.1, 2.5, 2.6, None, 1e300]).tolist() == [2, 2, 2, 1]
    assert Bins(variable).count_array(np.array([np.nan, 1.0, np.nan])).tolist() == [1, 0, 0, 2]


def test_few_values_have_a_bin_each() -> None:
    variable = learn("class", "number", [1, 2, 3, 3] * 100)
    assert (variable.edges, variable.shares) == ((1.0, 2.0), (0.25, 0.25, 0.5, 0.0))


@pytest.mark.parametrize("frequent", [0.0, 50.0, 100.0])
def test_a_value_that_most_rows_have_does_not_hide_the_others(frequent: float) -> None:
    """Zero-inflated, capped, or with a default in the middle."""
    variable = learn("x", "number", [frequent] * 900 + RANDOM.uniform(0, 100, 100).tolist())
    assert max(variable.shares) >= 0.9
    assert sum(share > 0 for share in variable.shares) >= 2


def test_a_constant_and_an_empty_column_are_tracked_by_value() -> None:
    constant = learn("x", "number", [3.0] * 100)
    assert constant.bins == ("3", "(other)", "(missing)")
    assert Bins(constant).count([3, 3.0, 4.0, None]).tolist() == [2, 1, 1]
    assert Bins(constant).count_array(np.array([3.0, 4.0, np.nan])).tolist() == [1, 1, 1]
    empty = learn("x", "number", [None] * 100)
    assert (empty.bins, empty.shares) == (("(other)", "(missing)"), (0.0, 1.0))


def test_fewer_rows_make_fewer_bins() -> None:
    assert len(learn("x", "number", NORMAL[:100]).edges) == 3
    assert len(learn("x", "category", [str(i % 50) for i in range(100)]).values) == 4


def test_categories_are_the_most_frequent_values_and_the_rest_is_other() -> None:
    values = [f"c{i}" for i in range(50) for _ in range(100 - i)]
    variable = learn("x", "category", values)
    assert variable.values == tuple(f"c{i}" for i in range(MOST_VALUES))
    assert Bins(variable).count(["c0", "c49", "new", None, "c0"]).tolist() == [2, *[0] * 19, 2, 1]


def test_categories_whose_names_would_be_mistaken_for_another_bin_or_are_long_are_other() -> None:
    values: list[object] = (
        ["(missing)"] * 100 + ["(other)"] * 100 + ["1"] * 100 + [1] * 50 + ["x" * 101] * 100 + ["other"] * 50
    )
    assert learn("x", "category", values).bins == ("1", "other", "(other)", "(missing)")


def test_booleans_are_named_as_in_json_and_counted_out_of_floats_too() -> None:
    variable = learn("x", "category", [True, True, False] * 50)
    assert variable.bins[:2] == ("true", "false")
    assert Bins(variable).count_array(np.array([1.0, 0.0, np.nan])).tolist() == [1, 1, 0, 1]


def test_texts_are_tracked_by_their_length() -> None:
    variable = learn("text", "length", ["x" * (1 + i % 100) for i in range(1000)])
    assert len(variable.edges) == 9
    assert Bins(variable).count(["", "x" * 500, None]).tolist() == [1, *[0] * 8, 1, 1]


def test_labels_name_the_values() -> None:
    variable = learn("prediction", "category", [0, 1, 1] * 50, {0: "no", 1: "yes"})
    assert (variable.values, variable.labels, variable.bins[0]) == ((1, 0), ("yes", "no"), "yes")


@given(
    st.lists(
        st.floats(allow_nan=False, allow_infinity=False, width=64) | st.none() | st.integers(-3, 3),
        min_size=1,
        max_size=300,
    )
)
def test_every_value_is_counted_once_and_the_shares_are_of_the_values_learned_from(values: list[float | None]) -> None:
    variable = learn("x", "number", values)
    counts = Bins(variable).count(values)
    assert counts.sum() == len(values)
    assert counts[-1] == values.count(None)
    assert np.allclose(counts / len(values), variable.shares, atol=1e-6)
    as_floats = np.array([np.nan if value is None else value for value in values], dtype=np.float64)
    assert Bins(variable).count_array(as_floats).tolist() == counts.tolist()


def test_edges_that_do_not_ascend_and_shares_without_a_bin_are_refused() -> None:
    with pytest.raises(ValueError, match="do not ascend"):
        Variable(name="x", kind="number", edges=(2.0, 1.0), shares=(0, 0, 0, 0))
    with pytest.raises(ValueError, match="needs a share for each of its 3 different bins, and has 2"):
        Variable(name="x", kind="number", edges=(2.0,), shares=(0.5, 0.5))

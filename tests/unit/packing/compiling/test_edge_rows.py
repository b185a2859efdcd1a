"""The generated rows are at and next to thresholds, hold extremes, missing and unknown values, and stay within what
is declared.
"""

import numpy as np
import pytest

from slipway.model.compiled.encoding import Row
from slipway.model.signature import Column
from slipway.packing.compiling.edge_rows import FLOAT32_MAX, LARGEST, MOST_ROWS, MOST_VALUES, ROUNDED_UP, edge_rows

RANDOM = np.random.default_rng(0)
NUMBER = Column(name="length", observed_minimum=1.0, observed_maximum=9.0)


def values(column: Column, samples: list[Row], thresholds: list[float] | None = None, place: int = 0) -> set[object]:
    found = {} if thresholds is None else {place: np.array(thresholds)}
    return {row[place] for row in edge_rows([column], samples, found, RANDOM)}


@pytest.mark.parametrize("threshold", [2.45, 2.4499999284744263, -1e-12, 0.0, 16777217.0])
def test_a_threshold_is_met_and_its_neighbours_in_both_precisions(threshold: float) -> None:
    asked = values(NUMBER, [[3.0]], [threshold])
    single = np.float32(threshold)
    wanted = {threshold, *np.nextafter(threshold, (np.inf, -np.inf)).tolist(), float(single)}
    wanted |= {float(np.nextafter(single, np.float32(towards))) for towards in (np.inf, -np.inf)}
    assert wanted <= asked


def test_extremes_are_asked_last() -> None:
    rows = edge_rows([NUMBER], [[3.0]], {0: np.array([2.0])}, RANDOM)
    assert {FLOAT32_MAX, -FLOAT32_MAX, ROUNDED_UP, 1e39, 1e300, LARGEST, -LARGEST, 5e-324} <= {row[0] for row in rows}
    last = [i for i, row in enumerate(rows) if abs(row[0]) > 1e30]
    assert last == list(range(len(rows) - len(last), len(rows)))


def test_float32_rounds_up_to_an_infinity_where_it_is_said_to() -> None:
    with np.errstate(over="ignore"):
        assert np.isinf(np.float32(ROUNDED_UP))
    assert np.float32(np.nextafter(ROUNDED_UP, 0)) == FLOAT32_MAX


def test_missing_and_unknown_values_are_asked_where_they_may_be() -> None:
    string = Column(name="port", type="string", nullable=True, observed_categories=("C", "Q"))
    assert {None, "C", "Q", "S", "", "?"} <= values(string, [["S"]])
    assert values(Column(name="alone", type="boolean"), [[True]]) == {False, True}
    assert None not in values(NUMBER, [[3.0]])


def test_what_is_declared_is_kept() -> None:
    declared = Column(name="length", minimum=2.0, exclusive_maximum=4.0)
    asked = values(declared, [[3.0]], [1.0, 2.0, 3.5, 4.0, 5.0])
    assert {2.0, 3.5} <= asked
    assert all(isinstance(value, float) and 2.0 <= value < 4.0 for value in asked)
    assert values(Column(name="size", type="string", allowed=("S", "L")), [["S"]]) == {"S", "L"}


def test_the_rows_are_made_of_the_samples_and_not_too_many() -> None:
    columns = [NUMBER, Column(name="size", type="string", allowed=("S", "L"))]
    samples = [[float(i), "S" if i % 2 else "L"] for i in range(30)]
    rows = edge_rows(columns, samples, {0: RANDOM.uniform(0, 9, 50_000)}, RANDOM)
    assert len(rows) < 1.1 * MOST_ROWS
    assert all(len(row) == 2 and row[1] in ("S", "L") for row in rows)


def test_a_wide_model_gets_fewer_rows_but_two_for_each_column() -> None:
    columns = [Column(name=f"x{i}") for i in range(2000)]
    samples = [[0.5 + i] * 2000 for i in range(20)]
    rows = edge_rows(columns, samples, {}, RANDOM)
    assert 2 * len(columns) <= len(rows) <= 5 * MOST_VALUES / len(columns)


def test_a_threshold_at_the_largest_number_has_no_neighbour_above_it() -> None:
    assert {LARGEST, float(np.nextafter(LARGEST, 0))} <= values(NUMBER, [[3.0]], [LARGEST])

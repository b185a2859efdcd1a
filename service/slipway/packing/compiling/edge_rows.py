"""Rows where a compiled form may go wrong: at and next to the values where trees split, at extremes, with missing
and unknown values.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...model.compiled.encoding import Row, Value
from ...model.signature import Column

Array = np.ndarray[Any, Any]

MOST_ROWS = 20_000
MOST_VALUES = 2_000_000  # rows times columns: a wide model gets fewer rows, but each of its columns is changed
MOST_SEEN = 200  # different values of a column
FLOAT32_MAX = float(np.finfo(np.float32).max)
LARGEST = float(np.finfo(np.float64).max)
ROUNDED_UP = 3.4028235677973366e38  # the least float64 that float32 takes for an infinity
_EXTREMES = (FLOAT32_MAX, float(np.nextafter(ROUNDED_UP, 0)), ROUNDED_UP, 1e39, 1e100, 1e300, 1e308, LARGEST)
_SMALL = (0.0, -0.0, 1.0, -1.0, 0.5, 1e-7, 1.0000001, 5e-324, -5e-324, 1.1754943508222875e-38, 1e-45, 16777217.0)
_STRINGS = ("", " ", "?", "nan", "None", "0", "Ünknown \U0001f6a2")


def edge_rows(
    columns: Sequence[Column], rows: Sequence[Row], thresholds: Mapping[int, Array], random: np.random.Generator
) -> list[Row]:
    """Rows made of the sample rows, within what the columns declare. Those that an estimator may refuse come last."""
    most = min(MOST_ROWS, MOST_VALUES // len(columns))
    each = max(1, most // (2 * len(columns)))
    near = [_accepted(column, _near(column, thresholds.get(i))) for i, column in enumerate(columns)]
    usual = [
        _some(_accepted(column, _usual(column, [row[i] for row in rows])), each, random)
        for i, column in enumerate(columns)
    ]
    strange = [_some(_accepted(column, _strange(column)), each, random) for column in columns]
    made = _one_changed(rows, usual, random)
    made += [_all_changed(row, usual, random) for row in _some(rows, most // 20, random)]
    if any(near):
        made += _one_changed(rows, [_some(values, each, random) for values in near], random)
        made += [
            _all_changed(rows[place], near, random) for place in random.integers(len(rows), size=most // 4).tolist()
        ]
    return made + _one_changed(rows, strange, random)


def _near(column: Column, thresholds: Array | None) -> list[Value]:
    """Every threshold, its neighbours in float64, the float32s around it, and their neighbours in float64."""
    if not column.numeric or thresholds is None:
        return []
    single = thresholds[np.abs(thresholds) < FLOAT32_MAX].astype(np.float32)
    singles = np.concatenate(
        [single, np.nextafter(single, np.float32(np.inf)), np.nextafter(single, np.float32(-np.inf))]
    )
    found = np.concatenate([thresholds, singles.astype(np.float64)])
    with np.errstate(over="ignore"):  # the largest number has an infinity for a neighbour
        found = np.concatenate([found, np.nextafter(found, np.inf), np.nextafter(found, -np.inf)])
    values: list[Value] = np.unique(found[np.isfinite(found)]).tolist()
    return values


def _usual(column: Column, seen: Sequence[Value]) -> list[Value]:
    """A missing value, and those that were seen or are known."""
    values: list[Value] = [None, *[value for value in dict.fromkeys(seen) if value is not None][:MOST_SEEN]]
    values += (
        [False, True]
        if column.type == "boolean"
        else [
            *(column.allowed or ()),
            *(column.categories or column.observed_categories or ()),
        ]
    )
    bounds = (column.observed_minimum, column.observed_maximum, column.minimum, column.maximum)
    return values + [bound for bound in bounds if bound is not None]


def _strange(column: Column) -> list[Value]:
    """Values that nobody has seen: unknown strings, numbers out of range, tiny and huge ones."""
    if column.type == "boolean":
        return []
    if column.type == "string":
        return list(_STRINGS)
    bounds = [bound for bound in (column.observed_minimum, column.observed_maximum) if bound is not None]
    beyond = [
        value
        for bound in bounds
        for value in (*np.nextafter(bound, (np.inf, -np.inf)).tolist(), 2 * bound + 1, -2 * bound - 1)
    ]
    return [*beyond, *_SMALL, *(sign * value for value in _EXTREMES for sign in (1, -1))]


def _accepted(column: Column, values: Sequence[Value]) -> list[Value]:
    """Those that a request may hold."""
    return [value for value in values if _is_accepted(column, value)]


def _is_accepted(column: Column, value: Value) -> bool:
    if value is None:
        return column.nullable
    if isinstance(value, bool | str):
        return column.allowed is None or value in column.allowed
    if column.type == "integer" and not float(value).is_integer():
        return False
    return (
        (column.minimum is None or value >= column.minimum)
        and (column.exclusive_minimum is None or value > column.exclusive_minimum)
        and (column.maximum is None or value <= column.maximum)
        and (column.exclusive_maximum is None or value < column.exclusive_maximum)
    )


def _one_changed(rows: Sequence[Row], choices: Sequence[Sequence[Value]], random: np.random.Generator) -> list[Row]:
    """For every value of every column a sample row that has it instead of its own."""
    made: list[Row] = []
    for i, values in enumerate(choices):
        for value, place in zip(values, random.integers(len(rows), size=len(values)).tolist(), strict=True):
            made.append([*rows[place][:i], value, *rows[place][i + 1 :]])
    return made


def _all_changed(row: Row, choices: Sequence[Sequence[Value]], random: np.random.Generator) -> Row:
    """A row of which every column has one of its values, where there are some."""
    picks = random.random(len(choices)).tolist()
    return [
        values[int(pick * len(values))] if values else own
        for own, values, pick in zip(row, choices, picks, strict=True)
    ]


def _some(values: Sequence[Any], most: int, random: np.random.Generator) -> list[Any]:
    if len(values) <= most:
        return list(values)
    return [values[place] for place in np.sort(random.choice(len(values), most, replace=False)).tolist()]

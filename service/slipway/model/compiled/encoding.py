"""Columns to numbers as imputers, scalers and encoders make them, one column at a time: a row in plain Python, many
rows with numpy.
"""

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from operator import add, itemgetter, mul, sub, truediv
from typing import Any, Literal, Self

import numpy as np

Value = float | str | bool | None  # of a validated JSON row; None: missing
Row = Sequence[Any]
Array = np.ndarray[Any, Any]
Operator = Literal["+", "-", "*", "/"]

_OPERATORS = {"+": add, "-": sub, "*": mul, "/": truediv}


class Unusable(ValueError):
    """A value that the estimator refuses: a category that its encoder does not know, a number that becomes an
    infinity inside.
    """


@dataclass(frozen=True)
class Number:
    """A column as one number. `steps`: arithmetic, in order; `missing`: what comes out for a missing value, None:
    NaN.
    """

    column: int
    steps: tuple[tuple[Operator, float], ...] = ()
    missing: Value = None
    width = 1

    @property
    def plain(self) -> bool:
        return not self.steps and self.missing is None

    def then(self, operator: Operator, value: float) -> Self:
        missing = self.missing if self.missing is None else _OPERATORS[operator](self.missing, value)
        return replace(self, steps=(*self.steps, (operator, value)), missing=missing)

    def one(self, value: Any) -> float:
        if value is None:
            return math.nan if self.missing is None else self.missing  # type: ignore[return-value]
        for operator, operand in self.steps:
            value = _OPERATORS[operator](value, operand)
        return value  # type: ignore[no-any-return]

    def many(self, values: Array) -> Array:
        """`values`: floats, NaN where missing."""
        found = values
        for operator, operand in self.steps:
            found = _OPERATORS[operator](found, operand)
        return found if self.missing is None else np.where(np.isnan(values), self.missing, found)


@dataclass(frozen=True)
class Table:
    """A column as `width` numbers, looked up by value; the key None is a missing one. `unknown` None: other values
    are refused.
    """

    column: int
    entries: Mapping[Value, tuple[float, ...]]
    unknown: tuple[float, ...] | None

    @property
    def width(self) -> int:
        return len(next(iter(self.entries.values()), self.unknown or ()))

    def then(self, operator: Operator, value: float) -> Self:
        return self.mapped(lambda number: _OPERATORS[operator](number, value))

    def mapped(self, function: Any) -> Self:
        entries = {key: tuple(map(function, numbers)) for key, numbers in self.entries.items()}
        return replace(
            self, entries=entries, unknown=None if self.unknown is None else tuple(map(function, self.unknown))
        )

    def answers_as(self, other: "Table") -> bool:
        """Whether both know the same values, and refuse the same."""
        return self.entries.keys() == other.entries.keys() and (self.unknown is None) == (other.unknown is None)

    def one(self, value: Any) -> tuple[float, ...]:
        found = self.entries.get(value, self.unknown)
        if found is None:
            raise Unusable("Found an unknown category")
        return found


Feature = Number | Table


class Encoding:
    """The numbers that a model's core takes, in order, from the values of a row. `nullable`: values may be missing.
    Raises Unusable.
    """

    def __init__(self, features: Sequence[Feature], nullable: bool = True) -> None:
        self.features = tuple(features)
        self._nullable = nullable
        self.is_identity = all(
            isinstance(found, Number) and found.plain and found.column == i for i, found in enumerate(self.features)
        )
        self.width = sum(found.width for found in self.features)
        self._pack = struct.Struct(f"{self.width}d").pack
        # Runs of plain numbers are picked in one go; everything else feature by feature.
        self._parts: list[tuple[Any, Feature | None]] = []
        for plain, run in groupby(self.features, lambda found: isinstance(found, Number) and found.plain):
            if plain:
                columns = [found.column for found in run]
                self._parts.append(
                    (itemgetter(*columns) if len(columns) > 1 else itemgetter(slice(columns[0], columns[0] + 1)), None)
                )
            else:
                self._parts.extend((None, found) for found in run)

    @classmethod
    def read(cls, content: list[dict[str, Any]], nullable: bool = True) -> Self:
        return cls([_read(entry) for entry in content], nullable)

    def content(self) -> list[dict[str, Any]]:
        return [_content(found) for found in self.features]

    def one(self, row: Row) -> Sequence[float]:
        """The numbers of one row of JSON values, NaN where one is missing and nothing is put in its place."""
        if self.is_identity:
            # Columns that the model drops may follow.
            numbers: Any = row if len(row) == self.width else row[: self.width]
        else:
            numbers = []
            for pick, feature in self._parts:
                if feature is None:
                    numbers.extend(pick(row))
                elif isinstance(feature, Table):
                    numbers.extend(feature.one(row[feature.column]))
                else:
                    numbers.append(feature.one(row[feature.column]))
        if self._nullable and None in numbers:
            return [math.nan if number is None else number for number in numbers]
        return numbers  # type: ignore[no-any-return]

    def many(self, rows: Sequence[Row] | Array) -> Array:
        """The (n, width) array of n rows of JSON values, or of an (n, columns) array with NaN where a value is
        missing.
        """
        if self.is_identity and len(rows) and len(rows[0]) > self.width:
            rows = rows[:, : self.width] if isinstance(rows, np.ndarray) else [row[: self.width] for row in rows]
        if self.is_identity and not self._nullable and isinstance(rows, list):
            # A third of what numpy takes for it.
            return np.frombuffer(b"".join([self._pack(*row) for row in rows])).reshape(-1, self.width)
        if self.is_identity:
            return np.ascontiguousarray(rows, dtype=np.float64)
        columns = columns_of(rows)
        encoded = np.empty((len(rows), self.width))
        place = 0
        for feature in self.features:
            values = columns[feature.column]
            if isinstance(feature, Number):
                encoded[:, place] = feature.many(np.asarray(values, dtype=np.float64))
            else:
                encoded[:, place : place + feature.width] = [feature.one(value) for value in keys(values)]
            place += feature.width
        return encoded


def columns_of(rows: Sequence[Row] | Array) -> list[Any]:
    """The columns of some rows: as sequences of values, or as arrays."""
    return list(rows.T) if isinstance(rows, np.ndarray) else list(zip(*rows, strict=True))


def keys(values: Any) -> list[Value]:
    """A column's values as a table has them: None where one is missing."""
    return (
        [None if value != value else value for value in values.tolist()] if isinstance(values, np.ndarray) else values
    )


def _content(feature: Feature) -> dict[str, Any]:
    if isinstance(feature, Number):
        return {"column": feature.column, "steps": feature.steps, "missing": feature.missing}
    entries = [[key, _without_nan(numbers)] for key, numbers in feature.entries.items()]
    return {
        "column": feature.column,
        "entries": entries,
        "unknown": None if feature.unknown is None else _without_nan(feature.unknown),
    }


def _read(content: dict[str, Any]) -> Feature:
    if "steps" in content:
        return Number(
            content["column"], tuple((operator, value) for operator, value in content["steps"]), content["missing"]
        )
    unknown = content["unknown"]
    entries = {key: _with_nan(numbers) for key, numbers in content["entries"]}
    return Table(content["column"], entries, None if unknown is None else _with_nan(unknown))


def _without_nan(numbers: Sequence[float]) -> list[float | None]:
    return [None if number != number else number for number in numbers]


def _with_nan(numbers: Sequence[float | None]) -> tuple[float, ...]:
    return tuple(math.nan if number is None else number for number in numbers)

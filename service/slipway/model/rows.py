"""Request rows to validated batches: pydantic-core checks every value, and a refusal says where and what to send
instead.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from itertools import chain, islice
from operator import itemgetter
from typing import Any, NoReturn

import numpy as np
from msgspec import UNSET
from pydantic import ValidationError

from ..errors import FeatureCount, FieldError, InvalidBody, NotFinite, TooManyRows
from . import dates
from . import row_schema as json_schema
from .batch import Batch, Data, Row, batch_builder, batch_of_rows
from .row_checks import body_decoder, is_too_long, rows_checker, unstated_checks, value_checker
from .signature import Column, Signature

__all__ = ["Batch", "RowValidator"]

MOST_ERRORS = 20
MOST_NAMES = 10  # of columns or categories in one message
MOST_CHARACTERS = 100  # of a name that a client made up
MOST_LOOKED_AT = 1000  # values after the first wrong one: a row of any width must not be gone through one by one


class RowValidator:
    """Compiled once per model. Takes values as pydantic_core.from_json makes them; raises InvalidInput and nothing
    else.

    `as_rows`: its batches hold the rows as they are, for a compiled form; otherwise what the estimator's predict takes.
    """

    def __init__(self, signature: Signature, max_rows: int, *, as_rows: bool = False) -> None:
        self.signature = signature
        self.max_rows = max_rows
        self._as_rows = as_rows
        columns = signature.columns or ()
        self._check_rows = rows_checker(signature)
        self._passes = value_checker(signature)
        self._decode = body_decoder(signature, max_rows)
        self._unstated = unstated_checks(signature)
        self._ordered = [column.name for column in columns]
        self._names = frozenset(self._ordered)
        self._required = frozenset(column.name for column in columns if not column.nullable)
        self._pick: Callable[[Any], Row] = (
            itemgetter(*self._ordered) if len(columns) > 1 else lambda row: tuple(row.values())
        )

    @cached_property
    def build(self) -> Callable[[list[Row]], Batch]:
        """How to make a batch of rows that were checked."""
        # Not before the first row: nobody asks a model that is not loaded, and data frames cost the import of pandas.
        return batch_of_rows if self._as_rows else batch_builder(self.signature)

    def rows_of_json(self, text: bytes) -> tuple[Batch, bool] | None:
        """The row of `{"features": [...]}`, or those of `{"instances": [[...], ...]}` and True, checked while the text
        is parsed.

        None where it is anything else, or wrong.
        """
        try:
            body = self._decode(text)
        except (ValueError, RecursionError):
            # msgspec's errors, that of bytes that are no UTF-8, and that of a thousand brackets.
            return None
        features, instances = body.features, body.instances
        if (features is UNSET) == (instances is UNSET):
            return None
        rows: list[Row] = [features] if instances is UNSET else instances  # type: ignore[list-item]
        for place, passes in self._unstated:
            if not all(passes(row[place]) for row in rows):
                return None
        return self.build(rows), features is UNSET

    def features(self, value: Any) -> Batch:
        """One row as a list in column order."""
        if not isinstance(value, list):
            raise _invalid([FieldError("features", self._expected_list())])
        if self.signature.columns is not None:
            self._check_widths([value], len(self._ordered), lambda _: "features")
        try:
            return self.build(self._check_rows([value]))
        except ValidationError as error:
            self._refuse([value], error, lambda _: "features")

    def row(self, value: Any) -> Batch:
        """One row as an object by column; columns that may be missing may be left out."""
        row = self._in_order(value, "")
        try:
            return self.build(self._check_rows([row]))
        except ValidationError as error:
            self._refuse([row], error, lambda _: "", by_name=True)

    def instances(self, value: Any) -> Batch:
        """Many rows, all of them lists or all of them objects."""
        if not isinstance(value, list):
            raise _invalid([FieldError("instances", "Expected a list of rows")])
        if len(value) > self.max_rows:
            raise TooManyRows(f"Expected at most {self.max_rows} rows, got {len(value)}: send them in several requests")
        if not value:
            raise _invalid([FieldError("instances", "Expected at least one row")])
        kind = dict if isinstance(value[0], dict) else list
        for i, row in enumerate(value):
            if not isinstance(row, kind):
                expected = self._expected_list() if kind is list else "Expected an object by column"
                raise _invalid([FieldError(f"instances[{i}]", f"{expected}; rows are all lists or all objects")])
        rows: list[Row] = (
            value if kind is list else [self._in_order(row, f"instances[{i}].") for i, row in enumerate(value)]
        )
        if kind is list and self.signature.columns is not None:
            self._check_widths(rows, len(self._ordered), "instances[{}]".format)
        try:
            checked = self._check_rows(rows)
        except ValidationError as error:
            self._refuse(rows, error, "instances[{}]".format, by_name=kind is dict)
        if self.signature.columns is None:
            self._check_widths(checked, len(checked[0]), "instances[{}]".format)
        return self.build(checked)

    def joined(self, batches: Sequence[Batch]) -> Data:
        """The rows of batches of equal form, in their order."""
        if len(batches) == 1:
            return batches[0].data
        parts: list[Any] = [batch.data for batch in batches]
        if isinstance(parts[0], list):
            return list(chain.from_iterable(parts))
        if isinstance(parts[0], np.ndarray):
            return np.concatenate(parts)
        # Built anew as for one request with all these rows: pandas takes ten times as long to put them together.
        return self.build([row for batch in batches for row in batch.rows or ()]).data

    def row_schema(self) -> json_schema.JsonSchema:
        """JSON Schema of a row as an object by column."""
        return json_schema.object_schema(self.signature)

    def list_schema(self) -> json_schema.JsonSchema:
        """JSON Schema of a row as a list."""
        return json_schema.list_schema(self.signature)

    def _in_order(self, row: dict[str, Any], at: str) -> Row:
        """The values in column order, None for what is left out and may be missing."""
        if self.signature.columns is None:
            raise _invalid([FieldError(at.rstrip("."), "This model's columns have no names: send rows as lists")])
        if row.keys() == self._names:
            return self._pick(row)
        missing = self._required - row.keys()
        unknown = list(islice((name for name in row if name not in self._names), MOST_ERRORS))
        if not missing and not unknown:
            return tuple(map(row.get, self._ordered))
        columns = self.signature.columns
        errors = [
            FieldError(f"{at}{column.name}", f"Missing: {_wanted(column)}")
            for column in columns
            if column.name in missing
        ]
        remedy = f"No such column: the columns are {_listed(self._ordered)}"
        errors += [FieldError(f"{at}{name[:MOST_CHARACTERS]}", remedy) for name in sorted(unknown)]
        raise _invalid(errors)

    def _refuse(
        self, rows: Sequence[Row], error: ValidationError, at: Callable[[int], str], *, by_name: bool = False
    ) -> NoReturn:
        """Raises what is wrong with rows, of which `error` knows the first, going through the others one by one
        until they are enough.
        """
        columns = self.signature.columns
        errors: list[FieldError] = []
        not_finite: list[FieldError] = []
        first = int(_place(error)[0])
        for i, row in enumerate(islice(rows, first, None), first):
            for j in islice(self._wrong_values(row), MOST_ERRORS):
                field = f"{at(i)}.{self._ordered[j]}".lstrip(".") if by_name else f"{at(i)}[{j}]"
                if _is_not_finite(row[j]):
                    not_finite.append(FieldError(field, "Expected a finite number"))
                else:
                    name = f"{self._ordered[j]}: " if self.signature.named and not by_name else ""
                    wanted = _wanted(columns[j], row[j]) if columns else "a number"
                    errors.append(FieldError(field, f"{name}Expected {wanted}"))
            if len(errors) + len(not_finite) >= MOST_ERRORS:
                break
        if not_finite:
            raise NotFinite("Features contain NaN or infinity", not_finite[:MOST_ERRORS])
        raise _invalid(errors or [FieldError(at(0), "Expected at least one number")])

    def _wrong_values(self, row: Row) -> Iterator[int]:
        """The places of the values that do not pass: the first one, and others among those that follow it."""
        try:
            self._check_rows([row])
        except ValidationError as error:
            place = _place(error)
            if len(place) > 1:
                first = int(place[1])
                yield first
                for j in range(first + 1, min(len(row), first + MOST_LOOKED_AT)):
                    if not self._passes(j, row[j]):
                        yield j

    def _check_widths(self, rows: Sequence[Row], width: int, at: Callable[[int], str]) -> None:
        for i, row in enumerate(rows):
            if len(row) != width:
                detail = f"Expected {width} features, got {len(row)}"
                where = "" if at(i) == "features" else f" in {at(i)}"
                raise FeatureCount(detail + where, [FieldError(at(i), detail)])

    def _expected_list(self) -> str:
        if self.signature.columns is None:
            return "Expected a list of numbers"
        count = len(self._ordered)
        return f"Expected a list of {count} value{'s' * (count != 1)}: {_listed(self._ordered)}"


def _place(error: ValidationError) -> tuple[int | str, ...]:
    """Of the first value that did not pass."""
    return error.errors(include_url=False, include_context=False, include_input=False)[0]["loc"]


def _wanted(column: Column, instead_of: Any = None) -> str:
    """What to send, in words."""
    if is_too_long(column, instead_of):
        return f"{_wanted(column)}; integers have at most 64 bits"
    if column.type == "any":
        return "a number, a string, true, false or null"
    if column.type == "datetime":
        return dates.wanted(column.dtype) + (" or null" if column.nullable else "")
    what = {"number": "a number", "integer": "an integer", "boolean": "true or false", "string": "a string"}[
        column.type
    ]
    if column.allowed is not None:
        what = f"one of {_listed([repr(value) for value in column.allowed])}"
    bounds = {
        "at least": column.minimum,
        "greater than": column.exclusive_minimum,
        "at most": column.maximum,
        "less than": column.exclusive_maximum,
    }
    limits = " and ".join(f"{words} {bound:.15g}" for words, bound in bounds.items() if bound is not None)
    return " ".join(part for part in (what, limits, "or null" if column.nullable else "") if part)


def _is_not_finite(value: Any) -> bool:
    """NaN, an infinity, or an integer that no float can hold."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value.bit_length() > 1023
    return isinstance(value, float) and (value != value or value in (float("inf"), float("-inf")))


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:MOST_NAMES])
    return shown if len(names) <= MOST_NAMES else f"{shown} and {len(names) - MOST_NAMES} more"


def _invalid(errors: list[FieldError]) -> InvalidBody:
    first = f"{errors[0].field}: {errors[0].detail}" if errors[0].field else errors[0].detail
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return InvalidBody(first + more, [error for error in errors[:MOST_ERRORS] if error.field])

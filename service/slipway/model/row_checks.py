"""The types that rows are checked with, made of a model's signature: strict, and with the declared bounds alone."""

import math
from collections.abc import Callable
from functools import cache
from typing import Annotated, Any, Literal, NamedTuple, Protocol

from msgspec import UNSET, Meta, UnsetType, defstruct
from msgspec.json import Decoder
from pydantic import AfterValidator, BeforeValidator, FailFast, Field, TypeAdapter

from .batch import Row
from .dates import is_date
from .signature import Column, ColumnType, Signature

LEAST_INTEGER, LARGEST_INTEGER = -(2**63), 2**64 - 1  # what pandas holds exactly


def _without_loss(value: Any) -> Any:
    """Before a float is made of it: an integer that floats pass over would be another one, perhaps of 64 bits again."""
    # One beyond is refused as an infinity.
    if type(value) is int and value.bit_length() < 1024 and float(value) != value:
        raise ValueError("no float")
    return value


_Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
_ExactNumber = Annotated[_Number, BeforeValidator(_without_loss)]
_Integer = Annotated[int, Field(strict=True, ge=LEAST_INTEGER, le=LARGEST_INTEGER)]
_String = Annotated[str, Field(strict=True)]
_Boolean = Annotated[bool, Field(strict=True)]


class _Rules(NamedTuple):
    """What of a column can refuse a value, or change its type."""

    type: ColumnType
    dtype: str | None
    keeps_integers: bool
    nullable: bool
    minimum: float | None
    exclusive_minimum: float | None
    maximum: float | None
    exclusive_maximum: float | None
    allowed: tuple[str, ...] | None


_ANY_NUMBER = _Rules("number", None, False, False, None, None, None, None, None)


def _rules(column: Column) -> _Rules:
    return _Rules(*(getattr(column, name) for name in _Rules._fields))


def rows_checker(signature: Signature) -> Callable[[Any], list[Row]]:
    """Checks rows as pydantic_core.from_json makes them; raises ValidationError at the first one that is wrong."""
    row: Any = Annotated[_row_type(signature, _value_type, Field), FailFast()]
    rows: Any = Annotated[list[row], FailFast()]
    return TypeAdapter(rows).validator.validate_python


def is_too_long(column: Column, value: Any) -> bool:
    """Whether it is an integer that is refused for its length alone."""
    return column.keeps_integers and type(value) is int and not LEAST_INTEGER <= value <= LARGEST_INTEGER


def value_checker(signature: Signature) -> Callable[[int, Any], bool]:
    """Whether a value may stand at this place of a row, for one that was refused."""
    check = cache(lambda rules: TypeAdapter(_value_type(rules)).validator)

    def passes(place: int, value: Any) -> bool:
        rules = _ANY_NUMBER if signature.columns is None else _rules(signature.columns[place])
        return bool(check(rules).isinstance_python(value))

    return passes


class Body(Protocol):
    """One row or many of them, each a list in column order; UNSET what is not given."""

    features: Row | UnsetType
    instances: list[Row] | UnsetType


def body_decoder(signature: Signature, max_rows: int) -> Callable[[bytes], Body]:
    """Checks the JSON text `{"features": [...]}` or `{"instances": [[...], ...]}` while parsing it, in a third of
    pydantic's time.

    Raises ValueError or RecursionError for everything else, without a word for the client: pydantic looks again, and
    finds them.
    """
    row = _row_type(signature, _decoded_value, Meta)
    fields: list[Any] = [("features", row | UnsetType, UNSET), ("instances", UnsetType, UNSET)]
    if signature.columns is not None:  # rows of unknown width must be as long as each other, which no type can say
        rows: Any = Annotated[list[row], Meta(min_length=1, max_length=max_rows)]  # type: ignore[valid-type]
        fields[1] = ("instances", rows | UnsetType, UNSET)
    decode: Any = Decoder(defstruct("Body", fields, forbid_unknown_fields=True)).decode
    return decode  # type: ignore[no-any-return]


def _row_type(signature: Signature, value_type: Callable[[_Rules], Any], size: Callable[..., Any]) -> Any:
    """The type of a row, in the words of pydantic or of msgspec. Equal columns share one: a model may have
    thousands.
    """
    if signature.columns is None:
        return Annotated[list[value_type(_ANY_NUMBER)], size(min_length=1)]  # type: ignore[misc]
    rules = [_rules(column) for column in signature.columns]
    types = {rule: value_type(rule) for rule in set(rules)}
    if len(types) == 1:
        kind: Any = types[rules[0]]
        return Annotated[list[kind], size(min_length=len(rules), max_length=len(rules))]
    return tuple[tuple(types[rule] for rule in rules)]  # type: ignore[misc]


def _value_type(column: _Rules) -> Any:
    """The type of a column's values: strict, and with the declared bounds alone."""
    bounds = Field(ge=column.minimum, gt=column.exclusive_minimum, le=column.maximum, lt=column.exclusive_maximum)
    finite: Any = _ExactNumber if column.keeps_integers else _Number
    number = Annotated[finite, bounds]
    integer = Annotated[_Integer, AfterValidator(_within(column))]
    match column.type:
        case "number":
            value: Any = integer | number if column.keeps_integers else number
        case "integer":
            value = integer | Annotated[number, AfterValidator(_whole)]
        case "boolean":
            value = _Boolean
        case "string":
            value = _String if column.allowed is None else Literal[column.allowed]
        case "datetime":
            value = Annotated[_String, AfterValidator(_date_of(column.dtype))]
        case "any":
            value = _Integer | _ExactNumber | _String | _Boolean | None
    return value | None if column.nullable else value


def _whole(value: float) -> int:
    """JSON knows no difference between 11 and 11.0."""
    if not (value.is_integer() and LEAST_INTEGER <= value <= LARGEST_INTEGER):
        raise ValueError("no integer")
    return int(value)


def _within(column: _Rules) -> Callable[[int], int]:
    passes = _integer_check(column)

    def check(value: int) -> int:
        if not passes(value):
            raise ValueError("out of bounds")
        return value

    return check


def _date_of(dtype: str | None) -> Callable[[str], str]:
    def check(text: str) -> str:
        if not is_date(text, dtype):
            raise ValueError("no date")
        return text

    return check


def _decoded_value(column: _Rules) -> Any:
    """As msgspec decodes them; it accepts what pydantic does, or refuses what pydantic looks at again."""
    match column.type:
        case "number":
            value: Any = int | float if column.keeps_integers else Annotated[float, _bounds(column)]
        case "integer":
            value = int
        case "boolean":
            value = bool
        case "string":
            value = str if column.allowed is None else Literal[column.allowed]
        case "datetime":
            value = str
        case "any":
            value = int | float | str | bool | None
    return value | None if column.nullable else value


def unstated_checks(signature: Signature) -> list[tuple[int, Callable[[Any], bool]]]:
    """What msgspec's types cannot say of a column: by its place, whether a value that was decoded passes."""
    return [
        (place, _date_check(column.dtype, column.nullable) if column.type == "datetime" else _integer_check(column))
        for place, column in enumerate(signature.columns or ())
        if column.type == "datetime" or column.keeps_integers
    ]


def _date_check(dtype: str | None, nullable: bool) -> Callable[[Any], bool]:
    return lambda value: (value is None and nullable) or is_date(value, dtype)


def _integer_check(column: Column | _Rules) -> Callable[[Any], bool]:
    """Of integers and of what stands beside them: within 64 bits and the declared bounds."""
    low, over, high, under = column.minimum, column.exclusive_minimum, column.maximum, column.exclusive_maximum
    least, most = -math.inf if low is None else low, math.inf if high is None else high

    def passes(value: Any) -> bool:
        if type(value) is not int:
            return value is None or type(value) is not float or within(value)
        return LEAST_INTEGER <= value <= LARGEST_INTEGER and within(value)

    def within(value: float) -> bool:
        return least <= value <= most and (over is None or value > over) and (under is None or value < under)

    return passes


def _bounds(column: _Rules) -> Meta:
    """Of two bounds on one side the tighter: msgspec takes one, pydantic both."""
    low, over, high, under = column.minimum, column.exclusive_minimum, column.maximum, column.exclusive_maximum
    if low is not None and over is not None:
        low, over = (low, None) if low > over else (None, over)
    if high is not None and under is not None:
        high, under = (high, None) if high < under else (None, under)
    bounds: dict[str, Any] = {"ge": low, "gt": over, "le": high, "lt": under}
    return Meta(**bounds)

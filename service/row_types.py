"""The types that pydantic-core checks rows with, made of a model's signature: strict, and with the declared bounds alone."""

from collections.abc import Callable
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import ConfigDict, FailFast, Field, TypeAdapter, with_config
from typing_extensions import TypedDict

from .batch import Row
from .schema import ColumnType, Signature

_Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
_String = Annotated[str, Field(strict=True)]
_Boolean = Annotated[bool, Field(strict=True)]


class _Rules(NamedTuple):
    """What of a column can refuse a value."""

    type: ColumnType
    nullable: bool
    minimum: float | None
    exclusive_minimum: float | None
    maximum: float | None
    exclusive_maximum: float | None
    allowed: tuple[str, ...] | None


def rows_checker(signature: Signature) -> Callable[[Any], list[Row]]:
    """Checks rows as pydantic_core.from_json makes them; raises ValidationError at the first one that is wrong."""
    rows: Any = Annotated[list[_row_type(signature)], FailFast()]  # type: ignore[misc]
    return TypeAdapter(rows).validator.validate_python


def features_checker(signature: Signature) -> Callable[[bytes], dict[str, Row]]:
    """Checks the JSON text `{"features": [...]}` while parsing it; raises ValidationError."""
    body: Any = TypedDict("Features", {"features": _row_type(signature)})  # type: ignore[misc]
    closed: Any = with_config(ConfigDict(extra="forbid"))(body)
    return TypeAdapter(closed).validator.validate_json


def _row_type(signature: Signature) -> Any:
    """The type that pydantic checks a row with. Equal columns share one: a model may have thousands."""
    if signature.columns is None:
        return Annotated[list[_Number], Field(min_length=1)]
    rules = [_Rules(*(getattr(column, name) for name in _Rules._fields)) for column in signature.columns]
    types = {rule: _value_type(rule) for rule in set(rules)}
    if len(types) == 1:
        return Annotated[list[types[rules[0]]], Field(min_length=len(rules), max_length=len(rules))]  # type: ignore[valid-type]
    return tuple[tuple(types[rule] for rule in rules)]  # type: ignore[misc]


def _value_type(column: _Rules) -> Any:
    """The type of a column's values: strict, and with the declared bounds alone."""
    match column.type:
        case "number":
            bounds = Field(ge=column.minimum, gt=column.exclusive_minimum, le=column.maximum, lt=column.exclusive_maximum)
            value: Any = Annotated[_Number, bounds]
        case "boolean":
            value = _Boolean
        case "string":
            value = _String if column.allowed is None else Literal[column.allowed]
        case "any":
            value = _Number | _String | _Boolean | None
    return value | None if column.nullable else value

"""The columns of a signature: what the data shows of them and what columns.toml declares."""

import math
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from .errors import ArtifactError
from .manifest import first_error
from .schema import Column, ColumnType

MOST_CATEGORIES = 50  # strings with more distinct values are free text: their values are not listed


class Declaration(BaseModel):
    """One table of columns.toml. Bounds and `allowed` refuse requests; None leaves what the data shows."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    type: Literal["number", "boolean", "string", "category"] | None = None
    description: str | None = None
    nullable: bool | None = None
    minimum: float | None = None
    exclusive_minimum: float | None = None
    maximum: float | None = None
    exclusive_maximum: float | None = None
    allowed: list[str] | None = Field(None, min_length=1)

    @model_validator(mode="after")
    def _bounds_are_for_numbers(self) -> Self:
        if self.allowed is not None and self.type not in (None, "string", "category"):
            raise ValueError(f"allowed lists strings, but the type is {self.type}")
        return self


def read_declarations(path: Path) -> dict[str, Declaration]:
    """The tables of columns.toml by column. Raises ArtifactError naming what is wrong."""
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ArtifactError(f"{path} does not exist") from None
    except (OSError, ValueError) as error:  # TOMLDecodeError and UnicodeDecodeError are ValueErrors
        raise ArtifactError(f"{path} cannot be read: {error}") from None
    declarations = {}
    for name, table in tables.items():
        if not isinstance(table, dict):
            raise ArtifactError(f"{path}: {name} must be a table: put what you declare of a column under [{name}]")
        try:
            declarations[name] = Declaration.model_validate(table)
        except ValidationError as error:
            raise ArtifactError(f"{path}: [{name}] {first_error(error)}; the keys are {', '.join(Declaration.model_fields)}") from None
    return declarations


def declared(column: Column, declaration: Declaration | None) -> Column:
    """The column with what is declared of it. Raises ArtifactError where the two do not fit."""
    if declaration is None:
        return column
    found: dict[str, Any] = declaration.model_dump(exclude_none=True)
    if found.get("type") == "category":
        if column.observed_categories is None:
            raise ArtifactError(f"columns.toml declares {column.name!r} a category, but only --data can tell which ones there are")
        found["type"], found["dtype"] = ("number" if column.type == "number" else "string"), "category"
    if found.get("allowed") is not None and column.type == "any":
        found.setdefault("type", "string")
    if any("imum" in key for key in found) and column.type == "any":
        found.setdefault("type", "number")
    try:
        return Column.model_validate(column.model_dump() | found)
    except ValidationError as error:
        raise ArtifactError(f"What columns.toml declares does not fit: {first_error(error)}") from None


def cast(frame: pd.DataFrame, declarations: Mapping[str, Declaration]) -> pd.DataFrame:
    """The frame with the dtypes that are declared: a CSV cannot tell categories, nor booleans from 0 and 1."""
    dtypes = {"category": "category", "boolean": "bool", "string": "str"}
    for name, declaration in declarations.items():
        if name not in frame or declaration.type not in dtypes or isinstance(frame[name].dtype, pd.CategoricalDtype):
            continue
        if declaration.type == "boolean" and frame[name].isna().any():
            continue
        frame = frame.astype({name: dtypes[declaration.type]})
    return frame


def observed(series: pd.Series, *, numbers_only: bool, in_frame: bool) -> Column:
    """What the data shows of a column. Raises ArtifactError for values that JSON rows cannot carry."""
    name = str(series.name)
    present = series.dropna()
    facts: dict[str, Any] = {"name": name, "nullable": len(present) < len(series)}
    kind = _type(present)
    if kind is None:
        raise ArtifactError(f"Column {name!r} holds {series.dtype}, which JSON rows cannot carry: numbers, strings and booleans can")
    if numbers_only and kind not in ("number", "boolean") and not present.empty:
        raise ArtifactError(
            f"Column {name!r} holds {kind}s, but the estimator was fitted on numbers: is it the target? Then name it with --target"
        )
    facts["type"] = kind
    is_category = isinstance(series.dtype, pd.CategoricalDtype)
    if is_category:
        facts["observed_categories"] = series.cat.categories.tolist()
    elif kind == "string" and (values := present.unique()).size <= MOST_CATEGORIES:
        facts["observed_categories"] = sorted(values.tolist())
    if kind == "number" and not present.empty:
        low, high = float(present.astype(float).min()), float(present.astype(float).max())
        if math.isfinite(low) and math.isfinite(high):
            facts |= {"observed_minimum": low, "observed_maximum": high}
    if in_frame and not numbers_only:
        facts["dtype"] = "category" if is_category else _dtype(series, kind)
    return Column.model_validate(facts)


def _type(present: pd.Series) -> ColumnType | None:
    """The JSON type that every value has; any for a mixture, None for what is no JSON scalar."""
    values = present.cat.categories.to_series() if isinstance(present.dtype, pd.CategoricalDtype) else present
    if pd.api.types.is_bool_dtype(values.dtype):
        return "boolean"
    if pd.api.types.is_numeric_dtype(values.dtype) and not pd.api.types.is_complex_dtype(values.dtype):
        return "number"
    if isinstance(values.dtype, pd.StringDtype):
        return "string"
    if values.dtype != object:
        return None
    kinds = set(map(type, values.tolist()))
    if kinds <= {str}:  # of no value at all, too: an empty column of objects
        return "string"
    if kinds == {bool}:
        return "boolean"
    if kinds <= {int, float}:
        return "number"
    return "any" if kinds <= {int, float, bool, str} else None


def _dtype(series: pd.Series, kind: ColumnType) -> str | None:
    """The dtype that rows are cast to, where another one could give another answer."""
    if kind == "number" and pd.api.types.is_integer_dtype(series.dtype) and series.notna().all():
        return "int64"
    if kind == "string":
        return "str" if isinstance(series.dtype, pd.StringDtype) else "object"
    return None

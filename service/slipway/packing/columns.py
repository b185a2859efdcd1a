"""The columns of a signature: what the data shows of them and what columns.toml declares."""

import math
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ..errors import ArtifactError
from ..model.inspection import Scalar
from ..model.known_columns import Knowledge
from ..model.manifest import first_error
from ..model.signature import MOST_CATEGORIES, Column, ColumnType, json_type
from .tables import as_truth, is_of_text, stray, stray_words


class Declaration(BaseModel):
    """One table of columns.toml. Bounds and `allowed` refuse requests; None leaves what the data shows."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    type: Literal["number", "integer", "boolean", "string", "datetime", "category"] | None = None
    dtype: str | None = None
    categories: list[Scalar] | None = Field(None, min_length=1)
    description: str | None = None
    nullable: bool | None = None
    minimum: float | None = None
    exclusive_minimum: float | None = None
    maximum: float | None = None
    exclusive_maximum: float | None = None
    allowed: list[str] | None = Field(None, min_length=1)

    @model_validator(mode="after")
    def _parts_agree(self) -> Self:
        if self.allowed is not None and self.type not in (None, "string", "category"):
            raise ValueError(f"allowed lists strings, but the type is {self.type}")
        if self.categories is not None and self.type not in (None, "category"):
            raise ValueError(f"categories are listed, but the type is {self.type}")
        if self.dtype is not None:
            try:
                pd.api.types.pandas_dtype(self.dtype)
            except TypeError:
                raise ValueError(
                    f"dtype {self.dtype!r} is none of pandas', such as float32 or datetime64[ns]"
                ) from None
        return self

    @property
    def is_category(self) -> bool:
        return "category" in (self.type, self.dtype) or self.categories is not None

    @property
    def is_truth(self) -> bool:
        """Whether a CSV's zeros and ones mean false and true."""
        return self.type == "boolean" or (self.dtype or "").startswith("bool")

    @property
    def is_text(self) -> bool:
        """Whether a CSV's cells are strings, whatever they look like."""
        listed = self.categories is not None and all(isinstance(value, str) for value in self.categories)
        return listed or self.type == "string" or (self.dtype or "").startswith(("str", "datetime"))


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
            raise ArtifactError(
                f"{path}: [{name}] {first_error(error)}; the keys are {', '.join(Declaration.model_fields)}"
            ) from None
    return declarations


def declared(column: Column, declaration: Declaration | None) -> Column:
    """The column with what is declared of it. Raises ArtifactError where the two do not fit."""
    if declaration is None:
        return column
    # What these say is in the data already, see `training_frame`.
    found: dict[str, Any] = declaration.model_dump(exclude_none=True, exclude={"dtype", "categories"})
    if declaration.is_category:
        if column.dtype != "category":
            raise ArtifactError(
                f"columns.toml declares {column.name!r} a category, but only --data can tell which ones there are"
            )
        found.pop("type", None)
    if column.type == "integer" and declaration.nullable:
        raise ArtifactError(
            f"columns.toml declares that {column.name!r} may be missing, but {column.dtype} holds no missing value, "
            "and the estimator "
            'may answer other dtypes otherwise: declare the training frame\'s own, dtype = "Int64" or dtype = "float64"'
        )
    if found.get("allowed") is not None and column.type == "any":
        found.setdefault("type", "string")
    if any("imum" in key for key in found) and column.type == "any":
        found.setdefault("type", "number")
    try:
        return Column.model_validate(column.model_dump() | found)
    except ValidationError as error:
        raise ArtifactError(f"What columns.toml declares does not fit: {first_error(error)}") from None


def training_frame(data: pd.DataFrame, known: Knowledge, declarations: Mapping[str, Declaration]) -> pd.DataFrame:
    """The data in the dtypes of the frame that the estimator was fitted on, as it and the declarations tell. Raises
    ArtifactError.
    """
    if known.unmatched:
        raise ArtifactError(
            f"The estimator knows categories ({_shown(known.unmatched[0][0])}, …), but the data does not tell of which "
            "columns: "
            f'declare these with type = "category" in a columns file (--columns), some of {_shown(list(data))}'
        )
    columns = {}
    for name in map(str, data):
        declaration = declarations.get(name) or Declaration()
        series = _cast(data[name], known.dates.get(name), declaration)
        _check_known(series, known)
        short: Any = known.floats.get(name)
        if short is not None and declaration.dtype is None and series.dtype.kind in "iuf":
            series = series.astype(short)
        if name in known.objects and series.dtype.kind in "biuf":
            series = series.astype(object)
        if known.knows_none(name):
            series = series.astype(object).where(series.notna(), None)
        if (
            name in known.codes
            or name in known.uncoded
            or declaration.is_category
            or isinstance(series.dtype, pd.CategoricalDtype)
        ):
            series = _category(series, known, declaration)
        columns[name] = series
    return pd.DataFrame(columns, copy=False)


def _cast(series: pd.Series, date: str | None, declaration: Declaration) -> pd.Series:
    """In the declared type: a CSV cannot tell dates, nor booleans from 0 and 1."""
    dtype: Any = declaration.dtype or date
    is_text = is_of_text(series)
    try:
        if is_text and (declaration.type == "datetime" or (dtype or "").startswith("datetime64")):
            return as_dates(series, dtype)
        if declaration.dtype is not None and not declaration.is_category:
            return series.astype(dtype)
        if declaration.type == "integer" and series.dtype == object:
            return series.astype("Int64" if series.isna().any() else "int64")
        if declaration.type == "boolean":
            return as_truth(series)
        if declaration.type == "string" and not declaration.is_category and not is_text:
            return series.astype("str")
        return series
    except (TypeError, ValueError, OverflowError) as error:
        what = declaration.dtype or declaration.type or date
        raise ArtifactError(
            f"Column {series.name!r} cannot be read as {what}: {' '.join(str(error).split())[:200]}"
        ) from None


def _check_known(series: pd.Series, known: Knowledge) -> None:
    """Raises ArtifactError where none of the values is one that the encoder was fitted on, which would take all for
    unknown.
    """
    name = str(series.name)
    if name in known.foreign:
        raise ArtifactError(
            f"Column {name!r}: the estimator was fitted on {known.foreign[name]}s, which JSON rows cannot carry: "
            f"{_REMEDIES.get(known.foreign[name], 'make numbers or strings of them')} before fitting, and pack that"
        )
    learned = [value for value in known.values.get(name, ()) if value is not None and value == value]
    present = series.dropna()
    if learned and len(present) and name not in known.dates and not set(present.unique().tolist()) & set(learned):
        raise ArtifactError(
            f"Column {name!r} holds {_shown(present.unique().tolist())}, and nothing of what the estimator was fitted "
            f"on ({_shown(learned)}): give data of the kind and the types that it was fitted on"
        )


def as_dates(series: pd.Series, dtype: Any) -> pd.Series:
    """Text in ISO 8601 as datetimes. Raises ValueError, also for offsets where no dtype names the time zone."""
    zone = "," in (dtype or "")
    found = pd.to_datetime(series, format="ISO8601", utc=zone)
    if found.dtype.kind != "M" or (not zone and found.dt.tz is not None):
        raise ValueError(
            "its times have an offset: declare the training frame's own dtype, such as dtype = \"datetime64[ns, "
            'Europe/Berlin]"'
        )
    return found if dtype is None else found.astype(dtype)


def _category(series: pd.Series, known: Knowledge, declaration: Declaration) -> pd.Series:
    """As a category of all values that the estimator knows, in its order. Behind them what only the data has."""
    name = str(series.name)
    own = series.cat.categories.tolist() if isinstance(series.dtype, pd.CategoricalDtype) else None
    observed_values = (
        own
        if own is not None
        else sorted(series.dropna().unique().tolist(), key=lambda value: (str(type(value)), value))
    )
    if name in known.codes:
        categories = list(known.codes[name])
        if declaration.categories is not None and declaration.categories != categories:
            raise ArtifactError(
                f"columns.toml lists other categories of {name!r} than the estimator knows ({_shown(categories)}): "
                "leave them out there"
            )
    elif declaration.categories is not None:
        categories = list(declaration.categories)
    elif name in known.opaque | known.uncoded:
        raise ArtifactError(
            f"Column {name!r} is a category, and the estimator does not tell which ones it was fitted on: list them in "
            "a columns file "
            f'(--columns), in the order of the training frame\'s dtype: [{name}] categories = ["…", …]'
        )
    else:  # their order means nothing to what sees them
        categories = _with_learned(observed_values, known.values.get(name, ()))
    kinds = {str if isinstance(value, str) else float for value in categories}
    if wrong := [value for value in observed_values if not kinds & {str if isinstance(value, str) else float}]:
        raise ArtifactError(
            f"Column {name!r} holds {_shown(wrong)}, but the estimator knows the categories {_shown(categories)}: "
            "give the data the types that it was fitted on"
        )
    there = set(categories)
    categories += [value for value in observed_values if value not in there]
    ordered = own is not None and bool(series.cat.ordered)
    places = {value: place for place, value in enumerate(categories)}
    codes = [places.get(value, -1) for value in series.astype(object).tolist()]
    values = pd.Categorical.from_codes(codes, dtype=pd.CategoricalDtype(categories, ordered))
    return pd.Series(values, index=series.index, name=name)


def _with_learned(own: list[Any], learned: Sequence[Any]) -> list[Any]:
    """The data's categories, and behind them those that only an encoder knows, which has floats for integers where
    some were missing.
    """
    there = {*own, *(float(value) for value in own if isinstance(value, int))}
    are_integers = bool(own) and all(type(value) is int for value in own)
    more = [value for value in learned if value is not None and value == value and value not in there]
    return own + [
        int(value) if are_integers and isinstance(value, float) and value.is_integer() else value for value in more
    ]


def observed(
    series: pd.Series,
    *,
    numbers_only: bool,
    in_frame: bool,
    known: Knowledge | None = None,
    is_declared: bool = False,
    is_typed: bool = True,
    missing_words: Sequence[str] = (),
    has_target: bool = False,
) -> Column:
    """What the data shows of a column. Raises ArtifactError for values that JSON rows cannot carry.

    `is_typed`: the data tells a missing value from the empty string, as no CSV does.
    """
    name = str(series.name)
    present = series.dropna()
    kept = set() if known is None else known.words(name)
    words = [word for word in ("", *missing_words) if word not in kept]
    # Of a CSV, where every empty cell was read as a category, nothing tells.
    may_be_missing = not is_typed and known is not None and name in known.codes and not words
    is_nullable = may_be_missing or len(present) < len(series)
    facts: dict[str, Any] = {"name": name, "nullable": is_nullable, "missing_words": words}
    is_open = (
        present.empty and known is not None and not is_declared and (is_of_text(series) or series.dtype == np.float64)
    )
    kind = _type_of_nothing(name, known) if is_open and known is not None else _type(present)
    if kind is None:
        raise ArtifactError(f"Column {name!r} holds {_foreign(present)}")
    if numbers_only and kind not in ("number", "boolean") and not present.empty:
        raise ArtifactError(_no_number(series, kind, has_target=has_target))
    facts["type"] = kind
    if isinstance(series.dtype, pd.CategoricalDtype):
        seen = set(present.unique().tolist())
        facts["categories"] = series.cat.categories.tolist()
        facts["observed_categories"] = [value for value in facts["categories"] if value in seen][:MOST_CATEGORIES]
        facts["ordered"] = bool(series.cat.ordered)
    elif kind == "string" and (values := present.unique()).size <= MOST_CATEGORIES:
        facts["observed_categories"] = sorted(values.tolist())
    if kind == "number" and not present.empty and not isinstance(series.dtype, pd.CategoricalDtype):
        low, high = float(present.astype(float).min()), float(present.astype(float).max())
        if math.isfinite(low) and math.isfinite(high):
            facts |= {"observed_minimum": low, "observed_maximum": high}
    if in_frame or pd.api.types.is_integer_dtype(series.dtype) or (known is not None and name in known.floats):
        facts["dtype"] = None if str(series.dtype) in ("float64", "bool") else str(series.dtype)
    if series.dtype == object:
        missing = [value for value in series.tolist() if value is None or value != value]
        if all(value is None for value in missing) if missing else known is not None and known.knows_none(name):
            facts["missing"] = "None"
        if "missing" in facts or (known is not None and name in known.objects):
            facts["dtype"] = "object"
    if in_frame and known is not None and name in known.opaque and kind == "number" and _holds_numpy_integers(series):
        # The user's own code sees the dtype, which a fraction would change, in the rows beside it as well.
        facts["type"] = "integer"
    return Column.model_validate(facts)


def _no_number(series: pd.Series, kind: str, *, has_target: bool) -> str:
    """A sentence on the first cell that is none; on the whole column, which may be the target, where none is."""
    found = stray(series)
    if found is not None:
        return f"The estimator was fitted on numbers, but {stray_words(str(series.name), *found)}"
    way = "leave it out, or give numbers" if has_target else "is it the target? Then name it with --target"
    return f"Column {series.name!r} holds {kind}s, but the estimator was fitted on numbers: {way}"


def _holds_numpy_integers(series: pd.Series) -> bool:
    return isinstance(series.dtype, np.dtype) and series.dtype.kind in "iu"


def _type(present: pd.Series) -> ColumnType | None:
    """The JSON type that every value has; any for a mixture, None for what is no JSON scalar."""
    values = present.cat.categories.to_series() if isinstance(present.dtype, pd.CategoricalDtype) else present
    if pd.api.types.is_bool_dtype(values.dtype):
        return "boolean"
    if pd.api.types.is_numeric_dtype(values.dtype) and not pd.api.types.is_complex_dtype(values.dtype):
        return "number"
    if isinstance(values.dtype, pd.StringDtype):
        return "string"
    if pd.api.types.is_datetime64_any_dtype(values.dtype) and not isinstance(present.dtype, pd.CategoricalDtype):
        return "datetime"
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


def _type_of_nothing(name: str, known: Knowledge) -> ColumnType:
    """Of a column that is always missing: what the estimator tells, or a number, which is all that scikit-learn's
    other parts take.
    """
    learned = [value for value in known.categories(name) if value is not None and value == value]
    # Encoders make numbers of booleans.
    may_be_truth = {type(value) for value in learned} == {float} and set(learned) <= {0.0, 1.0}
    if learned and not may_be_truth:
        return json_type(learned)
    if name in known.dates:
        return "datetime"
    if may_be_truth or name in known.opaque:
        raise ArtifactError(
            f"Column {name!r} has no value in the data, and the estimator does not tell what it holds: give data with "
            "one, or declare its type in a columns file (--columns)"
        )
    return "number"


def _foreign(present: pd.Series) -> str:
    """What JSON rows cannot carry, and the way out."""
    values = present.cat.categories.to_series() if isinstance(present.dtype, pd.CategoricalDtype) else present
    kinds = {type(value).__name__ for value in values.head(1000).tolist()}
    for found, remedy in _REMEDIES.items():
        if found in kinds:
            return f"{found}s, which JSON rows cannot carry: {remedy} before fitting, and pack that"
    return f"{present.dtype}, which JSON rows cannot carry: numbers, strings, booleans and dates can"


def _shown(values: Sequence[Any]) -> str:
    return ", ".join(map(repr, values[:5])) + (f" and {len(values) - 5} more" if len(values) > 5 else "")


_REMEDIES = {
    "Timedelta": "make seconds of them with .dt.total_seconds()",
    "Decimal": "make floats of them with .astype(float)",
    "date": "make datetimes of them with pd.to_datetime()",
    "Timestamp": "make one column of dtype datetime64 of them",
    "Interval": "make strings of them with .astype(str).astype('category')",
    "Period": "make datetimes of them with .dt.to_timestamp()",
}

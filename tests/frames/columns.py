"""Columns of every pandas dtype: which values are drawn for them, and how they look in a frame, in JSON and in a
CSV.
"""

import datetime
import decimal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from hypothesis import strategies as st

WORDS = (
    "NA",
    "null",
    "None",
    "nan",
    "",
    "1",
    "1.0",
    "True",
    "false",
    "007",
    "+1",
    "1e3",
    "a,b",
    'say "x"',
    "two\nlines",
    " x ",
    "Zürich",
)
WORDS += (
    "NaN",
    "N/A",
    "n/a",
    "-",
    "#N/A",
    "<NA>",
    "-inf",
    "2024-01-02",
    "1_000",
    "ß",
    "日本",
    "😀",
    "red",
    "green",
    "blue",
    "yes",
    "no",
)
texts = st.sampled_from(WORDS) | st.text(st.characters(codec="utf-8", exclude_characters="\r\0"), max_size=6)
EDGES = (2**53 + 1, 5733018224205767597, -(2**53) - 1, 2**63 - 1, -(2**63), 2**63, 2**64 - 1)
BERLIN = datetime.datetime(2024, 10, 27, 0, 30, tzinfo=datetime.UTC)  # 2:30 in Berlin, twice


@dataclass(frozen=True)
class Column:
    """`pool`: the values of the training frame; `outside`: values that it lacks; None stands for a missing value."""

    name: str
    kind: str
    dtype: Any
    pool: tuple[Any, ...]
    outside: tuple[Any, ...] = ()
    null: Any = None

    @property
    def has_missing(self) -> bool:
        return None in self.pool

    @property
    def of_category(self) -> bool:
        return isinstance(self.dtype, pd.CategoricalDtype)

    def __str__(self) -> str:
        about = self.kind if not self.of_category else f"{self.kind} of {self.dtype.categories.tolist()!r}"
        return f"{self.name}: {about}, drawn of {list(self.pool)!r}" + (
            f", null {self.null!r}" if self.kind.startswith("object") else ""
        )


class NoDate(str):
    """A text in a column of dates, which must be refused."""


def series(column: Column, values: Sequence[Any]) -> pd.Series:
    """As a user's frame holds them: in the column's dtype, or in the one that pandas would take where a value does
    not fit.
    """
    dtype = column.dtype
    if column.of_category:
        known = dtype.categories
        unknown = [value for value in dict.fromkeys(values) if value is not None and value not in known]
        if unknown:
            dtype = pd.CategoricalDtype(known.append(pd.Index(unknown, dtype=known.dtype)), ordered=dtype.ordered)
        return pd.Series(pd.Categorical(values, dtype=dtype))
    if dtype == "object":
        return pd.Series([column.null if value is None else value for value in values], dtype=object)
    if not all(fits(column, value) for value in values):
        dtype = wider(dtype, values)
    if dtype[0] in "biuf":
        return pd.Series(np.array(values, dtype=dtype))  # pd.array makes 0 of 2**64 - 1
    return pd.Series(pd.array(list(values), dtype=dtype))


def wider(dtype: str, values: Sequence[Any]) -> str:
    present = [value for value in values if value is not None]
    floats = any(isinstance(value, float) for value in present)
    if dtype[0].isupper():
        return "Float64" if floats else "UInt64" if max(present) >= 2**63 else "Int64"
    return "float64" if floats else "uint64" if max(present) >= 2**63 else "int64"


def fits(column: Column, value: Any) -> bool:
    """Whether the column's own dtype holds the value."""
    dtype = column.dtype
    if value is None or not isinstance(dtype, str) or "int" not in dtype.lower() or column.of_category:
        return not isinstance(value, NoDate)
    return isinstance(value, int) and np.iinfo(dtype.lower()).min <= value <= np.iinfo(dtype.lower()).max


def as_json(value: Any) -> Any:
    """The value of a cell as a client sends it."""
    if isinstance(value, pd.Timestamp | pd.Timedelta):
        return value.isoformat()
    if isinstance(value, decimal.Decimal):
        return float(value)
    return str(value) if isinstance(value, pd.Interval) else value


TYPES_OF_OBJECTS = {"object": "string", "object, bool": "boolean", "object, int": "integer"}


def declaration(column: Column) -> dict[str, Any] | None:
    """What columns.toml says of a column that a CSV cannot say; None where nothing does."""
    if column.kind in ("object, mixed", "object, Decimal", "category of intervals"):
        return None
    nullable = {"nullable": True} if column.has_missing else {}
    if column.of_category:
        return {"type": "category", "categories": column.dtype.categories.tolist(), **nullable}
    if column.dtype != "object":
        return {"dtype": str(column.dtype), **nullable}
    # A missing value among objects is NaN: None is for whoever packs from the frame itself.
    return (
        None
        if column.has_missing and column.null is None
        else {"type": TYPES_OF_OBJECTS[column.kind], "dtype": "object", **nullable}
    )


def in_csv(column: Column, value: Any) -> bool:
    """Whether a CSV tells this value from all others of the column: an empty cell is a missing one, or the category
    ''.
    """
    return value != "" and not may_be_category(column, value) and column.kind != "object, mixed"


def may_be_category(column: Column, value: Any) -> bool:
    """Whether a missing value, in a CSV, is the same cell as the category ''."""
    return value is None and column.of_category and "" in column.dtype.categories


def in_parquet(column: Column, value: Any) -> bool:
    """Whether a Parquet file tells this value from others: among objects it makes floats of integers beside floats."""
    has_floats = any(isinstance(each, float) for each in column.pool)
    return column.kind != "object, mixed" or not has_floats or type(value) not in (int, float) or value % 1 != 0


def several(values: st.SearchStrategy[Any], most: int = 6) -> st.SearchStrategy[list[Any]]:
    return st.lists(values, min_size=2, max_size=most, unique_by=lambda value: (type(value), value))


def integers(dtype: str) -> st.SearchStrategy[int]:
    low, high = int(np.iinfo(dtype.lower()).min), int(np.iinfo(dtype.lower()).max)
    edges = [edge for edge in (*EDGES, low, high) if low <= edge <= high]
    return st.integers(max(low, -20), min(high, 20)) | st.integers(low, high) | st.sampled_from(edges)


def floats(width: int) -> st.SearchStrategy[float]:
    small = st.floats(-1000, 1000, width=32) if width == 32 else st.floats(-1000, 1000)
    return small | st.sampled_from([0.0, -0.0, 1.0, 3.0, 0.5]) | st.integers(-50, 50).map(float)


def moments(unit: str, zone: str | None) -> st.SearchStrategy[pd.Timestamp]:
    digits = {"s": 1_000_000, "ms": 1000, "us": 1, "ns": 1}[unit]
    any_time = st.datetimes(datetime.datetime(1950, 1, 1), datetime.datetime(2150, 1, 1))
    drawn = any_time | st.sampled_from([datetime.datetime(2024, 1, 2), datetime.datetime(2024, 3, 31, 1, 59, 59)])
    around = st.integers(0, 7200).map(
        lambda seconds: (BERLIN + datetime.timedelta(seconds=seconds)).replace(tzinfo=None)
    )

    def moment(time: datetime.datetime) -> pd.Timestamp:
        stamp = pd.Timestamp(time.replace(microsecond=time.microsecond // digits * digits)).as_unit(unit)
        return stamp if zone is None else stamp.tz_localize("UTC").tz_convert(zone)

    return (drawn | around).map(moment)


def categories(values: st.SearchStrategy[Any], dtype: Any) -> Callable[[Any], tuple[Any, list[Any], list[Any]]]:
    """Draws a dtype, the values of a pool, which need not be all of its categories, and values beside them."""

    def drawn(draw: Any) -> tuple[Any, list[Any], list[Any]]:
        every = draw(several(values, 8))
        beside = [every.pop()] if len(every) > 2 else []
        known = draw(st.permutations(every))
        used = every[: draw(st.integers(2, len(every)))]
        return pd.CategoricalDtype(pd.Index(known, dtype=dtype), ordered=draw(st.booleans())), used, beside

    return drawn


def plain(dtype: str, values: st.SearchStrategy[Any], beside: st.SearchStrategy[Any] | None = None) -> Any:
    def drawn(draw: Any) -> tuple[Any, list[Any], list[Any]]:
        return dtype, draw(several(values)), draw(st.lists(values if beside is None else beside, max_size=2))

    return drawn


intervals = st.integers(0, 9).map(lambda low: pd.Interval(low, low + 1))
wide = st.sampled_from([*EDGES, 1.5, 300, -1, 70_000])
KINDS: dict[str, Callable[[Any], tuple[Any, list[Any], list[Any]]]] = {
    "category of str": categories(texts, "str"),
    "category of objects": categories(texts, object),
    "category of int": categories(st.integers(-5, 50) | st.sampled_from(EDGES[:3]), "int64"),
    "category of float": categories(st.integers(-9, 9).map(lambda value: value / 2), "float64"),
    "category of bool": lambda _: (pd.CategoricalDtype([True, False]), [False, True], []),
    "category of intervals": categories(intervals, None),
    "str": plain("str", texts),
    "string": plain("string", texts),
    "object": plain("object", texts),
    "object, mixed": plain("object", texts | st.booleans() | st.integers(-3, 3) | floats(64)),
    "object, bool": plain("object", st.booleans()),
    "object, int": plain("object", st.integers(-9, 9)),
    "object, Decimal": plain("object", st.decimals(-9, 9, places=2)),
    "boolean": plain("boolean", st.booleans()),
    "bool": plain("bool", st.booleans()),
    "float32": plain("float32", floats(32), st.sampled_from([1e30, -3.0e38, 0.0, 12345.0])),
    "float64": plain("float64", floats(64), st.sampled_from([1e300, -1e308, 5e-324, 0.1, 1e6])),
    "Float32": plain("Float32", floats(32), st.sampled_from([1e30, 12345.0])),
    "Float64": plain("Float64", floats(64), st.sampled_from([1e300, 0.1])),
    "timedelta": plain("timedelta64[ns]", st.integers(0, 10**6).map(lambda value: pd.Timedelta(value, "s"))),
}
for _dtype in ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"):
    KINDS[_dtype] = plain(_dtype, integers(_dtype), wide | integers(_dtype))
    _nullable = _dtype.replace("i", "I", 1).replace("uI", "UI")
    KINDS[_nullable] = plain(_nullable, integers(_dtype), wide | integers(_dtype))
for _unit in ("s", "ms", "us", "ns"):
    for _zone in (None, "UTC", "Europe/Berlin"):
        _dtype = f"datetime64[{_unit}]" if _zone is None else f"datetime64[{_unit}, {_zone}]"
        KINDS[_dtype] = plain(_dtype, moments(_unit, _zone), moments(_unit, _zone) | st.just(NoDate("no date")))

CATEGORIES = tuple(kind for kind in KINDS if kind.startswith("category") and "intervals" not in kind)
NUMBERS = tuple(kind for kind in KINDS if kind.lower().startswith(("int", "uint", "float", "bool")))
TEXTS = ("str", "string", "object")
DATES = tuple(kind for kind in KINDS if kind.startswith("datetime"))
ODD = ("object, mixed", "object, bool", "object, int", "object, Decimal", "category of intervals", "timedelta")
MAY_BE_MISSING = tuple(
    kind for kind in KINDS if kind not in ("bool", *(kind for kind in NUMBERS if "int" in kind and kind[0] in "iu"))
)


@st.composite
def columns(draw: Any, name: str, kinds: tuple[str, ...]) -> Column:
    kind = draw(st.sampled_from(kinds))
    dtype, pool, outside = KINDS[kind](draw)
    null: Any = None
    if kind in MAY_BE_MISSING and draw(st.integers(0, 2)) == 0:
        pool.append(None)
        null = draw(st.sampled_from([None, float("nan")])) if dtype == "object" else None
    return Column(name, kind, dtype, tuple(pool), tuple(value for value in outside if value not in pool), null)

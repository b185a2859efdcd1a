"""CSV and Parquet files as data frames, whole or in chunks, and data frames as rows of JSON values.

Of a CSV's cells one rule says which are missing: in a column of text only the empty one, in others also NA, null, nan
and their like. What `--missing` names is missing everywhere, unless the estimator knows it as a category.
"""

import contextlib
import csv
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import numpy as np
import pandas as pd

from ..errors import ArtifactError
from ..model.known_columns import Knowledge
from ..model.signature import Column, Signature
from .csv_shape import check_rows, first_row
from .first_look import look_at

try:
    from pyarrow import parquet  # type: ignore[import-untyped]
except ImportError:  # an optional dependency
    parquet = None

# What pandas takes for missing by itself, by its documentation of read_csv.
MISSING_WORDS = frozenset(
    [
        "#N/A",
        "#N/A N/A",
        "#NA",
        "-1.#IND",
        "-1.#QNAN",
        "-NaN",
        "-nan",
        "1.#IND",
        "1.#QNAN",
        "<NA>",
        "N/A",
        "NA",
        "NULL",
        "NaN",
        "None",
        "n/a",
        "nan",
        "null",
    ]
)
BOOLEANS = {"True": True, "TRUE": True, "true": True, "False": False, "FALSE": False, "false": False}
_BITS = {"1": True, "1.0": True, "0": False, "0.0": False}  # where it is known that they mean true and false


class Chunk(NamedTuple):
    """Some rows of a file, and how far into it they reach: bytes of a CSV, rows of a Parquet file. `texts`:
    `Cells.kept` as they are.
    """

    frame: pd.DataFrame
    reached: int
    texts: pd.DataFrame


@dataclass(frozen=True)
class Cells:
    """How a CSV's cells are read: the columns of strings, of exact integers and of truth; `missing`: words for none,
    by column.
    """

    text: Collection[str] = ()
    integers: Collection[str] = ()
    booleans: Collection[str] = ()
    kept: Collection[str] = ()  # columns of numbers whose text is wanted, too
    missing: Mapping[str, Collection[str]] = field(default_factory=dict)
    names: Sequence[str] | None = None  # None: those of the header
    has_header: bool = True

    def read(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The frame as it was read, with types for the columns that pandas left as strings."""
        return frame.assign(**{str(name): self._typed(frame[name]) for name in frame if is_of_text(frame[name])})

    def _typed(self, column: pd.Series) -> pd.Series:
        name = str(column.name)
        if column.dtype == object and {type(value) for value in column.dropna()} == {bool}:  # some are missing
            return column
        words = set(self.missing.get(name, ("",)))
        if name in self.text:
            return column.mask(column.isin(words), None) if words else column
        cells = column.mask(column.isin({*words, *MISSING_WORDS, ""}), None)
        present = cells.dropna()
        truth = BOOLEANS | _BITS if name in self.booleans else BOOLEANS
        if present.isin(truth).all() and not present.empty:
            found = cells.map(truth, na_action="ignore").astype(object)
            return found.astype(bool) if len(present) == len(cells) else found
        try:
            pd.to_numeric(present)  # which says what is a number, but is not exact to the last digit, as Python is
            if name in self.integers:  # map() would make floats of them where some are missing
                values = [
                    math.nan if missing else _integer_or_float(cell)
                    for cell, missing in zip(cells, cells.isna(), strict=True)
                ]
                return pd.Series(values, index=cells.index, name=name, dtype=object)
            return cells.map(float, na_action="ignore").astype("float64")
        except (ValueError, TypeError):
            return column.mask(column.isin(words), None) if words else column


def cells_of(
    signature: Signature,
    missing: Sequence[str] | None = None,
    names: Sequence[str] | None = None,
    known: Knowledge | None = None,
) -> Cells:
    """How the cells of a CSV with the columns of this signature are read. `missing` None: as when the model was packed.

    `known`: what the estimator tells of columns of any type, and of those whose text is wanted.
    """
    columns = signature.columns or ()
    told = {
        column.name for column in columns if known is not None and column.type == "any" and known.is_text(column.name)
    }
    return Cells(
        text=[column.name for column in columns if column.type in ("string", "datetime") or column.name in told],
        integers=[column.name for column in columns if column.keeps_integers],
        booleans=[column.name for column in columns if column.type == "boolean"],
        kept=[
            column.name for column in columns if known is not None and column.numeric and column.name in known.opaque
        ],
        missing={
            column.name: _missing_words(column, missing)
            - (known.words(column.name) if known and column.name in told else set())
            for column in columns
        },
        names=names,
    )


def _missing_words(column: Column, missing: Sequence[str] | None) -> set[str]:
    if missing is None:
        return set(column.missing_words)
    # What is said now holds for all columns, but neither a category nor the empty string is missing where it was a
    # value at packing.
    return {*missing} - {*(column.categories or ())} | {*column.missing_words} & {""}


def read_table(path: Path, cells: Cells) -> pd.DataFrame:
    """The whole file. Raises ArtifactError."""
    with _reading(path):
        if is_parquet(path):
            return _parquet(path, cells)
        return parse_csv(path, cells, _checked_names(path, cells))


def _checked_names(path: Path, cells: Cells) -> Sequence[str]:
    """Of a CSV's columns, all of whose rows have as many cells."""
    names = header(path) if cells.names is None else cells.names
    check_rows(path, len(names), has_header=cells.has_header)
    return names


def _parquet(path: Path, cells: Cells) -> pd.DataFrame:
    frame = _in_own_units(pd.read_parquet(path).rename(columns=str), path)
    wanted = [name for name in cells.integers if name in frame and frame[name].dtype.kind == "f"]
    if not wanted:
        return frame
    exact = parquet.read_table(path, columns=wanted).to_pandas(integer_object_nulls=True).rename(columns=str)
    return frame.assign(**{name: exact[name].to_numpy() for name in wanted})


def _in_own_units(frame: pd.DataFrame, path: Path) -> pd.DataFrame:
    """With dates in the unit that they had when pandas wrote the file: for seconds Parquet has milliseconds."""
    written = (parquet.read_schema(path).pandas_metadata or {}).get("columns", ())
    dtypes = {str(column["name"]): str(column["numpy_type"]) for column in written}
    dates = [str(name) for name in frame.select_dtypes(["datetime", "datetimetz"])]
    kept = [name for name in dates if dtypes.get(name, "").startswith("datetime64[")]
    return frame.assign(**{name: frame[name].dt.as_unit(np.datetime_data(dtypes[name])[0]) for name in kept})


def parse_csv(source: Path | TextIO, cells: Cells, names: Sequence[str]) -> pd.DataFrame:
    """`names`: of its columns. Raises what pandas raises."""
    return cells.read(pd.read_csv(source, **_options(cells, names)))


def read_chunks(path: Path, cells: Cells, size: int) -> Iterator[Chunk]:
    """The file in frames of at most `size` rows. Raises ArtifactError."""
    with _reading(path):
        if is_parquet(path):
            reached = 0
            for batch in parquet.ParquetFile(path).iter_batches(size):
                reached += len(batch)
                # Integers stay exact where some are missing; those of float columns are made floats by validation.
                yield Chunk(
                    _with_truth(batch.to_pandas(integer_object_nulls=True).rename(columns=str), cells.booleans),
                    reached,
                    pd.DataFrame(),
                )
        else:
            names = _checked_names(path, cells)
            with path.open("rb") as file, pd.read_csv(file, **_options(cells, names), chunksize=size) as reader:
                for frame in reader:
                    yield Chunk(cells.read(frame), file.tell(), frame[[name for name in cells.kept if name in frame]])


def as_truth(column: pd.Series) -> pd.Series:
    """Zeros and ones as false and true. Raises ValueError for other values."""
    present = column.dropna()
    if other := [value for value in present.unique().tolist() if value not in (0, 1)]:
        raise ValueError(f"it holds {other[0]!r}, which is neither 0 and 1 nor false and true")
    return column.astype(bool) if len(present) == len(column) else column.astype(object).map(bool, na_action="ignore")


def _with_truth(frame: pd.DataFrame, booleans: Collection[str]) -> pd.DataFrame:
    """The frame of a Parquet file, where zeros and ones may stand in columns of truth, as they may in a CSV."""
    names = [name for name in booleans if name in frame and frame[name].isin([0, 1]).any()]
    return frame.assign(**{name: as_truth(frame[name]) for name in names if frame[name].dropna().isin([0, 1]).all()})


def look(path: Path, known: Collection[str], *, has_header: bool) -> None:
    """Before anything else judges it. Raises ArtifactError where it is of another kind, or a CSV of another dialect."""
    with _reading(path):
        look_at(path, known, is_parquet=is_parquet(path), has_header=has_header)


def header(path: Path) -> list[str]:
    """The names in a file, as `read_table` has them. Raises ArtifactError."""
    with _reading(path):
        if is_parquet(path):
            return [str(name) for name in pd.DataFrame(parquet.read_schema(path).empty_table().to_pandas())]
        first_row(path)
        return [str(name) for name in pd.read_csv(path, nrows=0, index_col=False)]


def raw_header(path: Path) -> list[str]:
    """The first row of a CSV, as it is. Raises ArtifactError."""
    with _reading(path):
        return first_row(path)


def extent(path: Path) -> int:
    """What the last chunk reaches: the bytes of a CSV, the rows of a Parquet file. Raises ArtifactError."""
    with _reading(path):
        return parquet.ParquetFile(path).metadata.num_rows if is_parquet(path) else path.stat().st_size


def is_parquet(path: Path) -> bool:
    return path.suffix.lower() in (".parquet", ".pq")


def json_rows(frame: pd.DataFrame) -> list[list[Any]]:
    """The rows as JSON holds them: None where a value is missing, dates as text in ISO 8601, integers as they are."""
    columns = [json_values(frame.iloc[:, place]) for place in range(frame.shape[1])]
    return [list(row) for row in zip(*columns, strict=True)]


def json_values(series: pd.Series) -> list[Any]:
    if isinstance(series.dtype, pd.CategoricalDtype):
        categories = series.cat.categories.tolist()
        return [None if code < 0 else categories[code] for code in series.cat.codes.tolist()]
    values = series.astype(object).where(series.notna(), None).tolist()
    if pd.api.types.is_datetime64_any_dtype(series.dtype):
        return [None if value is None else value.isoformat() for value in values]
    return values


def _options(cells: Cells, names: Sequence[str]) -> dict[str, Any]:
    """Of pandas.read_csv, for a file with these columns. Numbers are exact since pandas 3.1."""
    return {
        "dtype": dict.fromkeys([*cells.text, *cells.integers, *cells.booleans, *cells.kept], "str"),
        "keep_default_na": False,
        "na_values": {name: [""] for name in names if name not in cells.text},  # of text `Cells` tells what is missing
        "skip_blank_lines": len(names) > 1,  # of a single column an empty line is an empty cell
        "low_memory": False,
        "index_col": False,  # pandas takes the first column for it where rows end with a comma and the header does not
        **({} if cells.names is None else {"header": 0 if cells.has_header else None, "names": list(cells.names)}),
    }


def _integer_or_float(cell: str) -> int | float:
    try:
        return int(cell)
    except ValueError:
        return float(cell)


def is_of_text(column: pd.Series) -> bool:
    return isinstance(column.dtype, pd.StringDtype) or column.dtype == object


def stray(column: pd.Series) -> tuple[str, int] | None:
    """The first cell of a column of numbers that is none, and its row, from 1 on; None where all are, or none is."""
    if not is_of_text(column):
        return None
    places = np.flatnonzero(column.notna() & ~column.isin(MISSING_WORDS))
    are_numbers = pd.to_numeric(column.iloc[places], errors="coerce").notna().to_numpy()
    if not are_numbers.any() or are_numbers.all():
        return None
    place = int(places[~are_numbers][0])
    return str(column.iloc[place]), place + 1


def stray_words(name: str, cell: str, row: int) -> str:
    """What to do with such a cell."""
    is_word = "," not in cell and cell == cell.strip()
    missing = f", or say that it means a missing value (--missing {cell!r})" if is_word else ""
    where = f"column {name!r} holds {cell!r} in row {row} of the data, beside numbers"
    return f"{where}: write a number there, or leave the cell empty{missing}"


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    if is_parquet(path) and parquet is None:
        raise ArtifactError(f"{path} needs pyarrow to be read: pip install pyarrow, or save the data as CSV")
    try:
        yield
    except FileNotFoundError:
        raise ArtifactError(f"{path} does not exist") from None
    except UnicodeError:
        raise ArtifactError(f"{path} cannot be read as CSV: it is no text in UTF-8, save it in that encoding") from None
    except (OSError, ValueError, csv.Error) as error:  # the parsers' errors are ValueErrors
        kind = "Parquet" if is_parquet(path) else "CSV"
        raise ArtifactError(f"{path} cannot be read as {kind}: {' '.join(str(error).split())}") from None

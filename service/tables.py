"""CSV and Parquet files as data frames, whole or in chunks, and data frames as rows of JSON values."""

import contextlib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from .errors import ArtifactError

try:
    from pyarrow import parquet  # type: ignore[import-untyped]
except ImportError:  # an optional dependency
    parquet = None


class Chunk(NamedTuple):
    """Some rows of a file, and how far into it they reach: bytes of a CSV, rows of a Parquet file."""

    frame: pd.DataFrame
    reached: int


def read_table(path: Path, strings: Collection[str] = ()) -> pd.DataFrame:
    """The whole file; the columns in `strings` are not taken for numbers. Raises ArtifactError."""
    with _reading(path):
        return pd.read_parquet(path) if is_parquet(path) else pd.read_csv(path, dtype=dict.fromkeys(strings, "str"), low_memory=False)


def read_chunks(path: Path, strings: Collection[str], size: int) -> Iterator[Chunk]:
    """The file in frames of at most `size` rows. Raises ArtifactError."""
    with _reading(path):
        if is_parquet(path):
            reached = 0
            for batch in parquet.ParquetFile(path).iter_batches(size):
                reached += len(batch)
                yield Chunk(batch.to_pandas(), reached)
        else:
            with (
                path.open("rb") as file,
                pd.read_csv(file, dtype=dict.fromkeys(strings, "str"), low_memory=False, chunksize=size) as reader,
            ):
                for frame in reader:
                    yield Chunk(frame, file.tell())


def extent(path: Path) -> int:
    """What the last chunk reaches: the bytes of a CSV, the rows of a Parquet file. Raises ArtifactError."""
    with _reading(path):
        return parquet.ParquetFile(path).metadata.num_rows if is_parquet(path) else path.stat().st_size


def is_parquet(path: Path) -> bool:
    return path.suffix.lower() in (".parquet", ".pq")


def json_rows(frame: pd.DataFrame) -> list[list[Any]]:
    """The rows as JSON holds them: None where a value is missing."""
    return frame.astype(object).where(frame.notna(), None).to_numpy().tolist()


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    if is_parquet(path) and parquet is None:
        raise ArtifactError(f"{path} needs pyarrow to be read: pip install pyarrow, or save the data as CSV")
    try:
        yield
    except FileNotFoundError:
        raise ArtifactError(f"{path} does not exist") from None
    except (OSError, ValueError) as error:  # the parsers' errors are ValueErrors
        kind = "Parquet" if is_parquet(path) else "CSV"
        raise ArtifactError(f"{path} cannot be read as {kind}: {' '.join(str(error).split())}") from None

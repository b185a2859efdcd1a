"""The prediction log as a CSV or Parquet file, in constant memory, whole or not at all."""

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic_core import from_json
from tqdm import tqdm

from ...system.escaping import CsvWriter, printable
from ...system.files import whole
from ..stores.tables import iso
from .pages import COLUMNS, Chosen, count, read

try:
    import pyarrow  # type: ignore[import-untyped]
    from pyarrow import parquet
except ImportError:  # an optional dependency
    pyarrow = None

SUFFIXES = (".csv", ".parquet", ".pq")
TEXTS = [COLUMNS.index(name) for name in ("answer", "outcome")]
GROUP = 50_000  # rows of a Parquet file that are held in memory and written as one

Rows = Sequence[Sequence[Any]]


def export(url: str, output: Path, chosen: Chosen, *, defuse: bool = True) -> int:
    """Writes the rows in the order of their time and returns how many. Raises StoreAway, and in a sentence
    ArtifactError and ValueError.

    `defuse`: text in a CSV that a spreadsheet would take for a formula.
    """
    suffix = output.suffix.lower()
    if suffix not in SUFFIXES:
        raise ValueError(f"{output} ends in none of {', '.join(SUFFIXES)}, which say what to write")
    if suffix != ".csv" and pyarrow is None:
        raise ValueError(f"{output} needs pyarrow to be written: pip install pyarrow, or export to a .csv")
    rows = 0
    pages = read(url, model=chosen.model, version=chosen.version, since=chosen.since, until=chosen.until)
    # Counting takes a second for some millions: only where somebody looks.
    total = count(url, chosen) if sys.stderr.isatty() else None
    bar = tqdm(total=total, desc=output.name, unit="row", unit_scale=True, disable=None, dynamic_ncols=True)
    with bar, whole(output) as partial, _csv(partial, defuse) if suffix == ".csv" else _parquet(partial) as write:
        for page in pages:
            write([_plain(row) for row in page])
            rows += len(page)
            bar.update(len(page))
    return rows


def _plain(row: tuple[Any, ...]) -> Sequence[Any]:
    """Answer and outcome without JSON's quotes where they are strings: they are compared with classes."""
    values = list(row)
    for place in TEXTS:
        if (text := row[place]) is not None and text.startswith('"'):
            with contextlib.suppress(ValueError):  # SQLite holds what is no JSON, too
                values[place] = from_json(text)
    return values


@contextlib.contextmanager
def _csv(path: Path, defuse: bool) -> Iterator[Callable[[Rows], None]]:
    time = COLUMNS.index("time")
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = CsvWriter(file, defuse=defuse)
        writer.rows([COLUMNS])

        def write(rows: Rows) -> None:
            writer.rows((*row[:time], iso(row[time]), *row[time + 1 :]) for row in rows)

        yield write


@contextlib.contextmanager
def _parquet(path: Path) -> Iterator[Callable[[Rows], None]]:
    types = {"time": pyarrow.timestamp("us", "UTC"), "position": pyarrow.int32(), "confidence": pyarrow.float64()}
    types["latency_ms"] = pyarrow.float64()
    schema = pyarrow.schema([(name, types.get(name, pyarrow.string())) for name in COLUMNS])
    held: list[Sequence[Any]] = []
    with parquet.ParquetWriter(path, schema, compression="zstd") as writer:

        def flush() -> None:
            if held:
                columns = zip(*held, strict=True)
                writer.write_batch(
                    pyarrow.record_batch(
                        [pyarrow.array(column, field.type) for column, field in zip(columns, schema, strict=True)],
                        schema,
                    )
                )
                held.clear()

        def write(rows: Rows) -> None:
            held.extend(rows)
            if len(held) >= GROUP:
                flush()

        yield write
        flush()


def line(row: tuple[Any, ...]) -> str:
    """A row of COLUMNS for a terminal: time, model, request, what was asked, what was answered."""
    values = dict(zip(COLUMNS, row, strict=True))
    time: datetime = values["time"]
    confidence = "" if values["confidence"] is None else f" ({values['confidence']:.3f})"
    outcome = "" if values["outcome"] is None else f"  outcome {values['outcome']}"
    return printable(
        f"{iso(time)}  {values['model']} {values['version']}  {values['key']}  {values['features']} → "
        f"{values['answer']}{confidence}"
        f"  {values['latency_ms']:.1f} ms{outcome}"
    )

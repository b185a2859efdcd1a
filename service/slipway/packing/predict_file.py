"""`slipway predict`: the rows of a file through the same validation and the same model as the server's, into a CSV."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import numpy as np
import pandas as pd
from tqdm import tqdm

from ..errors import ArtifactError
from ..model.artifact import Artifact
from ..model.estimator import Model
from ..model.known_columns import Knowledge, known_columns
from ..model.signature import Signature
from ..system.escaping import CsvWriter
from ..system.files import whole
from .csv_shape import check_header, check_twice
from .own_code import refuse_lost, refuse_rounded
from .predict_frame import CHUNK, answer_lines, answer_names, answers_to, column_notes, in_order
from .tables import Cells, cells_of, extent, is_parquet, look, raw_header, read_chunks


class Done(NamedTuple):
    rows: int
    notes: list[str]


def predict_file(
    artifact: Artifact,
    data: Path,
    output: Path | None,
    *,
    missing: Sequence[str] | None = None,
    header: bool = True,
    defuse: bool = True,
) -> Done:
    """Writes a row of answers per row of data to `output`, whole or not at all, or to stdout. Raises ArtifactError.

    `missing`: words for a missing value in a CSV's text, None: as when it was packed; `header`: whether the CSV has
    one; `defuse`: text
    that a spreadsheet would take for a formula.
    """
    signature = artifact.signature
    look(data, signature.names or (), has_header=header)
    is_csv = not is_parquet(data)
    names = None if header or not is_csv else signature.names or [f"x{place}" for place in range(len(raw_header(data)))]
    if header and is_csv:
        names = _checked_names(data, signature)
    known = (
        known_columns(artifact.model.estimator, signature.names or ()) if isinstance(artifact.model, Model) else None
    )
    cells = replace(cells_of(signature, missing, names, known), has_header=header)
    validator = artifact.validator(CHUNK)
    count, notes = 0, []
    with _writing(output) as file, _progress(data) as bar:
        writer = CsvWriter(file, defuse=defuse)
        for frame, reached, texts in read_chunks(data, cells, CHUNK):
            if frame.empty:
                raise ArtifactError(f"{data} has no rows")
            rows = in_order(frame, signature)
            if isinstance(artifact.model, Model) and known is not None:
                refuse_lost(artifact.model.estimator, validator, rows, texts, count)
                refuse_rounded(artifact.model.estimator, validator, rows, _of_objects(rows, signature, known), count)
            if is_csv:
                _refuse_ambiguous(rows, signature, cells, count)
            answers = answers_to(artifact, validator, rows, count)
            lines = answer_lines(signature, answers)
            if count == 0:
                lines = chain([answer_names(signature, answers)], lines)
                notes = column_notes(frame, signature)
            writer.rows(lines)
            count += len(answers)
            bar.update(reached - bar.n)
            bar.set_postfix(rows=count)
    return Done(count, notes)


def _checked_names(data: Path, signature: Signature) -> tuple[str, ...] | None:
    """The model's names for a CSV whose columns are taken in their order, None: its own. Raises ArtifactError for a
    header that is none.
    """
    row, known = raw_header(data), signature.names or ()
    check_header(data, row, known, by_place=not signature.named)
    check_twice(data, row, known)
    by_place = not signature.named and len(row) == len(known) and not set(known) <= set(row)
    return known if by_place else None


def _refuse_ambiguous(rows: pd.DataFrame, signature: Signature, cells: Cells, before: int) -> None:
    """Raises ArtifactError for an empty cell that may be a missing value as well as a category of the column."""
    for column in signature.columns or ():
        if (
            column.nullable
            and "" in (column.categories or ())
            and not cells.missing.get(column.name, ("",))
            and column.name in rows
        ):
            places = np.flatnonzero(rows[column.name] == "")
            if len(places):
                raise ArtifactError(
                    f"Row {before + int(places[0]) + 1} of the data is refused: the empty cell of {column.name} may be "
                    "a missing value or "
                    "its category '': write missing values as a word, such as NA, and name it (--missing NA), or pack "
                    f"the model with [{column.name}] nullable = false in its columns file, where no value is missing"
                )


def _of_objects(rows: pd.DataFrame, signature: Signature, known: Knowledge) -> list[str]:
    """The columns of objects that own code sees, of which the file has floats alone."""
    columns = [column for column in signature.columns or () if column.type == "any" or column.dtype == "object"]
    return [column.name for column in columns if column.name in known.opaque and rows[column.name].dtype == np.float64]


@contextmanager
def _writing(output: Path | None) -> Iterator[TextIO]:
    if output is None:
        yield sys.stdout
        return
    with whole(output) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        yield file


def _progress(data: Path) -> "tqdm[Any]":
    """A bar on stderr where that is a terminal; a log file has no use for it."""
    unit = {"unit": "row"} if is_parquet(data) else {"unit": "B", "unit_scale": True, "unit_divisor": 1024}
    return tqdm(total=extent(data), desc=data.name, disable=None, dynamic_ncols=True, **unit)

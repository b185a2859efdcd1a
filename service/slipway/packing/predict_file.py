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

from ..errors import ArtifactError, InvalidInput
from ..model.answers import Answers
from ..model.artifact import Artifact
from ..model.contained import described
from ..model.estimator import Model
from ..model.known_columns import Knowledge, known_columns
from ..model.rows import RowValidator
from ..model.signature import Signature
from ..system.escaping import CsvWriter
from ..system.files import whole
from .csv_shape import check_header, check_twice, listed, naming_hint
from .own_code import refuse_lost, refuse_rounded
from .tables import Cells, cells_of, extent, is_parquet, json_rows, look, raw_header, read_chunks

CHUNK = 10_000  # rows


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
            rows = _in_order(frame, signature)
            if isinstance(artifact.model, Model) and known is not None:
                refuse_lost(artifact.model.estimator, validator, rows, texts, count)
                refuse_rounded(artifact.model.estimator, validator, rows, _of_objects(rows, signature, known), count)
            if is_csv:
                _refuse_ambiguous(rows, signature, cells, count)
            answers = _answers(artifact, validator, rows, count)
            lines = _lines(signature, answers)
            if count == 0:
                lines = chain([_header(signature, answers)], lines)
                notes = _column_notes(frame, signature)
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


def _in_order(frame: pd.DataFrame, signature: Signature) -> pd.DataFrame:
    """The model's columns of the frame, in its order; by position where their names were made up. Raises
    ArtifactError.
    """
    names = signature.names
    if names is None:
        return frame
    if not signature.named and not set(names) <= set(frame.columns):
        if frame.shape[1] != len(names):
            hint = naming_hint(frame, ())
            raise ArtifactError(f"The model takes {len(names)} features, the data has {frame.shape[1]} columns{hint}")
        return frame
    missing = [name for name in names if name not in frame]
    required = [column.name for column in signature.columns or () if column.name in missing and not column.nullable]
    if required:
        raise ArtifactError(
            f"The data does not have these columns of the model: {listed(required)}{naming_hint(frame, names)}"
        )
    unknown = [name for name in frame if name not in names]
    if missing and unknown:  # as a request's unknown names are refused: they may be the missing ones, otherwise written
        raise ArtifactError(
            f"The data does not have these columns of the model: {listed(missing)}; it has others, {listed(unknown)}"
            + (
                naming_hint(frame, names)
                or ": name the columns as the model does, or add empty ones where all values are missing"
            )
        )
    return frame.reindex(columns=list(names))


def _column_notes(frame: pd.DataFrame, signature: Signature) -> list[str]:
    """Which columns the one has and the other has not."""
    names = signature.names or ()
    if not set(names) & set(frame.columns):
        return []
    ignored, absent = [name for name in frame if name not in names], [name for name in names if name not in frame]
    notes = (
        [f"The model does not know these columns of the data, they were ignored: {listed(ignored)}"] if ignored else []
    )
    if absent:
        notes.append(
            "The data does not have these columns of the model, all their values were taken for missing: "
            f"{listed(absent)}"
        )
    return notes


def _answers(artifact: Artifact, validator: RowValidator, frame: pd.DataFrame, before: int) -> Answers:
    """Answers the frame's rows; `before`: rows of the file that came before them."""
    rows = json_rows(frame)
    try:
        return artifact.model.infer(validator.instances(rows).data)
    except InvalidInput as error:
        raise ArtifactError(
            _refusal(validator, rows, before) or f"The model refuses {_span(rows, before)}: {error.detail}"
        ) from None
    except Exception as error:  # an estimator may raise anything
        raise ArtifactError(f"The model fails on {_span(rows, before)}: {described(error)}") from error


def _refusal(validator: RowValidator, rows: list[Any], before: int) -> str | None:
    """What is wrong with the first row that does not pass; None where all do."""
    names = validator.signature.names
    for i, row in enumerate(rows):
        try:
            validator.features(row) if names is None else validator.row(dict(zip(names, row, strict=True)))
        except InvalidInput as error:
            return f"Row {before + i + 1} of the data is refused: {error.detail}"
    return None


def _span(rows: list[Any], before: int) -> str:
    return f"rows {before + 1} to {before + len(rows)}"


def _header(signature: Signature, answers: Answers) -> list[str]:
    """prediction, label, confidence, probability_LABEL; for several outputs all of them with the output's name, or
    number.
    """
    outputs = len(answers.predictions[0]) if isinstance(answers.predictions[0], list) else None
    if outputs is None:
        labels = [] if answers.probabilities is None else [f"probability_{label}" for label in signature.labels or ()]
        return ["prediction", *(["label"] if signature.classes else []), "confidence", *labels]
    header = []
    for output in range(outputs):
        name = signature.outputs[output] if signature.outputs else output
        header += [f"prediction_{name}", *([f"label_{name}"] if signature.multi_output else []), f"confidence_{name}"]
        if answers.probabilities is not None:
            header += [f"probability_{name}_{label}" for label in (signature.labels or ())[output]]
    return header


def _lines(signature: Signature, answers: Answers) -> Iterator[list[Any]]:
    for i, prediction in enumerate(answers.predictions):
        confidence = answers.confidences[i]
        probabilities = None if answers.probabilities is None else answers.probabilities[i]
        if not isinstance(prediction, list):
            label = [signature.label(prediction)] if signature.classes else []
            yield [prediction, *label, confidence, *(probabilities or ())]
            continue
        labels = signature.label(prediction) if signature.multi_output else None
        line = []
        for output, value in enumerate(prediction):
            line += [value, *([labels[output]] if labels else []), confidence[output]]
            line += probabilities[output] if probabilities else []
        yield line


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

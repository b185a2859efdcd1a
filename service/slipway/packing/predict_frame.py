"""The rows of a frame answered as the server would: columns by name, the same validation, the same model."""

from collections.abc import Iterator
from typing import Any

import pandas as pd

from ..errors import ArtifactError, InvalidInput
from ..model.answers import Answers
from ..model.artifact import Artifact
from ..model.contained import described
from ..model.rows import RowValidator
from ..model.signature import Signature
from .csv_shape import listed, naming_hint
from .tables import json_rows

CHUNK = 10_000  # rows


def predict_frame(artifact: Artifact, frame: pd.DataFrame) -> pd.DataFrame:
    """A row of answers per row, with the frame's index: prediction, label, confidence, probability_LABEL. Raises
    ArtifactError, which names the row and the column.
    """
    signature, validator = artifact.signature, artifact.validator(CHUNK)
    rows = in_order(frame.rename(columns=str), signature)
    columns: list[str] = []
    lines: list[list[Any]] = []
    for start in range(0, len(rows), CHUNK):
        answers = answers_to(artifact, validator, rows.iloc[start : start + CHUNK], start)
        columns = columns or answer_names(signature, answers)
        lines += answer_lines(signature, answers)
    made = dict(zip(columns, zip(*lines, strict=True), strict=True))
    return pd.DataFrame({name: list(values) for name, values in made.items()}, index=frame.index)


def in_order(frame: pd.DataFrame, signature: Signature) -> pd.DataFrame:
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


def column_notes(frame: pd.DataFrame, signature: Signature) -> list[str]:
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


def answers_to(artifact: Artifact, validator: RowValidator, frame: pd.DataFrame, before: int) -> Answers:
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


def answer_names(signature: Signature, answers: Answers) -> list[str]:
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


def answer_lines(signature: Signature, answers: Answers) -> Iterator[list[Any]]:
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

"""The example rows of a manifest: few, of every sort, and answered the same as JSON and as the data that they come from."""

from typing import Any

import numpy as np
import pandas as pd

from .answers import Answers, same
from .contained import described
from .errors import ArtifactError, InvalidInput
from .estimator import Model
from .manifest import Example
from .rows import RowValidator
from .schema import Column, Signature
from .tables import json_rows

EXAMPLES = 8
SAMPLE = 1000  # rows of the data that are answered both ways, to find the examples
ANSWERED = 10_000  # rows for the training distribution: a share of a tenth is right to 0.003, and a forest answers them in a second


def find_examples(model: Model, features: pd.DataFrame, notes: list[str]) -> list[Example]:
    """Up to EXAMPLES rows with their answers. `features` has the model's columns. Raises ArtifactError where JSON changes the answer."""
    validator = RowValidator(model.signature, SAMPLE * 2)
    places = _sample(features)
    rows = json_rows(features.iloc[places])
    accepted = [i for i, row in enumerate(rows) if _accepts(validator, row)]
    if not accepted:
        _accepts(validator, rows[0], refuse=True)
    if len(accepted) < len(rows):
        refused = f"{len(rows) - len(accepted)} of {len(rows)} rows of the data would be refused"
        notes.append(f"{refused}: values are missing, infinite or outside of what is declared")
    rows = [rows[i] for i in accepted]
    frame = features.iloc[places[accepted]].reset_index(drop=True)
    original: Any = frame
    if model.signature.input == "text":
        original = frame.iloc[:, 0].tolist()
    elif model.signature.input == "array":
        numeric = all(column.type in ("number", "boolean") for column in model.signature.columns or ())
        original = frame.to_numpy(dtype=np.float64 if numeric else object, na_value=np.nan)
    expected = _answers(model, original, "its data")
    answers = _answers(model, validator.instances(rows).data, "JSON rows made of its data")
    differing = sum(not same(got, wanted) for got, wanted in zip(answers.predictions, expected.predictions, strict=True))
    if differing:
        raise ArtifactError(
            f"The estimator answers {differing} of {len(rows)} rows otherwise when they come as JSON: "
            "convert the types of its columns inside its pipeline, or declare them in columns.toml"
        )
    _check_missing(model, validator, rows[0])
    chosen = _diverse(rows, answers)
    probabilities = answers.probabilities
    return [
        Example(features=rows[i], prediction=answers.predictions[i], probabilities=None if probabilities is None else probabilities[i])
        for i in chosen
    ]


def accepted_rows(signature: Signature, features: pd.DataFrame) -> list[list[Any]]:
    """All rows of the data that a request may hold, as JSON holds them."""
    validator = RowValidator(signature, 1)
    return [row for row in json_rows(features) if _accepts(validator, row)]


def answered_rows(model: Model, features: pd.DataFrame) -> tuple[list[list[Any]], Answers]:
    """Some rows of the data that a request may hold, as JSON holds them, with the answers. Raises ArtifactError."""
    # At random: every hundredth row may be a Sunday. The same ones each time.
    chosen = np.random.default_rng(0).permutation(len(features))[:ANSWERED]
    rows = accepted_rows(model.signature, features.iloc[np.sort(chosen)])
    validator = RowValidator(model.signature, SAMPLE)
    parts = [rows[i : i + SAMPLE] for i in range(0, len(rows), SAMPLE)]
    return rows, Answers.concat([_answers(model, validator.instances(part).data, "its data") for part in parts])


def _sample(features: pd.DataFrame) -> np.ndarray[Any, Any]:
    """Places of rows from all over the data, and of one row per column that has missing values."""
    spread = np.linspace(0, len(features) - 1, min(len(features), SAMPLE)).astype(int)
    missing = features.isna().to_numpy()
    return np.unique(np.concatenate([spread, missing.argmax(axis=0)[missing.any(axis=0)]]))


def _accepts(validator: RowValidator, row: list[Any], *, refuse: bool = False) -> bool:
    try:
        validator.features(row)
    except InvalidInput as error:
        if refuse:
            raise ArtifactError(f"No row of the data would be accepted; the first one: {error.detail}") from None
        return False
    return True


def _answers(model: Model, data: Any, what: str) -> Answers:
    try:
        return model.infer(data)
    except Exception as error:  # an estimator may raise anything
        reason = getattr(error, "detail", None) or described(error)
        raise ArtifactError(f"{type(model.estimator).__name__} cannot predict {what}: {' '.join(reason.split())}") from error


def _check_missing(model: Model, validator: RowValidator, row: list[Any]) -> None:
    """Every column that may be missing must be one that the estimator can do without."""
    columns: tuple[Column, ...] = model.signature.columns or ()
    for i, column in enumerate(columns):
        if column.nullable:
            batch = validator.features([*row[:i], None, *row[i + 1 :]])
            _answers(model, batch.data, f"a row whose {column.name!r} is missing, although it is declared that it may be")


def _diverse(rows: list[list[Any]], answers: Answers) -> list[int]:
    """A row with a missing value, the surest row of each predicted class, then rows from all over the range of predictions."""
    chosen = [i for i, row in enumerate(rows) if None in row][:1]
    surest: dict[str, int] = {}
    order = sorted(range(len(rows)), key=lambda i: -_certainty(answers.confidences[i]))
    if not any(isinstance(value, float) for value in answers.predictions):
        for i in order:
            surest.setdefault(repr(answers.predictions[i]), i)
    by_prediction = sorted(range(len(rows)), key=lambda i: repr(answers.predictions[i]))
    if all(isinstance(value, int | float) for value in answers.predictions):
        by_prediction.sort(key=lambda i: answers.predictions[i])
    spread = [by_prediction[int(place)] for place in np.linspace(0, len(rows) - 1, min(EXAMPLES, len(rows)))]
    return list(dict.fromkeys([*chosen, *sorted(surest.values()), *spread]))[:EXAMPLES]


def _certainty(confidence: Any) -> float:
    return min((_certainty(part) for part in confidence), default=0.0) if isinstance(confidence, list) else confidence or 0.0

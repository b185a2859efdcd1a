"""The columns of the data that a model predicts: left out of its features, and where there are several, the names of
its outputs.
"""

from collections.abc import Sequence
from difflib import get_close_matches
from itertools import combinations

import pandas as pd
from pydantic import ValidationError

from ..errors import ArtifactError, InvalidInput
from ..model.estimator import Model
from ..model.manifest import Example, first_error
from ..model.rows import RowValidator
from ..model.signature import Signature
from .tables import json_rows

COMPARED = 500  # rows of the data that tell whether two outputs have each other's names


def targets_of(columns: Sequence[str], given: str | Sequence[str] | None) -> list[str]:
    """The columns that are meant: each of `given` as a whole, or by its commas where the data has no such column.
    Raises ArtifactError.
    """
    found: list[str] = []
    for words in [given] if isinstance(given, str) else given or ():
        found += [words] if words in columns else [part.strip() for part in words.split(",")]
    for name in found:
        if name not in columns:
            there = ", ".join(columns[:10]) + (f" and {len(columns) - 10} more" if len(columns) > 10 else "")
            near = _near(name, columns)
            raise ArtifactError(f"The data has no column {name!r} to be the target: it has {there}{near}")
        if found.count(name) > 1:
            raise ArtifactError(f"--target names the column {name!r} twice")
    return found


def _near(name: str, columns: Sequence[str]) -> str:
    """The column that was meant, perhaps: blanks and capitals count."""
    plain = {column.strip().lower(): column for column in columns}
    near = get_close_matches(name.strip().lower(), plain, 1)
    return f": did you mean {plain[near[0]]!r}?" if near else ""


def with_outputs(signature: Signature, targets: Sequence[str], examples: Sequence[Example]) -> Signature:
    """The signature with its outputs named by several targets, in the order that the estimator was fitted on. Raises
    ArtifactError.
    """
    answered = {len(example.prediction) if isinstance(example.prediction, list) else 1 for example in examples}
    if answered - {len(targets)}:
        named = ", ".join(targets)
        raise ArtifactError(
            f"--target names {len(targets)} outputs, {named}, but the estimator answers {max(answered)}"
        )
    try:
        return Signature.model_validate(signature.model_dump() | {"outputs": tuple(targets)})
    except ValidationError as error:
        raise ArtifactError(f"--target: {first_error(error)}") from None


def exchanged(model: Model, features: pd.DataFrame, truth: pd.DataFrame) -> str | None:
    """A sentence where two outputs seem to have each other's names: their answers to the data are much nearer to the
    other's column.
    """
    places = list(range(0, len(features), max(1, len(features) // COMPARED)))
    try:
        batch = RowValidator(model.signature, len(places)).instances(json_rows(features.iloc[places]))
    except InvalidInput:  # rows that no request may hold: nothing to compare
        return None
    answers = pd.DataFrame(model.infer(batch.data).predictions, columns=list(truth))
    wanted = truth.iloc[places].reset_index(drop=True)
    for one, other in combinations(truth, 2):
        as_named = _distance(answers[one], wanted[one]) + _distance(answers[other], wanted[other])
        if _distance(answers[one], wanted[other]) + _distance(answers[other], wanted[one]) < as_named / 2:
            return (
                f"--target: what the estimator answers as {one} is much nearer to the column {other}, and the other "
                "way round: name the"
                " targets in the order that it was fitted on"
            )
    return None


def _distance(answers: pd.Series, truth: pd.Series) -> float:
    """Of numbers the mean difference, in standard deviations; else the share that differs."""
    if pd.api.types.is_numeric_dtype(answers) and pd.api.types.is_numeric_dtype(truth):
        return float((answers - truth).abs().mean() / (truth.std() or 1.0))
    return float((answers.astype(str) != truth.astype(str)).mean())

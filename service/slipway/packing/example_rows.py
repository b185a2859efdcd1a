"""The example rows of a manifest: few, of every sort, answered alike as JSON, as CSV and as the data itself."""

import io
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from ..errors import ArtifactError, InvalidInput, RefusedByModel
from ..model.answers import Answers, same
from ..model.contained import contained, described
from ..model.estimator import Model
from ..model.integers import EXACT
from ..model.manifest import Example
from ..model.rows import RowValidator
from ..model.signature import Column, Signature
from .tables import cells_of, json_rows, parse_csv

EXAMPLES = 8
SAMPLE = 1000  # rows of the data that are answered in each way, to find the examples
# Rows for the training distribution: a share of a tenth is right to 0.003, and a forest answers them in a second.
ANSWERED = 10_000
EPSILON = 1e-6  # beyond 0 and 1, where probabilities were rounded
MOST_NAMED = 5  # columns in a message
TRIED = 20  # rows that answer which column makes the difference


def find_examples(
    model: Model, features: pd.DataFrame, notes: list[str], explained: Callable[[], str] = str
) -> list[Example]:
    """Up to EXAMPLES rows with their answers. Raises ArtifactError where JSON changes the answer.

    `features` has the model's columns; `explained`: words on why the estimator cannot answer them.
    """
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
    answers = _compare(model, validator, frame, rows, "its data", explained)
    _compare_unseen(model, validator, frame)
    _compare_csv(model, validator, frame, answers, notes)
    _check_missing(model, validator, rows[0])
    chosen = _diverse(rows, answers)
    _check_beside_others(model, validator, rows, answers, chosen)
    probabilities = answers.probabilities
    return [
        Example(
            features=rows[i],
            prediction=answers.predictions[i],
            probabilities=None if probabilities is None else probabilities[i],
        )
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


def training_data(signature: Signature, frame: pd.DataFrame) -> Any:
    """What predict is called with by whoever has the frame that the estimator was fitted on: a frame, an array or a
    list of texts.
    """
    if signature.input == "text":
        return frame.iloc[:, 0].tolist()
    if signature.input == "frame":
        return frame
    columns = signature.columns or ()
    if all(column.keeps_integers and column.numeric for column in columns) and not frame.isna().to_numpy().any():
        return frame.to_numpy()
    if not signature.of_objects:
        return frame.to_numpy(dtype=signature.float_dtype, na_value=np.nan)
    array = np.empty(frame.shape, dtype=object)
    for place in range(frame.shape[1]):
        values = frame.iloc[:, place]
        array[:, place] = (
            values.to_numpy() if values.dtype == object else values.to_numpy(dtype=object, na_value=np.nan)
        )
    return array


def _compare(
    model: Model,
    validator: RowValidator,
    frame: pd.DataFrame,
    rows: list[Any],
    what: str,
    explained: Callable[[], str] = str,
) -> Answers:
    """The answers to JSON rows. Raises ArtifactError where the estimator answers the frame that they were made of
    otherwise.
    """
    original = training_data(model.signature, frame)
    try:
        expected = _answers(model, original, what)
    except ArtifactError as error:
        if (why := explained()) and error.__cause__ is not None:
            cause = error.__cause__
            # Not what is told a client of unknown values.
            if isinstance(cause, RefusedByModel) and cause.__cause__ is not None:
                cause = cause.__cause__
            told = " ".join(described(cause).split())
            raise ArtifactError(f"{type(model.estimator).__name__} cannot predict {what}: {told}{why}") from error
        misses = [str(name) for name in frame if frame[name].isna().any()]
        raise ArtifactError(f"{error} (values are missing in {_named(misses)})" if misses else str(error)) from error
    carried = validator.instances(rows).data
    answers = _answers(model, carried, f"JSON rows made of {what}")
    differing = differences(answers, expected)
    if differing:
        names = _culprits(model, original, carried, differing[:TRIED])
        raise ArtifactError(
            f"The estimator answers {len(differing)} of {len(rows)} rows otherwise when they come as JSON"
            + (f", because of {_named(names)}" if names else "")
            + f": {_reason(frame, names)}"
        )
    return answers


def differences(answers: Answers, expected: Answers) -> list[int]:
    """The places of the rows whose predictions or probabilities differ."""
    shares = [each.probabilities or [None] * len(each) for each in (answers, expected)]
    pairs = zip(answers.predictions, expected.predictions, *shares, strict=True)
    equal = partial(same, short=answers.short)
    return [i for i, (got, told, *both) in enumerate(pairs) if not (equal(got, told) and equal(*both))]


def _culprits(model: Model, original: Any, carried: Any, places: list[int]) -> list[str]:
    """The columns of which each alone, as it was carried, changes an answer to these rows of the original."""
    columns: tuple[Column, ...] = model.signature.columns or ()
    if isinstance(original, list):
        return [columns[0].name]
    found = []
    for i, column in enumerate(columns):
        if isinstance(original, np.ndarray):
            mixed: Any = original[places].astype(object)
            mixed[:, i] = carried[places][:, i]
            mixed, own = mixed.astype(carried.dtype), original[places]
        else:
            own = original.iloc[places].reset_index(drop=True)
            mixed = own.assign(**{column.name: carried.iloc[places, i].reset_index(drop=True)})
        try:
            if differences(model.infer(mixed), model.infer(own)):
                found.append(column.name)
        except Exception:  # an estimator may raise anything, and does where a type is not the one that it wants
            found.append(column.name)
    return found


def _reason(frame: pd.DataFrame, names: list[str]) -> str:
    huge = [name for name in names if pd.api.types.is_numeric_dtype(frame[name]) and (frame[name].abs() >= EXACT).any()]
    if huge:
        return (
            f"{_named(huge)} holds integers beyond 2^53, of which floats lose digits: make strings of them before "
            "fitting"
        )
    return "convert the types of its columns inside its pipeline, or declare them in columns.toml"


def _compare_unseen(model: Model, validator: RowValidator, frame: pd.DataFrame) -> None:
    """The same of rows with the categories that the estimator knows and the data lacks."""
    lacking = {
        name: np.setdiff1d(np.arange(len(frame[name].cat.categories)), frame[name].cat.codes).tolist()
        for name in frame
        if isinstance(frame[name].dtype, pd.CategoricalDtype)
    }
    count = min(SAMPLE, max(map(len, lacking.values()), default=0))
    if count == 0:
        return
    unseen = frame.iloc[np.arange(count) % len(frame)].reset_index(drop=True)
    for name, places in lacking.items():
        dtype: Any = frame[name].dtype
        codes = unseen[name].cat.codes.to_numpy().copy()
        codes[: len(places)] = places[:count]
        unseen[name] = pd.Categorical.from_codes(codes, dtype=dtype)
    rows = json_rows(unseen)
    accepted = [i for i, row in enumerate(rows) if _accepts(validator, row)]
    if accepted:
        unseen = unseen.iloc[accepted].reset_index(drop=True)
        try:
            model.infer(training_data(model.signature, unseen))
        except Exception:
            # An encoder may not know what the data's own dtype lists; it refuses these rows from everybody.
            return
        _compare(model, validator, unseen, [rows[i] for i in accepted], "categories that its data lacks")


def _compare_csv(
    model: Model, validator: RowValidator, frame: pd.DataFrame, answers: Answers, notes: list[str]
) -> None:
    """Notes which columns a CSV changes: it cannot tell the empty string from a missing one, nor 1 from the string 1
    beside other types.
    """
    if model.signature.columns is None:
        return
    written = io.StringIO()
    frame.to_csv(written, index=False)
    read = json_rows(
        parse_csv(io.StringIO(written.getvalue()), cells_of(model.signature), [str(name) for name in frame])
    )
    accepted = [i for i, row in enumerate(read) if _accepts(validator, row)]
    try:
        got = model.infer(validator.instances([read[i] for i in accepted]).data) if accepted else answers.take([])
        differing = [accepted[i] for i in differences(got, answers.take(accepted))]
    except Exception:  # an estimator may raise anything
        differing = accepted
    refused = set(range(len(read))) - set(accepted)
    changed = [*differing, *sorted(refused)]
    if changed:
        own = json_rows(frame)
        names = [
            column.name
            for j, column in enumerate(model.signature.columns)
            if any(_differ(read[i][j], own[i][j]) for i in changed)
        ]
        why = (
            f", because of {_named(names)}: a CSV tells neither the empty string from a missing value, nor the types "
            "of mixed values"
            if names
            else ", although their values come back as they were: the estimator may answer a row otherwise than it did "
            "before"
        )
        notes.append(f"From a CSV, {len(changed)} of {len(frame)} rows would be answered otherwise or refused{why}")


def _differ(read: Any, own: Any) -> bool:
    return not same(read, own) or type(read) is not type(own) or read != own


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
        answers = model.infer(data)
        if any(not -EPSILON <= share <= 1 + EPSILON for row in answers.probabilities or () for share in _flat(row)):
            _require_probabilities(model, data)
        return answers
    except ArtifactError:
        raise
    except Exception as error:  # an estimator may raise anything
        _require_probabilities(model, data)
        reason = getattr(error, "detail", None) or described(error)
        raise ArtifactError(
            f"{type(model.estimator).__name__} cannot predict {what}: {' '.join(reason.split())}"
        ) from error


def _require_probabilities(model: Model, data: Any) -> None:
    """Raises ArtifactError where predict_proba answers something else: LightGBM does, without an error, for an
    objective of one's own.
    """
    classes = model.signature.classes
    if classes is None or model.signature.multi_output or not hasattr(model.estimator, "predict_proba"):
        return
    try:
        with contained:
            found = np.asarray(model.estimator.predict_proba(data))
    except Exception:  # it may raise anything, and then that is told
        return
    if found.ndim != 2 or found.shape[1] != len(classes) or found.min() < -EPSILON or found.max() > 1 + EPSILON:
        raise ArtifactError(
            f"predict_proba of {type(model.estimator).__name__} does not answer a probability for each of its "
            f"{len(classes)} classes, as "
            "LightGBM's with an objective function of one's own: wrap it in a class of yours that makes classes and "
            "probabilities of scores"
        )


def _flat(shares: Any) -> list[float]:
    return [share for part in shares for share in _flat(part)] if isinstance(shares, list) else [shares or 0.0]


def _check_missing(model: Model, validator: RowValidator, row: list[Any]) -> None:
    """Every column that may be missing must be one that the estimator can do without."""
    columns: tuple[Column, ...] = model.signature.columns or ()
    for i, column in enumerate(columns):
        if column.nullable:
            batch = validator.features([*row[:i], None, *row[i + 1 :]])
            _answers(
                model, batch.data, f"a row whose {column.name!r} is missing, although it is declared that it may be"
            )


def _check_beside_others(
    model: Model,
    validator: RowValidator,
    rows: list[Any],
    answers: Answers,
    chosen: list[int],
) -> None:
    """Raises ArtifactError where a row is answered otherwise beside others than alone: a request has others."""
    few = [rows[i] for i in chosen]
    columns: tuple[Column, ...] = model.signature.columns or ()
    if any(column.nullable for column in columns):
        few.append([None if column.nullable else value for column, value in zip(columns, rows[0], strict=True)])
    together = _answered(model, validator, few)
    for place, i in enumerate(chosen):
        alone = _answered(model, validator, [rows[i]])
        if alone is None or together is None:  # it takes no such rows, which is told to who asks
            return
        beside = ((few, together.take([place])), (rows, answers.take([i])))
        others = next((others for others, found in beside if differences(alone, found)), None)
        if others is None:
            continue
        again = _answered(model, validator, rows)
        if again is not None and not differences(again, answers):  # else it answers at random
            names = _influences(model, validator, rows[i], alone, others)
            raise ArtifactError(
                "The estimator answers a row otherwise when other rows are asked with it"
                + (f", because of {_named(names)}" if names else "")
                + ": make what your code does with a value independent of the values beside it, and pack that: "
                "text of dates by .dt.strftime(), strings for categories that are integers"
            )


def _influences(model: Model, validator: RowValidator, row: list[Any], alone: Answers, others: list[Any]) -> list[str]:
    """The columns of which other values, in rows beside it, change the answer to a row."""
    found = []
    for i, column in enumerate(model.signature.columns or ()):
        answers = _answered(model, validator, [row, *([*row[:i], other[i], *row[i + 1 :]] for other in others)])
        if answers is None or differences(alone, answers.take([0])):
            found.append(column.name)
    return found


def _answered(model: Model, validator: RowValidator, rows: list[Any]) -> Answers | None:
    try:
        return model.infer(validator.instances(rows).data)
    except Exception:  # an estimator may raise anything
        return None


def _diverse(rows: list[list[Any]], answers: Answers) -> list[int]:
    """A row with a missing value, the surest row of each predicted class, then rows from all over the range of
    predictions.
    """
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
    return (
        min((_certainty(part) for part in confidence), default=0.0)
        if isinstance(confidence, list)
        else confidence or 0.0
    )


def _named(names: list[str]) -> str:
    return ", ".join(map(repr, names[:MOST_NAMED])) + (
        f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    )

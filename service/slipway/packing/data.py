"""The data of `slipway pack`: read as the estimator wants it, without its target, in the dtypes that it was fitted with."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ..errors import ArtifactError
from ..model import inspection
from ..model.answers import Answers
from ..model.dates import is_date
from ..model.integers import EXACT
from ..model.known_columns import Knowledge, known_columns
from ..model.signature import Signature
from .columns import Declaration, as_dates
from .tables import MISSING_WORDS, Cells, header, is_parquet, read_table
from .targets import targets_of

UNITS = ("ns", "us", "ms", "s")
ZONED = "datetime64[ns, UTC]"
NEARLY = 0.1  # of a range: a sample seldom has the extremes
MOST_ASKED = 1000  # rows that tell whether a column of text was one of dates


class Table(NamedTuple):
    """The columns that the estimator takes, in its order, and those that it predicts; rows parallel."""

    features: pd.DataFrame
    targets: pd.DataFrame


def read_data(
    estimator: Any,
    data: pd.DataFrame | Path,
    target: str | Sequence[str] | None,
    declarations: Mapping[str, Declaration],
    missing: Sequence[str],
    has_header: bool,
    notes: list[str],
) -> Table:
    """Of a frame, or of a CSV or Parquet file. Raises ArtifactError."""
    if isinstance(data, pd.DataFrame):
        return _table(estimator, data, target, notes)
    is_csv = not is_parquet(data)
    names = header(data)
    if is_csv and has_header:
        _check_header(data, names, inspection.names(estimator))
    file_names = None if has_header or not is_csv else _made_up_names(estimator, declarations, len(names))
    own = _known_names(estimator, file_names or names, target)
    categories = [name for name in own if name in declarations and declarations[name].is_category]
    known = known_columns(estimator, own, declared=categories)
    if known.unmatched and is_csv:  # the cells tell of which columns they are
        as_text = Cells(text=names, missing={}, names=file_names)
        known = known_columns(estimator, own, read_table(data, as_text), categories)
    cells = Cells(
        text=[name for name in own if known.is_text(name) or name in known.dates]
        + [name for name, declaration in declarations.items() if declaration.is_text and name in own],
        integers=[name for name in own if known.is_of_integers(name) or _is_of_integers(declarations.get(name))],
        missing={name: {"", *missing} - known.words(name) for name in file_names or names},
        names=file_names,
    )
    table = _table(estimator, read_table(data, cells), target, notes)
    if is_csv:
        notes += _missing_notes(table.features)
    return table


def _known_names(estimator: Any, names: Sequence[str], target: str | Sequence[str] | None) -> list[str]:
    """The estimator's columns of a file, by the names in it."""
    targets = targets_of(names, target)
    left = [name for name in names if name not in targets]
    own = inspection.names(estimator)
    return left if own is None else _own_names(own, left, inspection.joins_words(estimator))


def _is_of_integers(declaration: Declaration | None) -> bool:
    if declaration is None:
        return False
    listed = declaration.categories is not None and all(type(value) is int for value in declaration.categories)
    return listed or declaration.type == "integer" or (declaration.dtype or "").lower().startswith(("int", "uint"))


def _check_header(path: Path, names: Sequence[str], known: Sequence[str] | None) -> None:
    """Raises ArtifactError where the first row looks like one of values."""
    if known is not None and set(names) & set(known):
        return
    numbers = [name for name in names if _is_number(name)]
    counted = names == [str(place) for place in range(len(names))]
    fractions = [name for name in numbers if not name.strip().lstrip("+-").isdigit()]
    if (len(numbers) == len(names) and not counted) or fractions:
        raise ArtifactError(
            f"The first row of {path} is taken for the names of its columns, but holds numbers ({listed(numbers)}): "
            "say --no-header if it is a row of values, or give the columns names"
        )


def _is_number(name: str) -> bool:
    try:
        float(name)
    except ValueError:
        return False
    return True


def _made_up_names(estimator: Any, declarations: Mapping[str, Declaration], count: int) -> list[str]:
    """Of a file without a header: the estimator's, the declared ones, or x0, x1, …"""
    for names in (inspection.names(estimator), list(declarations)):
        if names is not None and len(names) == count:
            return list(names)
    return [f"x{place}" for place in range(count)]


def _missing_notes(features: pd.DataFrame) -> list[str]:
    """What was taken for missing in a CSV, and which words that look like it were not."""
    missing = {str(name): int(count) for name, count in features.isna().sum().items() if count}
    notes = []
    if missing:
        notes.append(f"Read as missing: {listed([f'{count:,} cells of {name!r}' for name, count in missing.items()])}")
    for name in features:
        if isinstance(features[name].dtype, pd.StringDtype):
            kept = features[name][features[name].isin(MISSING_WORDS)].value_counts()
            if len(kept):
                words = listed([f"{word!r} {count:,} times" for word, count in kept.items()])
                notes.append(f"Kept as text in {name!r}: {words}; where it means a missing value, say --missing {kept.index[0]}")
    return notes


def _table(estimator: Any, data: pd.DataFrame, target: str | Sequence[str] | None, notes: list[str]) -> Table:
    data = data.rename(columns=str)
    if data.empty:
        raise ArtifactError("The data has no rows")
    targets = targets_of([str(name) for name in data], target)
    features = data.drop(columns=targets)
    names = inspection.names(estimator)
    hint = "" if targets else "; if one of them is the target, name it with --target"
    if inspection.takes_text(estimator):
        if features.shape[1] != 1:
            raise ArtifactError(f"A text model takes one column, the data has {listed(features.columns)}{hint}")
    elif names is not None:
        own = _own_names(names, features, inspection.joins_words(estimator))
        ignored = [name for name in features if name not in own]
        if ignored:
            notes.append(f"The estimator does not know these columns of the data, they are ignored: {listed(ignored)}")
        features = features[own]
    elif (width := inspection.width(estimator)) not in (None, features.shape[1]):
        raise ArtifactError(
            f"The estimator takes {width} features, the data has {features.shape[1]} columns{_index_hint(features) or hint}"
        )
    return Table(features.reset_index(drop=True), data[targets].reset_index(drop=True))


def _index_hint(features: pd.DataFrame) -> str:
    """Words where the first column numbers the rows, as pandas writes its index."""
    first = features.iloc[:, 0]
    is_unnamed = str(first.name).startswith("Unnamed: ")
    counts = pd.api.types.is_integer_dtype(first.dtype) and first.tolist() == list(range(first.iloc[0], first.iloc[0] + len(first)))
    if not (is_unnamed or counts):
        return ""
    return f"; the first one ({str(first.name)!r}) looks like an index: leave it out, as to_csv(index=False) does"


def _own_names(names: Sequence[str], data: Iterable[Any], joined: bool) -> list[str]:
    """What the data calls the estimator's columns, in its order. `joined`: a blank and an underscore are the same to the estimator."""

    def to_estimator(name: str) -> str:
        return name.replace(" ", "_") if joined else name

    found: dict[str, list[str]] = {}
    for name in map(str, data):
        found.setdefault(to_estimator(name), []).append(name)
    missing = [name for name in names if to_estimator(name) not in found]
    if missing:
        raise ArtifactError(f"The estimator was fitted on columns that the data does not have: {listed(missing)}")
    own = [found[to_estimator(name)] for name in names]
    alike = [name for several in own if len(several) > 1 for name in several]
    if alike:
        raise ArtifactError(
            f"The estimator does not tell these columns of the data apart: {listed(alike)}; leave out those that are not its own"
        )
    return [name for (name,) in own]


def as_fitted(
    estimator: Any,
    features: pd.DataFrame,
    known: Knowledge,
    declarations: Mapping[str, Declaration],
    notes: list[str],
    *,
    is_typed: bool,
) -> pd.DataFrame:
    """With the dtypes that the user's own code answers alike or takes alone. Raises ArtifactError where it may be either.

    `is_typed`: the data tells integers from floats that are whole, as no CSV does.
    """
    for name in map(str, features):
        declaration = declarations.get(name) or Declaration()
        if name not in known.opaque or declaration.dtype is not None or inspection.names(estimator) is None:
            continue
        if declaration.type is None and _holds_dates(features[name]):
            features = _with_dates(estimator, features, name, notes)
        elif declaration.type in (None, "number") and _holds_integers(features[name]):
            features = _with_floats(estimator, features, name, is_typed=is_typed and declaration.type is None)
    return features


def _holds_integers(column: pd.Series) -> bool:
    """Integers of which floats lose no digit."""
    return isinstance(column.dtype, np.dtype) and column.dtype.kind in "iu" and bool((column.abs() < EXACT).all())


def _with_floats(estimator: Any, features: pd.DataFrame, name: str, *, is_typed: bool) -> pd.DataFrame:
    """The column as floats where both are answered alike: a dtype must not depend on a fraction in the row beside it."""
    rows = features.head(MOST_ASKED)
    of_floats = rows.assign(**{name: rows[name].astype(np.float64)})
    from_integers, from_floats = _answers(estimator, rows), _answers(estimator, of_floats)
    if from_floats is None:
        return features
    if from_integers is None or _alike(from_integers, from_floats):
        return features.assign(**{name: features[name].astype(np.float64)})
    if is_typed:
        return features
    raise ArtifactError(
        f"Column {name!r} holds whole numbers, and the estimator answers them otherwise as integers or as floats: declare what the "
        f'training frame had in a columns file (--columns): [{name}] dtype = "int64" or dtype = "float64"'
    )


def _holds_dates(column: pd.Series) -> bool:
    present = column.dropna()
    return isinstance(present.dtype, pd.StringDtype) and not present.empty and bool(present.map(_is_any_date).all())


def _is_any_date(text: str) -> bool:
    return is_date(text, None) or is_date(text, ZONED)


def _with_dates(estimator: Any, features: pd.DataFrame, name: str, notes: list[str]) -> pd.DataFrame:
    """The column as dates, where the estimator fails on the text, and where the unit that dates are kept in changes no answer."""
    rows = features.head(MOST_ASKED)
    from_text = _answers(estimator, rows)
    if rows[name].dropna().map(lambda text: is_date(text, ZONED)).any():
        zoned = _answers(estimator, rows.assign(**{name: as_dates(rows[name], ZONED)}))
        if from_text is not None and (zoned is None or _alike(from_text, zoned)):
            return features
        raise ArtifactError(
            f"Column {name!r} holds times with an offset, which the estimator does not take as text, or answers otherwise: declare "
            f'what the training frame had in a columns file (--columns), such as [{name}] dtype = "datetime64[ns, Europe/Berlin]", '
            'or type = "string"'
        )
    answers = [_answers(estimator, rows.assign(**{name: as_dates(rows[name], f"datetime64[{unit}]")})) for unit in UNITS]
    found = [answer for answer in (from_text, *answers) if answer is not None]
    if answers[0] is None:
        return features
    if not all(_alike(answer, found[0]) for answer in found):
        raise ArtifactError(
            f"Column {name!r} holds dates, and the estimator answers them otherwise as text or in other units: declare what the training "
            f'frame had in a columns file (--columns): [{name}] dtype = "datetime64[ns]", or us, ms or s for ns, or type = "string"'
        )
    if from_text is not None:
        return features
    notes.append(f"Column {name!r} is read as dates, for the estimator takes no text there")
    return features.assign(**{name: as_dates(features[name], None)})


def _answers(estimator: Any, rows: pd.DataFrame) -> list[Any] | None:
    """Predictions, and probabilities where there are any. None where the estimator fails."""
    try:
        answers = [np.asarray(estimator.predict(rows.copy()))]  # a copy: it may write into them
        if hasattr(estimator, "predict_proba"):
            found = estimator.predict_proba(rows.copy())
            answers += map(np.asarray, found if isinstance(found, list) else [found])
    except Exception:  # it may raise anything
        return None
    return answers


def _alike(some: list[Any], others: list[Any]) -> bool:
    """Sums of integers and of floats may differ in the last digit."""
    return len(some) == len(others) and all(
        np.array_equal(one, other)
        or (one.dtype.kind == other.dtype.kind == "f" and one.shape == other.shape and np.allclose(one, other, equal_nan=True))
        for one, other in zip(some, others, strict=True)
    )


def told_by(known: Knowledge, features: pd.DataFrame, signature: Signature, answers: Answers) -> list[str]:
    """What the estimator knows and the data does not show: it can be served, but is not compared with anything."""
    notes = []
    for name in map(str, features):
        seen = set(features[name].dropna().unique().tolist())
        categories = [value for value in known.categories(name) if value is not None and value == value]
        if lacking := [value for value in categories if value not in seen]:
            notes.append(
                f"The data has {len(categories) - len(lacking)} of the {len(categories)} values of {name!r} that the estimator knows"
            )
        if name in known.ranges and pd.api.types.is_numeric_dtype(features[name]):
            low, high = known.ranges[name]
            values = features[name].dropna().astype(float)
            margin = NEARLY * (high - low)
            if len(values) and (values.min() > low + margin or values.max() < high - margin):
                notes.append(
                    f"The data of {name!r} reaches from {values.min():g} to {values.max():g}, the estimator knows {low:g} to {high:g}"
                )
    classes = signature.classes
    if classes and not signature.multi_output:
        answered = set(answers.predictions)
        if lacking := [value for value in classes if value not in answered]:
            notes.append(f"No row of the data is answered with {listed([repr(value) for value in lacking])} of the {len(classes)} classes")
    return notes


def listed(names: Any) -> str:
    names = [str(name) for name in names]
    return ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")

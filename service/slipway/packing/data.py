"""The data of `slipway pack`: read as the estimator wants it, without its target, in the dtypes that it was fitted
with.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from ..errors import ArtifactError
from ..model import inspection
from ..model.answers import Answers
from ..model.known_columns import Knowledge, known_columns
from ..model.signature import Signature
from .columns import Declaration
from .csv_shape import check_header, check_twice, listed, naming_hint
from .own_code import is_open
from .tables import MISSING_WORDS, Cells, header, is_parquet, look, raw_header, read_table
from .targets import targets_of

NEARLY = 0.1  # of a range: a sample seldom has the extremes


class Table(NamedTuple):
    """The columns that the estimator takes, in its order, and those that it predicts; rows parallel.

    `texts`: the cells of a CSV that code of the packer's own sees, of which nothing tells whether they are text.
    """

    features: pd.DataFrame
    targets: pd.DataFrame
    texts: pd.DataFrame = pd.DataFrame()


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
    look(data, inspection.names(estimator) or (), has_header=has_header)
    is_csv = not is_parquet(data)
    names = header(data)
    if is_csv and has_header:
        row, fitted = raw_header(data), inspection.names(estimator)
        check_header(data, row, fitted)
        check_twice(data, row, fitted or ())
    file_names = None if has_header or not is_csv else _made_up_names(estimator, declarations, len(names))
    own = _known_names(estimator, file_names or names, target)
    categories = [name for name in own if name in declarations and declarations[name].is_category]
    known = known_columns(estimator, own, declared=categories)
    if known.unmatched and is_csv:  # the cells tell of which columns they are
        as_text = Cells(text=names, missing={}, names=file_names, has_header=file_names is None)
        known = known_columns(estimator, own, read_table(data, as_text), categories)
    takes_text = inspection.takes_text(estimator)
    cells = Cells(
        text=[name for name in own if takes_text or known.is_text(name) or name in known.dates]
        + [name for name, declaration in declarations.items() if declaration.is_text and name in own],
        integers=[name for name in own if known.is_of_integers(name) or _is_of_integers(declarations.get(name))],
        booleans=[name for name in own if name in declarations and declarations[name].is_truth],
        missing={name: {"", *missing} - known.words(name) for name in file_names or names},
        names=file_names,
        has_header=file_names is None,
    )
    table = _table(estimator, read_table(data, cells), target, notes)
    if is_csv:
        notes += _missing_notes(table.features)
        kept = [name for name in own if is_open(name, known, declarations.get(name)) and name not in cells.text]
        if kept:
            texts = read_table(data, replace(cells, text=[*cells.text, *kept]))[kept]
            table = table._replace(texts=texts)
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
                notes.append(
                    f"Kept as text in {name!r}: {words}; where it means a missing value, say --missing {kept.index[0]}"
                )
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
            f"The estimator takes {width} features, the data has {features.shape[1]} columns"
            + (naming_hint(features, ()) or _index_hint(features) or hint)
        )
    return Table(features.reset_index(drop=True), data[targets].reset_index(drop=True))


def _index_hint(features: pd.DataFrame) -> str:
    """Words where the first column numbers the rows, as pandas writes its index."""
    first = features.iloc[:, 0]
    is_unnamed = str(first.name).startswith("Unnamed: ")
    counts = pd.api.types.is_integer_dtype(first.dtype) and first.tolist() == list(
        range(first.iloc[0], first.iloc[0] + len(first))
    )
    if not (is_unnamed or counts):
        return ""
    return f"; the first one ({str(first.name)!r}) looks like an index: leave it out, as to_csv(index=False) does"


def _own_names(names: Sequence[str], data: Iterable[Any], joined: bool) -> list[str]:
    """What the data calls the estimator's columns, in its order. `joined`: a blank and an underscore are the same to
    the estimator.
    """

    def to_estimator(name: str) -> str:
        return name.replace(" ", "_") if joined else name

    found: dict[str, list[str]] = {}
    for name in map(str, data):
        found.setdefault(to_estimator(name), []).append(name)
    missing = [name for name in names if to_estimator(name) not in found]
    if missing:
        hint = naming_hint(data, names)
        raise ArtifactError(f"The estimator was fitted on columns that the data does not have: {listed(missing)}{hint}")
    own = [found[to_estimator(name)] for name in names]
    alike = [name for several in own if len(several) > 1 for name in several]
    if alike:
        raise ArtifactError(
            f"The estimator does not tell these columns of the data apart: {listed(alike)}; leave out those that are "
            "not its own"
        )
    return [name for (name,) in own]


def told_by(known: Knowledge, features: pd.DataFrame, signature: Signature, answers: Answers) -> list[str]:
    """What the estimator knows and the data does not show: it can be served, but is not compared with anything."""
    notes = []
    for name in map(str, features):
        seen = set(features[name].dropna().unique().tolist())
        categories = [value for value in known.categories(name) if value is not None and value == value]
        if lacking := [value for value in categories if value not in seen]:
            notes.append(
                f"The data has {len(categories) - len(lacking)} of the {len(categories)} values of {name!r} that the "
                "estimator knows"
            )
        if name in known.ranges and pd.api.types.is_numeric_dtype(features[name]):
            low, high = known.ranges[name]
            values = features[name].dropna().astype(float)
            margin = NEARLY * (high - low)
            if len(values) and (values.min() > low + margin or values.max() < high - margin):
                notes.append(
                    f"The data of {name!r} reaches from {values.min():g} to {values.max():g}, the estimator knows "
                    f"{low:g} to {high:g}"
                )
    classes = signature.classes
    if classes and not signature.multi_output:
        answered = set(answers.predictions)
        if lacking := [value for value in classes if value not in answered]:
            notes.append(
                f"No row of the data is answered with {listed([repr(value) for value in lacking])} of the "
                f"{len(classes)} classes"
            )
    return notes

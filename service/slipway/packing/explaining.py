"""Why an estimator fails on the packer's own rows: cells that are no numbers, and dtypes that a CSV does not tell."""

import re
from collections.abc import Collection
from typing import Any

import numpy as np
import pandas as pd

from ..model.known_columns import Knowledge
from .own_code import answers
from .tables import is_of_text, stray, stray_words

MOST_ASKED = 1000  # rows
MOST_NAMED = 5  # columns of a kind
_DURATION = r"-?\d+ days?\b.*|-?\d+:\d\d:\d\d(\.\d+)?"
_DATE = r"\d{1,2}[./-]\d{1,2}[./-]\d{2,4}\b.*|\d{4}[./]\d{1,2}[./]\d{1,2}\b.*"


def explanation(
    estimator: Any, features: pd.DataFrame, known: Knowledge, declared: Collection[str], *, is_typed: bool
) -> str:
    """What to do where the estimator cannot answer the packer's rows, in words behind its error; none: nothing explains
    it.

    `declared`: columns whose type or dtype the packer has told; `is_typed`: the data tells the others, as no CSV does.
    """
    untold = [name for name in map(str, features) if name not in declared]
    found = [
        stray_words(name, *cell)
        for name in untold
        if not known.is_text(name) and not known.categories(name) and (cell := stray(features[name])) is not None
    ]
    if short := _short_floats(estimator, features, untold):
        found.append(f"it answers float32: declare in a columns file (--columns) {_tables(short)}, or give Parquet")
    if not found and not is_typed:
        found = _of_own_code(features, [name for name in untold if name in known.opaque])
    return "".join(f"; {words}" for words in found[:MOST_NAMED])


def _short_floats(estimator: Any, features: pd.DataFrame, untold: list[str]) -> list[str]:
    """The columns of floats, where the estimator takes short ones alone."""
    names = [name for name in untold if features[name].dtype == np.float64]
    rows = features.head(MOST_ASKED)
    short = rows.assign(**{name: rows[name].astype(np.float32) for name in names})
    return names if names and answers(estimator, short) is not None else []


def _of_own_code(features: pd.DataFrame, names: list[str]) -> list[str]:
    """By the kinds of what code of the packer's own sees, and may have been of another dtype."""
    kinds: dict[str, list[str]] = {}
    for name in names:
        kinds.setdefault(_kind(features[name]), []).append(name)
    if len(kinds) > 1:  # numbers are what they are more often than not
        kinds.pop("number", None)
    return [_WORDS[kind].format(columns=", ".join(map(repr, found)), first=found[0]) for kind, found in kinds.items()]


def _kind(series: pd.Series) -> str:
    if not is_of_text(series):
        return "number"
    present = [str(value) for value in series.dropna().unique().tolist()[:MOST_ASKED]]
    for kind, pattern in (("duration", _DURATION), ("date", _DATE)):
        if present and all(re.fullmatch(pattern, value) for value in present):
            return kind
    return "text"


def _tables(names: list[str]) -> str:
    more = f" and so for {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(f'[{name}] dtype = "float32"' for name in names[:MOST_NAMED]) + more


_WORDS = {
    "duration": "code of your own sees {columns}: if it was a Timedelta, JSON rows cannot carry it: "
    "make seconds of it with .dt.total_seconds() before fitting, and pack that",
    "date": "code of your own sees {columns}: if it was a date, write it in ISO 8601, such as 2026-11-30 or "
    "2026-11-30T12:00:00",
    "text": "code of your own sees {columns}: if it was a category, list the categories of the training frame's dtype, "
    'in its order, in a columns file (--columns): [{first}] categories = ["…", …]',
    "number": "code of your own sees {columns}: if it was of another dtype than a CSV tells, "
    'declare that in a columns file (--columns), such as [{first}] dtype = "Int64"',
}

"""What a CSV does not tell of columns that the packer's own code sees: whether text was dates there. The estimator is asked both ways."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from ..errors import ArtifactError
from ..model import inspection
from ..model.contained import contained
from ..model.dates import is_date
from ..model.known_columns import Knowledge
from .columns import Declaration, as_dates

UNITS = ("ns", "us", "ms", "s")
ZONED = "datetime64[ns, UTC]"
MOST_ASKED = 1000  # rows that tell what a column was


def as_fitted(
    estimator: Any,
    features: pd.DataFrame,
    given: pd.DataFrame,
    known: Knowledge,
    declarations: Mapping[str, Declaration],
    notes: list[str],
) -> pd.DataFrame:
    """With datetimes for columns of text that the estimator takes for dates alone. Raises ArtifactError where it may be either.

    `given`: the columns before anything was made of them.
    """
    for name in map(str, features):
        declaration = declarations.get(name) or Declaration()
        if name not in known.opaque or declaration.dtype is not None or not _holds_dates(given[name]):
            continue
        if declaration.type is None:
            features = _with_dates(estimator, features, name, notes)
        elif declaration.type == "datetime":  # in which unit it was not said
            answers = _in_units(estimator, features.head(MOST_ASKED), name)
            _require_one_answer(name, [answer for answer in answers if answer is not None])
    return features


def _holds_dates(column: pd.Series) -> bool:
    present = column.dropna()
    return isinstance(present.dtype, pd.StringDtype) and not present.empty and bool(present.map(_is_any_date).all())


def _is_any_date(text: str) -> bool:
    return is_date(text, None) or is_date(text, ZONED)


def _with_dates(estimator: Any, features: pd.DataFrame, name: str, notes: list[str]) -> pd.DataFrame:
    """The column as dates, where the estimator fails on the text, and where the unit that dates are kept in changes no answer."""
    rows = features.head(MOST_ASKED)
    from_text = answers(estimator, rows)
    if rows[name].dropna().map(lambda text: is_date(text, ZONED)).any():
        zoned = answers(estimator, rows.assign(**{name: as_dates(rows[name], ZONED)}))
        if from_text is not None and (zoned is None or alike(from_text, zoned)):
            return features
        raise ArtifactError(
            f"Column {name!r} holds times with an offset, which the estimator does not take as text, or answers otherwise: declare "
            f'what the training frame had in a columns file (--columns), such as [{name}] dtype = "datetime64[ns, Europe/Berlin]", '
            'or type = "string"'
        )
    from_dates = _in_units(estimator, rows.assign(**{name: as_dates(rows[name], None)}), name)
    if from_dates[0] is None:
        return features
    _require_one_answer(name, [answer for answer in (from_text, *from_dates) if answer is not None])
    if from_text is not None:
        return features
    notes.append(f"Column {name!r} is read as dates, for the estimator takes no text there")
    return features.assign(**{name: as_dates(features[name], None)})


def _in_units(estimator: Any, rows: pd.DataFrame, name: str) -> list[Any]:
    dtypes: list[Any] = [f"datetime64[{unit}]" for unit in UNITS]
    return [answers(estimator, rows.assign(**{name: rows[name].astype(dtype)})) for dtype in dtypes]


def _require_one_answer(name: str, found: list[Any]) -> None:
    if any(not alike(answer, found[0]) for answer in found):
        raise ArtifactError(
            f"Column {name!r} holds dates, and the estimator answers them otherwise as text or in other units: declare what the training "
            f'frame had in a columns file (--columns): [{name}] dtype = "datetime64[ns]", or us, ms or s for ns, or type = "string"'
        )


def answers(estimator: Any, rows: pd.DataFrame) -> list[Any] | None:
    """What it predicts, and the probabilities where it has some; None where it fails."""
    data = rows.copy()  # which it may write into
    try:
        with contained:
            asked = data if inspection.names(estimator) is not None else data.to_numpy()
            found = [estimator.predict(asked)]
            if hasattr(estimator, "predict_proba"):
                probabilities = estimator.predict_proba(asked)
                found += probabilities if isinstance(probabilities, list) else [probabilities]
            return [np.asarray(each) for each in found]
    except Exception:  # it may raise anything
        return None


def alike(one: list[Any], other: list[Any]) -> bool:
    """Whether two lists of answers are the same, but for the last digits."""
    return len(one) == len(other) and all(_same(first, second) for first, second in zip(one, other, strict=True))


def _same(one: Any, other: Any) -> bool:
    if one.shape != other.shape:
        return False
    if one.dtype.kind == "f" and other.dtype.kind == "f":
        return bool(np.allclose(one, other, rtol=1e-9, atol=1e-12, equal_nan=True))
    return bool(np.array_equal(one, other))

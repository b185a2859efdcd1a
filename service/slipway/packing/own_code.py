"""What a CSV does not tell of columns that the packer's own code sees: whether 01234 or True or a date was text. It
is asked both ways.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from ..errors import ArtifactError, InvalidInput
from ..model import inspection
from ..model.contained import contained
from ..model.dates import is_date
from ..model.integers import EXACT, exact_integers
from ..model.known_columns import Knowledge
from ..model.rows import RowValidator
from .columns import Declaration, as_dates
from .csv_shape import listed
from .tables import BOOLEANS, json_rows

UNITS = ("ns", "us", "ms", "s")
ZONED = "datetime64[ns, UTC]"
MOST_ASKED = 1000  # rows that tell what a column was
_WHOLE = r"-?\d+"


def as_fitted(
    estimator: Any,
    features: pd.DataFrame,
    given: pd.DataFrame,
    texts: pd.DataFrame,
    known: Knowledge,
    declarations: Mapping[str, Declaration],
    notes: list[str],
    *,
    is_typed: bool,
) -> pd.DataFrame:
    """With the dtypes that the user's own code answers alike, or takes alone. Raises ArtifactError where it may be
    either.

    `given`: the columns before anything was made of them; `texts`: cells of a CSV, as they stand there.
    `is_typed`: the data tells integers from floats that are whole, as no CSV does.
    """
    whole: list[str] = []
    for name in map(str, features):
        declaration = declarations.get(name) or Declaration()
        if name not in known.opaque or declaration.dtype is not None:
            continue
        if _holds_dates(given[name]):
            if declaration.type is None and name not in known.dates:
                features = _with_dates(estimator, features, name, notes)
            elif declaration.type == "datetime":  # in which unit it was not said
                answers = _in_units(estimator, features.head(MOST_ASKED), name)
                _require_one_answer(name, [answer for answer in answers if answer is not None])
        elif declaration.type in (None, "number") and inspection.names(estimator) is not None:
            integers = _as_integers(features[name], texts.get(name), is_typed=is_typed)
            if integers is not None:
                are_told = is_typed and declaration.type is None
                features = _with_floats(estimator, features, integers.head(MOST_ASKED), whole, are_told=are_told)
    if whole:
        notes.append(
            f"Read as integers: {listed([repr(name) for name in whole])}, for code of your own sees them, so a "
            'fraction is refused there: where the training frame had floats, declare dtype = "float64" in a columns '
            "file (--columns)"
        )
    return features


def _as_integers(column: pd.Series, cells: pd.Series | None, *, is_typed: bool) -> pd.Series | None:
    """The values that are there, where they may have been integers, of which floats lose no digit; None where not.

    `cells`: of a CSV, in which a missing one makes floats of the others.
    """
    if isinstance(column.dtype, np.dtype) and column.dtype.kind in "iu":
        return column if column.between(-EXACT, EXACT).all() else None
    present = column.dropna()
    if is_typed or column.dtype != np.float64 or len(present) in (0, len(column)):
        return None
    if cells is not None:  # of integers beyond 2^53, too, whose digits are lost by then
        text = cells[present.index]
        values = [int(cell) for cell in text] if text.str.fullmatch(_WHOLE).all() else None
    else:
        values = [int(value) for value in present] if (present % 1 == 0).all() else None
    if values is None:
        return None
    return pd.Series(exact_integers(values, np.dtype(np.int64)), present.index, name=column.name)


def _with_floats(
    estimator: Any, features: pd.DataFrame, integers: pd.Series, whole: list[str], *, are_told: bool
) -> pd.DataFrame:
    """The column as floats where integers fail, or where some are missing and both are answered alike: its dtype must
    not depend on what stands in other rows. Without missing ones it stays one of integers, as pandas writes a CSV of
    them: a float would lose digits of those that the data lack, and its name is noted in `whole`.
    """
    name, rows = str(integers.name), features.loc[integers.index]
    from_integers = answers(estimator, rows.assign(**{name: integers}))
    if are_told and from_integers is not None:  # a sample in which both are answered alike proves nothing about others
        return features
    from_floats = answers(estimator, rows.assign(**{name: integers.astype(np.float64)}))
    if from_floats is None:
        return features
    is_complete = len(integers) == len(features)
    if from_integers is not None and is_complete and alike(from_integers, from_floats):
        whole.append(name)
        return features
    if from_integers is None or alike(from_integers, from_floats):
        return features.assign(**{name: features[name].astype(np.float64)})
    own = "Int64" if features[name].isna().any() else "int64"
    raise ArtifactError(
        f"Column {name!r} holds whole numbers, and the estimator answers them otherwise as integers or as floats: "
        "declare what the "
        f'training frame had in a columns file (--columns): [{name}] dtype = "{own}" or dtype = "float64", or else '
        'type = "string" or categories = [...]'
    )


def _holds_dates(column: pd.Series) -> bool:
    present = column.dropna()
    return isinstance(present.dtype, pd.StringDtype) and not present.empty and bool(present.map(_is_any_date).all())


def _is_any_date(text: str) -> bool:
    return is_date(text, None) or is_date(text, ZONED)


def _with_dates(estimator: Any, features: pd.DataFrame, name: str, notes: list[str]) -> pd.DataFrame:
    """The column as dates, where the estimator fails on the text, and where the unit that dates are kept in changes
    no answer.
    """
    rows = features.head(MOST_ASKED)
    from_text = answers(estimator, rows)
    if rows[name].dropna().map(lambda text: is_date(text, ZONED)).any():
        zoned = answers(estimator, rows.assign(**{name: as_dates(rows[name], ZONED)}))
        if from_text is not None and (zoned is None or alike(from_text, zoned)):
            return features
        raise ArtifactError(
            f"Column {name!r} holds times with an offset, which the estimator does not take as text, or answers "
            "otherwise: declare "
            f'what the training frame had in a columns file (--columns), such as [{name}] dtype = "datetime64[ns, '
            'Europe/Berlin]", '
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


def is_open(name: str, known: Knowledge, declaration: Declaration | None) -> bool:
    """Whether own code sees the column, and neither the estimator nor the packer tells whether it holds text."""
    told = declaration is not None and (declaration.type or declaration.dtype or declaration.categories) is not None
    return name in known.opaque and not told and not known.is_text(name) and not known.categories(name)


def lost(cells: pd.Series) -> "pd.Series[bool]":
    """Which cells of a CSV are numbers or truth whose text no value gives back: 01234, +1, 3.10, 1e5, True."""
    return cells.isin(BOOLEANS) | cells.map(_is_changed, na_action="ignore").eq(True)


def _is_changed(text: str) -> bool:
    try:
        value = float(text)
    except ValueError:  # no number
        return False
    return value == value and text != str(value) and re.fullmatch(r"0|-?[1-9]\d*", text) is None


def _lost_as(values: pd.Series, cells: pd.Series) -> "pd.Series[bool]":
    """The same, and 1 beside 1.5, of which a column of floats makes 1.0."""
    are_whole = cells[values.notna()].str.fullmatch(_WHOLE)
    if values.dtype == np.float64 and not are_whole.all():
        return lost(cells) | are_whole.reindex(cells.index, fill_value=False)
    return lost(cells)


def as_told(estimator: Any, features: pd.DataFrame, texts: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
    """With text for columns that the estimator takes as text alone. Raises ArtifactError where it answers both, and
    otherwise, and a number gives the text not back; where it does, a note says what it was read as.

    `texts`: the cells of open columns, as they stand in the CSV.
    """
    half = MOST_ASKED // 2
    failing, either = [], []
    for name in map(str, texts):
        if _is_text(features[name]):
            continue
        found = np.flatnonzero(_lost_as(features[name], texts[name]))[:half]
        # What one cell tells of a column holds for the others.
        places = np.unique([*found, *range(min(half, len(features)))])
        asked, text = features.iloc[places], texts[name].iloc[places]
        from_value, from_text = answers(estimator, asked), answers(estimator, asked.assign(**{name: text}))
        if from_value is None:
            failing.append(name)
        elif from_text is not None and not alike(from_text, from_value):
            if len(found):
                raise ArtifactError(
                    f"Column {name!r} holds {texts[name].iloc[found[0]]!r}, and code of your own sees it, which "
                    f"answers it otherwise as text: say what the training frame had in a columns file (--columns): "
                    f'[{name}] type = "string", or type = "{_type(features[name])}"'
                )
            either.append(name)
    if either:
        notes.append(
            f"Read as numbers: {listed([repr(name) for name in either])}, which code of your own answers otherwise as "
            'text: if the training frame had text there, declare type = "string" in a columns file (--columns)'
        )
    as_text = features.assign(**{name: texts[name] for name in failing})
    if failing and answers(estimator, as_text.head(MOST_ASKED)) is not None:
        notes += [f"Column {name!r} is read as text, for the estimator takes nothing else there" for name in failing]
        return as_text
    return features


def refuse_lost(estimator: Any, validator: RowValidator, rows: pd.DataFrame, texts: pd.DataFrame, before: int) -> None:
    """Raises ArtifactError for cells of a model's columns of numbers that its own code would answer otherwise as text.

    `before`: rows of the file that came before these.
    """
    for name in map(str, texts):
        places = np.flatnonzero(lost(texts[name]))[:MOST_ASKED]
        asked = _asked(validator, rows.iloc[places])
        if asked is None:
            continue
        text = texts[name].iloc[places].set_axis(asked.index)
        from_value, from_text = answers(estimator, asked), answers(estimator, asked.assign(**{name: text}))
        if from_text is not None and (from_value is None or not alike(from_text, from_value)):
            raise ArtifactError(
                f"Row {before + places[0] + 1} of the data is refused: {name} holds {text.iloc[0]!r}, which the "
                "model's own code answers "
                f'otherwise as text: pack the model with [{name}] type = "string" in its columns file, or write the '
                "number as JSON has it"
            )


def refuse_rounded(
    estimator: Any,
    validator: RowValidator,
    rows: pd.DataFrame,
    names: Iterable[str],
    before: int,
) -> None:
    """Raises ArtifactError for floats of a Parquet file that the model's own code would answer otherwise as integers.

    `names`: columns of objects, whose integers such a file makes floats of where one of the values is a float.
    """
    for name in names:
        places = np.flatnonzero(rows[name] % 1 == 0)[:MOST_ASKED]
        asked = _asked(validator, rows.iloc[places])
        if asked is None:
            continue
        integers = pd.Series([int(value) for value in asked[name]], asked.index, dtype=object)
        from_floats, from_integers = answers(estimator, asked), answers(estimator, asked.assign(**{name: integers}))
        if from_integers is not None and (from_floats is None or not alike(from_floats, from_integers)):
            value = asked[name].iloc[0]
            raise ArtifactError(
                f"Row {before + places[0] + 1} of the data is refused: {name} holds {value}, which was {int(value)}, "
                "perhaps, before the file was written, and the model's own code answers that otherwise: write the rows "
                "into a CSV, which keeps both"
            )


def _asked(validator: RowValidator, rows: pd.DataFrame) -> pd.DataFrame | None:
    """The rows as the model gets them; None where there is none, or one is refused, as is told when all are asked."""
    try:
        data: Any = validator.instances(json_rows(rows)).data if len(rows) else None
    except InvalidInput:
        return None
    return data if data is None or isinstance(data, pd.DataFrame) else pd.DataFrame(data, columns=list(rows))


def _is_text(column: pd.Series) -> bool:
    return isinstance(column.dtype, pd.StringDtype) or any(isinstance(value, str) for value in column.tolist())


def _type(column: pd.Series) -> str:
    return "number" if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column) else "boolean"


def _in_units(estimator: Any, rows: pd.DataFrame, name: str) -> list[Any]:
    dtypes: list[Any] = [f"datetime64[{unit}]" for unit in UNITS]
    return [answers(estimator, rows.assign(**{name: rows[name].astype(dtype)})) for dtype in dtypes]


def _require_one_answer(name: str, found: list[Any]) -> None:
    if any(not alike(answer, found[0]) for answer in found):
        raise ArtifactError(
            f"Column {name!r} holds dates, and the estimator answers them otherwise as text or in other units: declare "
            "what the training "
            f'frame had in a columns file (--columns): [{name}] dtype = "datetime64[ns]", or us, ms or s for ns, or '
            'type = "string"'
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

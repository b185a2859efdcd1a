"""What a fitted estimator knows of its input columns: categories, text, dates and ranges, from wherever they stand
in a pipeline.
"""

import contextlib
import json
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from . import inspection
from .formats.native import Native

Columns = Sequence[str | None]  # by place of a part's input; None: no column of the data as it is

_BY_VALUE = ("sklearn", "catboost")  # packages whose estimators look at values, never at a category's code or dtype


@dataclass
class Knowledge:
    """By column. `codes`: categories whose order counts; `values`: what encoders know; `opaque`: what is given to
    unknown code.
    """

    codes: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    values: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    dates: dict[str, str] = field(default_factory=dict)  # pandas dtypes
    # Dtypes of short floats, which an encoder finds among none of 64 bits.
    floats: dict[str, str] = field(default_factory=dict)
    ranges: dict[str, tuple[float, float]] = field(default_factory=dict)
    foreign: dict[str, str] = field(default_factory=dict)  # names of types that are no JSON, such as Interval
    opaque: set[str] = field(default_factory=set)
    # An encoder saw Python's own numbers or booleans, and takes no others.
    objects: set[str] = field(default_factory=set)
    texts: set[str] = field(default_factory=set)  # what a vectorizer takes
    filled: set[str] = field(default_factory=set)  # an imputer fills what is missing
    # What an imputer of text or objects takes for missing, where that is not NaN.
    stand_ins: dict[str, Any] = field(default_factory=dict)
    uncoded: set[str] = field(default_factory=set)  # were categories, of which the estimator keeps none
    # Categories of columns that cannot be told.
    unmatched: list[tuple[tuple[Any, ...], ...]] = field(default_factory=list)

    def categories(self, column: str) -> tuple[Any, ...]:
        """Every value that is known to the estimator; empty where it tells none."""
        return self.codes.get(column) or self.values.get(column, ())

    def is_text(self, column: str) -> bool:
        known = [value for value in self.categories(column) if not _is_missing(value)]
        return column in self.texts or (bool(known) and all(isinstance(value, str) for value in known))

    def words(self, column: str) -> set[str]:
        """Cells of a CSV that are values: all that are known, but the empty one where encoders or imputers take
        missing values, too.
        """
        words = {value for value in self.categories(column) if isinstance(value, str)}
        if column in self.codes:
            return words
        if isinstance(stand_in := self.stand_ins.get(column), str):
            return words | {stand_in}
        may_be_missing = column in self.filled or any(map(_is_missing, self.values.get(column, ())))
        return words - {""} if may_be_missing else words

    def knows_none(self, column: str) -> bool:
        """Whether an encoder or imputer was fitted on a column of objects whose missing values were None, which it
        tells from NaN.
        """
        values = self.values.get(column, ())
        if column in self.stand_ins:
            return self.stand_ins[column] is None
        return None in values and not any(value != value for value in values)

    def untold(self, told: Collection[str] = ()) -> str | None:
        """The words "categories of …" for those that nothing tells, of columns that are not `told`; None: all are."""
        if columns := sorted(self.uncoded - {*told}):
            return f"categories of {', '.join(columns)}"
        return "categories" if self.unmatched and not told else None

    def is_of_integers(self, column: str) -> bool:
        """Whether it was of integers that no missing value makes floats: a category, or objects."""
        known = [value for value in self.categories(column) if not _is_missing(value)]
        return (column in self.codes or column in self.objects) and {type(value) for value in known} == {int}


def known_columns(estimator: Any, names: Sequence[str], data: Any = None, declared: Collection[str] = ()) -> Knowledge:
    """`names`: of the input, in order. What the estimator leaves open, a DataFrame of them and `declared` categories
    can tell.
    """
    knowledge = Knowledge()
    _Walk(knowledge, data, declared).see(estimator, list(names))
    return knowledge


class _Walk:
    """Follows the input through the estimator as far as columns stay what they were."""

    def __init__(self, knowledge: Knowledge, data: Any, declared: Collection[str]) -> None:
        self._known = knowledge
        self._data = data
        self._declared = declared

    def see(self, part: Any, columns: Columns) -> Columns | None:
        """Notes what the part tells of the columns that it is given. What comes out of it by place; None where
        nothing is as it was.
        """
        if part is None or (isinstance(part, str) and part == "passthrough"):
            return columns
        if isinstance(part, str) or not any(columns):
            return None
        if isinstance(getattr(part, "steps", None), list):
            return self._pipeline(part, columns)
        if hasattr(part, "transformers_"):
            return self._column_transformer(part, columns)
        name, package = type(part).__name__, type(part).__module__.partition(".")[0]
        if package == "sklearn":
            return self._of_scikit_learn(part, name, columns)
        if package == "lightgbm":
            self._lightgbm(part, columns)
        elif package == "xgboost":
            self._xgboost(part, columns)
        elif package not in _BY_VALUE and not isinstance(part, Native):
            self._known.opaque.update(column for column in columns if column)
        return None

    def _pipeline(self, part: Any, columns: Columns) -> Columns | None:
        found: Columns | None = columns
        for _, step in part.steps:
            if found is None:
                return None
            found = self.see(step, found)
        return found

    def _column_transformer(self, part: Any, columns: Columns) -> Columns:
        outputs: list[str | None] = []
        for name, step, chosen in part.transformers_:
            if isinstance(step, str) and step == "drop":
                continue
            places = _places(chosen, getattr(part, "feature_names_in_", None), len(columns))
            found = self.see(step, [columns[place] for place in places])
            where = part.output_indices_[name]
            width = where.stop - where.start
            outputs += list(found) if found is not None and len(found) == width else [None] * width
        return outputs

    def _of_scikit_learn(self, part: Any, name: str, columns: Columns) -> Columns | None:
        if name == "FunctionTransformer":
            if part.func is None:
                return columns
            if inspection.calls_own_code(part):
                self._known.opaque.update(column for column in columns if column)
            return None
        if hasattr(part, "get_support") and hasattr(part, "transform"):
            return [column for column, kept in zip(columns, part.get_support(), strict=False) if kept]
        if name == "SimpleImputer":
            self._known.filled.update(column for column in columns if column)
            if part.statistics_.dtype == object and isinstance(part.missing_values, str | None):
                self._known.stand_ins.update({column: part.missing_values for column in columns if column})
            fills = part.strategy in ("most_frequent", "constant") and not part.add_indicator
            return columns if fills and len(part.statistics_) == len(columns) else None
        if hasattr(part, "categories_"):
            self._encoder(part, columns)
        elif name == "MinMaxScaler":
            for column, low, high in zip(columns, part.data_min_, part.data_max_, strict=False):
                self._range(column, low, high)
        elif hasattr(part, "tree_"):
            self._tree(part.tree_, columns)
        elif inspection.takes_text(part) and not hasattr(part, "transformer_list"):
            self._known.texts.update(column for column in columns if column)
        elif hasattr(part, "transformer_list"):
            return self._union([step for _, step in part.transformer_list], columns)
        # HistGradientBoosting tells its categories in no other way.
        if getattr(part, "_preprocessor", None) is not None:
            self.see(part._preprocessor, columns)
        parts = inspection.fitted_parts(part)
        chosen = getattr(part, "estimators_features_", None)  # of bagging: each part sees some columns
        for place, inner in enumerate(parts):
            seen = columns if chosen is None else [columns[i] for i in chosen[place] if i < len(columns)]
            self.see(inner, seen)
        return None

    def _union(self, parts: Sequence[Any], columns: Columns) -> Columns | None:
        found = [self.see(part, columns) for part in parts]
        return None if None in found else [column for part in found for column in part or ()]

    def _encoder(self, part: Any, columns: Columns) -> None:
        """OneHotEncoder, OrdinalEncoder, TargetEncoder: `categories_` by place, sorted."""
        for column, values in zip(columns, part.categories_, strict=False):
            if column is None:
                continue
            kind = values.dtype.kind
            if kind == "M":
                self._known.dates[column] = str(values.dtype)
            elif foreign := [
                value for value in values.tolist() if not isinstance(value, bool | int | float | str | None)
            ]:
                self._known.foreign[column] = type(foreign[0]).__name__
            elif kind in "OUTiufb":
                known = (self._known.values.get(column, ()), values.tolist())
                if kind == "f" and values.dtype.itemsize < 8:
                    self._known.floats[column] = str(values.dtype)
                if kind == "O" and not all(isinstance(value, str) or _is_missing(value) for value in values.tolist()):
                    self._known.objects.add(column)
                self._known.values[column] = tuple(_distinct(value for each in known for value in each))

    def _range(self, column: str | None, low: float, high: float) -> None:
        if column is not None and low <= high:
            known = self._known.ranges.get(column, (low, high))
            self._known.ranges[column] = (min(low, known[0]), max(high, known[1]))

    def _tree(self, tree: Any, columns: Columns) -> None:
        """Values where it splits: it has seen some on both sides of each."""
        known = (tree.feature >= 0) & (tree.feature < len(columns))  # a chain's trees see answers behind the columns
        for place in np.unique(tree.feature[known]).tolist():
            thresholds = tree.threshold[tree.feature == place]
            self._range(columns[place], float(thresholds.min()), float(thresholds.max()))

    def _xgboost(self, part: Any, columns: Columns) -> None:
        booster = part.get_booster()
        kinds = booster.feature_types or []
        places = [place for place, kind in enumerate(kinds) if kind == "c" and place < len(columns) and columns[place]]
        if not places or not getattr(part, "enable_categorical", False):
            return
        model = json.loads(booster.save_raw("json"))["learner"]["gradient_booster"]
        model = model.get("gbtree", model)["model"]  # dart has its trees one level further down
        known = model.get("cats", {}).get("enc", [])
        # A word that users write, but no frame's dtypes: these columns were told to be categories.
        were_integers = "q" in kinds
        for place in places:
            column = columns[place]
            assert column is not None
            categories = _decoded(known[place]) if place < len(known) else ()  # before 3.1 it did not keep them
            if categories:
                self._known.codes[column] = categories
            elif not were_integers or (place < len(known) and known[place]["values"]):
                self._known.uncoded.add(column)

    def _lightgbm(self, part: Any, columns: Columns) -> None:
        """It keeps the categories in the order of their columns, but not which columns these are: of ordered ones
        nothing tells.
        """
        booster = part.booster_
        infos, names = booster.dump_model(num_iteration=1)["feature_infos"], booster.feature_name()
        for place, column in enumerate(columns):
            facts = infos.get(names[place])
            if column and facts and not facts["values"]:
                self._range(column, facts["min_value"], facts["max_value"])
        known = [tuple(values) for values in booster.pandas_categorical or ()]
        if not known:
            return
        found = re.search(
            r"^\[categorical_feature: ([\d,]*)\]$", booster.model_to_string(num_iteration=1), re.MULTILINE
        )
        told = [int(place) for place in found[1].split(",") if place] if found else []
        must_be = [column is not None and self._must_be(column) for column in columns]
        fits = [
            self._fitting(column, infos.get(names[place]), place in told, must_be[place], known)
            for place, column in enumerate(columns)
        ]
        places = _only_way(fits, must_be, known, told)
        if places is None:
            self._known.unmatched.append(tuple(known))
            return
        for place, values in zip(places, known, strict=True):
            if (column := columns[place]) is not None:
                self._known.codes[column] = values

    def _must_be(self, column: str) -> bool:
        """Whether it was a category for sure: it is declared one, or LightGBM takes it for nothing else."""
        if column in self._declared or self._data is None:
            return column in self._declared
        dtype = self._data[column].dtype
        return str(dtype) == "category" or (
            dtype.kind not in "biuf" and not all(isinstance(value, int | float) for value in self._values(column))
        )

    def _values(self, column: str) -> set[Any]:
        return {_of_cell(value) for value in self._data[column].dropna().unique().tolist()}

    def _fitting(
        self, column: str | None, facts: Any, is_told: bool, must_be: bool, known: Sequence[tuple[Any, ...]]
    ) -> list[bool]:
        """Which of the categories may be this column's, by the codes that LightGBM has seen there and by the values in
        the data.

        `is_told`: listed as categorical, as unordered categories are, and whatever the user named.
        """
        if column is None:  # what a step made
            return [is_told] * len(known)
        fits = [_are_codes(facts, len(each)) for each in known]
        if self._data is None or not any(fits):
            return fits
        values = self._values(column)
        sets = [set(map(_of_cell, each)) for each in known]
        return [
            fit and (values <= own or (must_be and bool(values & own))) for fit, own in zip(fits, sets, strict=True)
        ]


def _places(chosen: Any, names: Any, width: int) -> list[int]:
    """The columns that a ColumnTransformer gives to one of its parts: names, places, a slice of either, or a mask."""
    places = list(range(width))
    by_name = {name: place for place, name in enumerate(names if names is not None else ())}
    if isinstance(chosen, slice):
        start, stop = (by_name.get(end, end) for end in (chosen.start, chosen.stop))
        closed = isinstance(chosen.stop, str)  # slices of names include their end
        return places[start : None if stop is None else stop + closed : chosen.step]
    listed = [chosen] if isinstance(chosen, str | int) else np.asarray(chosen).tolist()
    if listed and isinstance(listed[0], bool):
        return [place for place, kept in zip(places, listed, strict=True) if kept]
    return [by_name[each] if isinstance(each, str) else places[each] for each in listed]


def _are_codes(facts: Any, count: int) -> bool:
    """Whether what LightGBM has seen in a column can be codes of so many categories."""
    if facts is None:  # it has no use for the column
        return True
    low, high = (0, max(facts["values"])) if facts["values"] else (facts["min_value"], facts["max_value"])
    return low >= 0 and high < count and float(low).is_integer() and float(high).is_integer()


def _of_cell(value: Any) -> Any:
    """What a CSV's cell may stand for: numbers and booleans may be read as strings, and strings of digits as
    numbers.
    """
    if not isinstance(value, str):
        return value
    if value.lower() in ("true", "false"):
        return value.lower() == "true"
    for number in (int, float):
        with contextlib.suppress(ValueError, OverflowError):
            return number(value) if number(value) == number(value) else value
    return value


def _only_way(
    fits: Sequence[Sequence[bool]], must_be: Sequence[bool], known: Sequence[tuple[Any, ...]], told: Sequence[int]
) -> list[int] | None:
    """The places of the known categories, ascending; None where there are several ways, or none.

    Categories whose codes are their own values mean the same wherever they are.
    """
    count = len(known)
    is_same = [list(values) == list(range(len(values))) for values in known]
    # By effect, of known[k:] in places from here on.
    ways: list[dict[Any, tuple[int, ...]]] = [{} for _ in range(count)] + [{(): ()}]
    for place in reversed(range(len(fits))):
        for k in range(count + 1):
            skipped = {} if must_be[place] else ways[k]
            taken = {}
            if k < count and fits[place][k]:
                taken = {
                    (effect if is_same[k] else ((place, k), *effect)): (place, *way)
                    for effect, way in ways[k + 1].items()
                }
            both = skipped | taken if place in told else taken | skipped
            ways[k] = dict(list(both.items())[:2])
    found = list(ways[0].values())
    return list(found[0]) if len(found) == 1 else None


def _decoded(encoding: dict[str, Any]) -> tuple[Any, ...]:
    """Categories as XGBoost's JSON has them: numbers, or the bytes of all strings and where each ends. Empty where
    they cannot be told.
    """
    if "offsets" not in encoding:
        return tuple(encoding["values"])
    if not all(0 <= value < 128 for value in encoding["values"]):
        return ()  # XGBoost 3.2 counts characters where it cuts bytes: what is not ASCII comes out broken
    text, ends = bytes(encoding["values"]), encoding["offsets"]
    return tuple(text[start:end].decode() for start, end in pairwise(ends))


def _distinct(values: Iterable[Any]) -> list[Any]:
    """Without repetitions, and one NaN at most, which equals nothing."""
    return list({("nan" if value != value else value, type(value) is bool): value for value in values}.values())


def _is_missing(value: Any) -> bool:
    return bool(value is None or value != value)

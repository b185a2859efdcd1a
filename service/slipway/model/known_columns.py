"""What a fitted estimator knows of its input columns: categories, text, dates and ranges, from wherever they stand in a pipeline."""

import functools
import json
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import combinations, pairwise
from typing import Any

import numpy as np

from . import inspection

Columns = Sequence[str | None]  # by place of a part's input; None: no column of the data as it is

_BY_VALUE = ("sklearn", "catboost")  # packages whose estimators look at values, never at a category's code or dtype
_MOST_WAYS = 1000  # to match categories with columns that are tried


@dataclass
class Knowledge:
    """By column. `codes`: categories whose order counts; `values`: what encoders know; `opaque`: what is given to unknown code."""

    codes: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    values: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    dates: dict[str, str] = field(default_factory=dict)  # pandas dtypes
    ranges: dict[str, tuple[float, float]] = field(default_factory=dict)
    foreign: dict[str, str] = field(default_factory=dict)  # names of types that are no JSON, such as Interval
    opaque: set[str] = field(default_factory=set)
    texts: set[str] = field(default_factory=set)  # what a vectorizer takes
    filled: set[str] = field(default_factory=set)  # an imputer fills what is missing
    uncoded: set[str] = field(default_factory=set)  # were categories, of which the estimator keeps none
    unmatched: list[tuple[tuple[Any, ...], ...]] = field(default_factory=list)  # categories of columns that cannot be told

    def categories(self, column: str) -> tuple[Any, ...]:
        """Every value that is known to the estimator; empty where it tells none."""
        return self.codes.get(column) or self.values.get(column, ())

    def is_text(self, column: str) -> bool:
        known = [value for value in self.categories(column) if not _is_missing(value)]
        return column in self.texts or (bool(known) and all(isinstance(value, str) for value in known))

    def words(self, column: str) -> set[str]:
        """Cells of a CSV that are values. The empty one is missing, unless an encoder knows it and has never missed a value."""
        words = {value for value in self.categories(column) if isinstance(value, str)}
        may_be_missing = column in self.codes or column in self.filled or any(map(_is_missing, self.values.get(column, ())))
        return words - {""} if may_be_missing else words

    def is_of_integers(self, column: str) -> bool:
        """Whether it was a category of integers, which no missing value makes floats."""
        return bool(self.codes.get(column)) and all(type(value) is int for value in self.codes[column])


def known_columns(estimator: Any, names: Sequence[str], data: Any = None, declared: Collection[str] = ()) -> Knowledge:
    """`names`: of the input, in order. What the estimator leaves open, a DataFrame of them and `declared` categories can tell."""
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
        """Notes what the part tells of the columns that it is given. What comes out of it by place; None where nothing is as it was."""
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
        elif package not in _BY_VALUE:
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
            if not isinstance(part.func, functools.partial):  # HistGradientBoosting's own check of numbers
                self._known.opaque.update(column for column in columns if column)
            return None
        if hasattr(part, "get_support") and hasattr(part, "transform"):
            return [column for column, kept in zip(columns, part.get_support(), strict=False) if kept]
        if name == "SimpleImputer":
            self._known.filled.update(column for column in columns if column)
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
        if getattr(part, "_preprocessor", None) is not None:  # HistGradientBoosting tells its categories in no other way
            self.see(part._preprocessor, columns)
        for inner in _inner(part):
            self.see(inner, columns)
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
            elif foreign := [value for value in values.tolist() if not isinstance(value, bool | int | float | str | None)]:
                self._known.foreign[column] = type(foreign[0]).__name__
            elif kind in "OUTiufb":
                known = (self._known.values.get(column, ()), values.tolist())
                self._known.values[column] = tuple(_distinct(value for each in known for value in each))

    def _range(self, column: str | None, low: float, high: float) -> None:
        if column is not None and low <= high:
            known = self._known.ranges.get(column, (low, high))
            self._known.ranges[column] = (min(low, known[0]), max(high, known[1]))

    def _tree(self, tree: Any, columns: Columns) -> None:
        """Values where it splits: it has seen some on both sides of each."""
        for place in np.unique(tree.feature[tree.feature >= 0]).tolist():
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
        for place in places:
            column = columns[place]
            assert column is not None
            categories = _decoded(known[place]) if place < len(known) else ()  # before 3.1 it did not keep them
            if categories:
                self._known.codes[column] = categories
            else:
                self._known.uncoded.add(column)

    def _lightgbm(self, part: Any, columns: Columns) -> None:
        """It keeps the categories in the order of their columns, but not which columns these are: of ordered ones nothing tells."""
        booster = part.booster_
        infos, names = booster.dump_model(num_iteration=1)["feature_infos"], booster.feature_name()
        for place, column in enumerate(columns):
            facts = infos.get(names[place])
            if column and facts and not facts["values"]:
                self._range(column, facts["min_value"], facts["max_value"])
        known = [tuple(values) for values in booster.pandas_categorical or ()]
        if not known:
            return
        found = re.search(r"^\[categorical_feature: ([\d,]*)\]$", booster.model_to_string(num_iteration=1), re.MULTILINE)
        told = [int(place) for place in found[1].split(",") if place] if found else []
        places = told if len(told) == len(known) else self._matching(columns, known, told)
        if places is None:
            self._known.unmatched.append(tuple(known))
            return
        for place, values in zip(places, known, strict=True):
            if (column := columns[place]) is not None:
                self._known.codes[column] = values

    def _matching(self, columns: Columns, known: Sequence[tuple[Any, ...]], told: Sequence[int]) -> list[int] | None:
        """The only places, ascending, whose values in the data are among the categories; None where there are several, or no data."""
        declared = [place for place, column in enumerate(columns) if place in told or column in self._declared]
        if len(declared) == len(known):
            return declared
        if self._data is None:
            return None
        ways = []
        others = [place for place in range(len(columns)) if place not in told and columns[place]]
        for tried, more in enumerate(combinations(others, len(known) - len(told))):
            places = sorted([*told, *more])
            if tried == _MOST_WAYS:
                return None
            if all(self._fits(columns[place], values) for place, values in zip(places, known, strict=True)):
                left = [columns[place] for place in others if place not in more]
                if not any(self._needs_categories(column) for column in left if column):
                    ways.append(places)
        return ways[0] if len(ways) == 1 else None

    def _fits(self, column: str | None, values: tuple[Any, ...]) -> bool:
        return column is None or set(self._data[column].dropna().unique().tolist()) <= set(values)

    def _needs_categories(self, column: str) -> bool:
        """LightGBM takes nothing but numbers and categories."""
        return self._data[column].dtype.kind not in "biuf"


def _inner(part: Any) -> Iterable[Any]:
    """The fitted estimators in a meta-estimator that see its input as it is."""
    for name in ("best_estimator_", "estimator_", "regressor_", "classifier_"):
        if hasattr(part, name):
            return [getattr(part, name)]
    if hasattr(part, "calibrated_classifiers_"):
        return [each.estimator for each in part.calibrated_classifiers_]
    if hasattr(part, "estimators_"):
        return [each for each in _flat(part.estimators_) if not isinstance(each, str)]
    return [part.estimator] if type(part).__name__ == "FrozenEstimator" else []


def _flat(estimators: Any) -> Iterable[Any]:
    """Out of lists and arrays; a Pipeline is a sequence, too."""
    if isinstance(estimators, list | tuple | np.ndarray):
        return [part for each in estimators for part in _flat(each)]
    return [estimators]


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


def _decoded(encoding: dict[str, Any]) -> tuple[Any, ...]:
    """Categories as XGBoost's JSON has them: numbers, or the bytes of all strings and where each ends. Empty where they cannot be told."""
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

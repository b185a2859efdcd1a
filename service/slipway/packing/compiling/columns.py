"""Fitted preprocessing as features, where it treats every column by itself: scalers, imputers, encoders and what
combines them.
"""

import warnings
from collections.abc import Callable, Mapping
from itertools import chain
from typing import Any

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.feature_selection import SelectorMixin
from sklearn.impute import SimpleImputer
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    RobustScaler,
    StandardScaler,
    TargetEncoder,
)
from sklearn.utils import check_array

from ...model.compiled.encoding import Feature, Number, Operator, Table, Value
from .candidate import CannotCompile

Features = list[Feature]  # one for each number; `merged` joins what is looked up together


def raw(width: int) -> Features:
    """The columns as they are."""
    return [Number(i) for i in range(width)]


def apply(transformer: Any, features: Features) -> Features:
    """The features that come out of a fitted transformer. Raises CannotCompile for one that mixes columns, or is not
    known.
    """
    if transformer is None or (isinstance(transformer, str) and transformer == "passthrough"):
        return features
    if isinstance(transformer, SelectorMixin):
        return [feature for feature, kept in zip(features, transformer.get_support(), strict=True) if kept]
    apply_one = _APPLY.get(type(transformer))
    if apply_one is None:
        raise CannotCompile(f"{type(transformer).__name__} is not a transformer that is compiled column by column")
    return apply_one(transformer, features)


def merged(features: Features) -> Features:
    """Neighbours that are looked up by the same value in one table."""
    found: Features = []
    for feature in features:
        last = found[-1] if found else None
        if (
            isinstance(feature, Table)
            and isinstance(last, Table)
            and last.column == feature.column
            and last.answers_as(feature)
        ):
            entries = {key: numbers + feature.entries[key] for key, numbers in last.entries.items()}
            found[-1] = Table(
                last.column, entries, None if last.unknown is None else last.unknown + (feature.unknown or ())
            )
        else:
            found.append(feature)
    return found


def _pipeline(transformer: Any, features: Features) -> Features:
    for _, step in transformer.steps:
        features = apply(step, features)
    return features


def _union(transformer: Any, features: Features) -> Features:
    found: Features = []
    for name, step in transformer.transformer_list:
        if not _drops(step):
            found += _weighted(apply(step, features), transformer.transformer_weights, name)
    return found


def _column_transformer(transformer: Any, features: Features) -> Features:
    found: Features = []
    for name, step, _ in transformer.transformers_:
        places = transformer._transformer_to_input_indices[name]
        if len(places) and not _drops(step):
            part = apply(step, [features[place] for place in places])
            found += _weighted(part, transformer.transformer_weights, name)
    return found


def _drops(step: Any) -> bool:
    return isinstance(step, str) and step == "drop"


def _weighted(features: Features, weights: Mapping[str, float] | None, name: str) -> Features:
    weight = (weights or {}).get(name)
    return features if weight is None else [feature.then("*", weight) for feature in features]


def _function(transformer: Any, features: Features) -> Features:
    # A check changes nothing.
    if transformer.func is not None and getattr(transformer.func, "func", None) is not check_array:
        raise CannotCompile("FunctionTransformer runs a Python function, which is not compiled")
    return features


def _arithmetic(*steps: tuple[Operator, str]) -> Callable[[Any, Features], Features]:
    """For scalers: an operator with a value per feature, in the order of their own code. An attribute that is None
    is not applied.
    """

    def scale(transformer: Any, features: Features) -> Features:
        if getattr(transformer, "clip", False):
            raise CannotCompile(f"{type(transformer).__name__} with clip=True is not compiled")
        for operator, attribute in steps:
            values = getattr(transformer, attribute)
            if values is not None and not (attribute == "mean_" and not transformer.with_mean):
                features = [
                    feature.then(operator, float(value)) for feature, value in zip(features, values, strict=True)
                ]
        return features

    return scale


def _impute(transformer: Any, features: Features) -> Features:
    if (
        isinstance(transformer.missing_values, int | float | str)
        and transformer.missing_values == transformer.missing_values
    ):
        raise CannotCompile(
            f"SimpleImputer replaces {transformer.missing_values!r}, and only missing values are compiled"
        )
    found: Features = []
    statistics = np.asarray(transformer.statistics_).tolist()
    dropped = transformer.strategy != "constant" and not transformer.keep_empty_features
    for feature, value in zip(features, statistics, strict=True):
        if value != value or value is None:  # of a column that was always missing
            if not dropped:
                raise CannotCompile("SimpleImputer keeps a column without any value, which is not compiled")
        elif isinstance(feature, Table):
            found.append(feature.mapped(lambda number, value=value: value if number != number else number))
        else:
            found.append(feature if feature.missing is not None else Number(feature.column, feature.steps, value))
    if transformer.indicator_ is not None:
        for place in transformer.indicator_.features_:
            feature = features[place]
            if isinstance(feature, Table) or feature.missing is not None:
                raise CannotCompile(
                    "SimpleImputer marks the missing values of an encoded column, which is not compiled"
                )
            found.append(Table(feature.column, {None: (1.0,)}, unknown=(0.0,)))
    return found


def _encode(encoder: Any, features: Features) -> Features:
    """Tables of what the encoder itself answers for each of its categories and for one that it does not know."""
    if not features:
        return []
    categories = [np.asarray(values) for values in encoder.categories_]
    unknown = [None if getattr(encoder, "handle_unknown", "") == "error" else _unknown(values) for values in categories]
    longest = max(map(len, categories))
    asked = [
        [values[min(i, len(values) - 1)] for i in range(longest)] + ([] if None in unknown else [other])
        for values, other in zip(categories, unknown, strict=True)
    ]
    numeric = all(values.dtype.kind in "iuf" for values in categories)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it was fitted on names, or warns of what it does not know
        answers = encoder.transform(np.array(asked, dtype=np.float64 if numeric else object).T)
    answers = np.asarray(answers.toarray() if hasattr(answers, "toarray") else answers, dtype=np.float64)
    widths = list(getattr(encoder, "_n_features_outs", [1] * len(features)))
    if sum(widths) != answers.shape[1]:
        raise CannotCompile(f"{type(encoder).__name__} makes several numbers of a column, which is not compiled")
    sources = [i for i, width in enumerate(widths) for _ in range(width)]
    return [
        _table(features[i], categories[i].tolist(), numbers, unknown[i] is not None)
        for i, numbers in zip(sources, answers.T.tolist(), strict=True)
    ]


def _table(feature: Feature, values: list[Any], numbers: list[float], has_unknown: bool) -> Table:
    """`numbers`: what comes out for the values, and last of all for an unknown one."""
    if isinstance(feature, Table) or feature.steps:
        raise CannotCompile("An encoder of numbers that were already scaled is not compiled")
    entries: dict[Value, tuple[float, ...]] = {}
    for value, number in zip(values, numbers, strict=False):
        entries[None if value is None or value != value else value] = (number,)
    unknown: tuple[float, ...] | None = (numbers[-1],) if has_unknown else None
    if feature.missing is not None:  # an imputer came first
        entries[None] = entries.get(feature.missing, unknown) or ()
    return Table(feature.column, entries, unknown)


def _unknown(categories: np.ndarray[Any, Any]) -> Any:
    """A value that is none of the categories."""
    if categories.dtype.kind in "iuf":
        return float(np.nanmax(categories)) + 1.0
    return None if categories.dtype.kind == "b" else "".join(chain(map(str, categories), "?"))


_APPLY: dict[type, Callable[[Any, Features], Features]] = {
    ColumnTransformer: _column_transformer,
    FeatureUnion: _union,
    FunctionTransformer: _function,
    MaxAbsScaler: _arithmetic(("/", "scale_")),
    MinMaxScaler: _arithmetic(("*", "scale_"), ("+", "min_")),
    OneHotEncoder: _encode,
    OrdinalEncoder: _encode,
    Pipeline: _pipeline,
    RobustScaler: _arithmetic(("-", "center_"), ("/", "scale_")),
    SimpleImputer: _impute,
    StandardScaler: _arithmetic(("-", "mean_"), ("/", "scale_")),
    TargetEncoder: _encode,
}

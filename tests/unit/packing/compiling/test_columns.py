"""Preprocessing that is read off its attributes makes the same numbers as the fitted transformer itself."""

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.decomposition import PCA
from sklearn.feature_selection import VarianceThreshold
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.pipeline import make_pipeline, make_union
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

from slipway.model.compiled.encoding import Encoding, Unusable
from slipway.packing.columns import observed
from slipway.packing.compiling.candidate import CannotCompile
from slipway.packing.compiling.columns import apply, merged, raw
from slipway.packing.tables import json_rows
from tests.support.zoo import passengers

FRAME, TARGET = passengers()
COLUMNS = [observed(FRAME[name], numbers_only=False, in_frame=True) for name in FRAME]
NUMBERS, STRINGS = ["age", "class"], ["sex", "port"]


def one_hot(**parameters: Any) -> Any:
    return OneHotEncoder(sparse_output=False, **parameters)


TRANSFORMERS = {
    "scalers": make_column_transformer(
        (StandardScaler(), ["age"]), (RobustScaler(), ["class"]), (MinMaxScaler(), ["class"])
    ),
    "scalers without a part": make_column_transformer(
        (StandardScaler(with_mean=False), NUMBERS),
        (StandardScaler(with_std=False), NUMBERS),
        (RobustScaler(with_centering=False), NUMBERS),
    ),
    "impute, then scale": make_column_transformer(
        (make_pipeline(SimpleImputer(strategy="median"), MaxAbsScaler()), NUMBERS)
    ),
    "scale, then impute": make_column_transformer(
        (make_pipeline(MinMaxScaler(), SimpleImputer(strategy="constant", fill_value=-1)), NUMBERS)
    ),
    "mark what is missing": make_column_transformer((SimpleImputer(add_indicator=True), NUMBERS)),
    "one hot": make_column_transformer((one_hot(handle_unknown="ignore"), [*STRINGS, "class"])),
    "one hot without the first": make_column_transformer((one_hot(drop="first", handle_unknown="ignore"), STRINGS)),
    "one hot of what is frequent": make_column_transformer(
        (one_hot(min_frequency=70, handle_unknown="infrequent_if_exist"), STRINGS)
    ),
    "one hot of what was imputed": make_column_transformer(
        (make_pipeline(SimpleImputer(strategy="most_frequent"), one_hot(handle_unknown="ignore")), STRINGS)
    ),
    "ordinal": make_column_transformer(
        (OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-2), STRINGS)
    ),
    "ordinal with missing left missing": make_column_transformer(
        (OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan), STRINGS)
    ),
    "by target": make_column_transformer((TargetEncoder(), STRINGS)),
    "nested, weighted, with columns to drop and to pass": make_pipeline(
        make_column_transformer(
            (make_union(SimpleImputer(), make_pipeline(SimpleImputer(), StandardScaler())), ["age"]),
            ("drop", ["class"]),
            (FunctionTransformer(), ["alone"]),
            remainder=one_hot(handle_unknown="ignore"),
            verbose_feature_names_out=False,
        ),
        VarianceThreshold(0.05),
        StandardScaler(),
    ),
}


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_the_numbers_are_those_of_the_transformer(name: str) -> None:
    transformer = TRANSFORMERS[name].fit(FRAME, TARGET)
    encoding = Encoding(merged(apply(transformer, raw(len(COLUMNS)))))
    asked = pd.concat(
        [FRAME, FRAME[:3].assign(sex="other", port=["X", "", "C"], age=[np.nan, 1e9, 0.0])], ignore_index=True
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it tells of every unknown category
        expected = np.asarray(transformer.transform(asked), dtype=float)
    rows = json_rows(asked)
    np.testing.assert_array_equal(encoding.many(rows), expected)
    np.testing.assert_array_equal([list(encoding.one(row)) for row in rows], expected)


def test_what_one_value_is_looked_up_for_is_one_table() -> None:
    transformer = TRANSFORMERS["one hot"].fit(FRAME)
    features = apply(transformer, raw(len(COLUMNS)))
    assert [feature.width for feature in features] == [1] * (2 + 4 + 3)  # port has a category for a missing value
    assert [feature.width for feature in merged(features)] == [2, 4, 3]


def test_a_category_that_the_encoder_refuses_is_refused() -> None:
    transformer = make_column_transformer((one_hot(), STRINGS)).fit(FRAME)
    encoding = Encoding(merged(apply(transformer, raw(len(COLUMNS)))))
    row = json_rows(FRAME)[0]
    encoding.one(row)
    with pytest.raises(Unusable):
        encoding.one([row[0], "other", *row[2:]])


class Doubled(StandardScaler):  # type: ignore[misc]
    """A subclass may do anything."""


NOT_BY_COLUMN = {
    "PCA": PCA(1),
    "KNNImputer": KNNImputer(),
    "Python function": FunctionTransformer(np.log1p),
    "clip=True": MinMaxScaler(clip=True),
    "-1": SimpleImputer(missing_values=-1),
    "Doubled": Doubled(),
    "already scaled": make_pipeline(StandardScaler(), OneHotEncoder()),
}


@pytest.mark.parametrize("named", NOT_BY_COLUMN)
def test_what_cannot_be_done_column_by_column_is_named(named: str) -> None:
    numbers = FRAME[["class"]].astype(float)
    with pytest.raises(CannotCompile, match=named):
        apply(NOT_BY_COLUMN[named].fit(numbers), raw(1))

"""Small pipelines of scikit-learn, LightGBM and XGBoost for drawn columns, as a user would build them."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
from hypothesis import strategies as st
from lightgbm import LGBMClassifier, LGBMRegressor
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
    StackingClassifier,
    StackingRegressor,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, OrdinalEncoder, StandardScaler, TargetEncoder
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from xgboost import XGBClassifier, XGBRegressor

from tests.frames.columns import CATEGORIES, DATES, NUMBERS, ODD, TEXTS, Column

_TREES: tuple[Sequence[Any], Sequence[Any]] = (
    (
        DecisionTreeRegressor(random_state=0),
        RandomForestRegressor(2, random_state=0),
        GradientBoostingRegressor(n_estimators=3),
    ),
    (
        DecisionTreeClassifier(random_state=0),
        RandomForestClassifier(2, random_state=0),
        GradientBoostingClassifier(n_estimators=3),
    ),
)
FAMILIES = ("linear", "tree", "hist", "lightgbm", "xgboost", "ensemble")
NATIVE = {  # what a family takes as it is
    "linear": NUMBERS,
    "tree": NUMBERS,
    "hist": NUMBERS + CATEGORIES,
    "lightgbm": NUMBERS + CATEGORIES,
    "xgboost": NUMBERS + CATEGORIES[:3],
    "ensemble": NUMBERS,
}


def as_text(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.astype(str).astype(object)


def last_digits(frame: pd.DataFrame) -> pd.DataFrame:
    """Which every digit of an integer takes part in."""
    return frame % 97


def hours(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.apply(lambda column: column.dt.dayofweek * 24 + column.dt.hour)


def ticks(frame: pd.DataFrame) -> pd.DataFrame:
    """In the column's own unit; of a missing date a number like any other."""
    return frame.apply(lambda column: column.astype("int64"))


def lengths(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.apply(lambda column: column.str.len()).astype("float64")


def missing(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.isna()


def _step(function: Any, *more: Any) -> Any:
    return make_pipeline(FunctionTransformer(function, feature_names_out="one-to-one"), *more)


def _one_hot(unknown: str) -> Any:
    return OneHotEncoder(handle_unknown=unknown, sparse_output=False)


def _ordinal() -> Any:
    return OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-2)


STEPS: dict[str, Any] = {
    "one-hot, ignore": lambda: _one_hot("ignore"),
    "one-hot, error": lambda: _one_hot("error"),
    "one-hot, rare": lambda: OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=5, sparse_output=False),
    "ordinal": _ordinal,
    "ordinal, error": lambda: OrdinalEncoder(encoded_missing_value=-2),
    "target": lambda: TargetEncoder(cv=2, random_state=0),
    "impute, one-hot": lambda: make_pipeline(SimpleImputer(strategy="most_frequent"), _one_hot("ignore")),
    "impute, ordinal": lambda: make_pipeline(SimpleImputer(strategy="constant", fill_value="?"), _ordinal()),
    "text": lambda: _step(as_text, _ordinal()),
    "lengths": lambda: _step(lengths, SimpleImputer()),
    "missing": lambda: _step(missing),
    "scale": lambda: make_pipeline(SimpleImputer(), StandardScaler()),
    "impute": lambda: SimpleImputer(strategy="most_frequent"),
    "last digits": lambda: _step(last_digits, SimpleImputer()),
    "hours": lambda: _step(hours, SimpleImputer()),
    "ticks": lambda: _step(ticks, StandardScaler()),
    "passthrough": lambda: "passthrough",
}
OF_TEXTS = tuple(STEPS)[:11]
OF_NUMBERS = ("scale", "impute", "passthrough", "text", "one-hot, ignore", "ordinal", "target", "missing")
OF_DATES = ("hours", "ticks", "text", "one-hot, ignore", "missing")
WITH_NAMES_OF_VALUES = ("one-hot, ignore", "one-hot, error", "one-hot, rare", "impute, one-hot")


def kinds_of(family: str, *, bare: bool) -> tuple[str, ...]:
    """Each sort as often as another, but for the odd ones."""
    if bare:
        return NATIVE[family]
    return (*CATEGORIES * 4, *NUMBERS, *TEXTS * 8, *DATES * 2, *ODD)


def steps_for(column: Column) -> tuple[str, ...]:
    """What fits such a column; what does not fit its values after all is found by fitting."""
    digits = ("last digits",) * 2 if "int" in column.kind.lower() and not column.of_category else ()
    match column.kind:
        case kind if kind in DATES:
            return OF_DATES if not column.has_missing else tuple(step for step in OF_DATES if step != "ticks")
        case "string" if column.has_missing:
            return ("text", "lengths", "missing")
        case "object, mixed":
            return ("text", "missing")
        case "bool" | "category of bool" | "object, bool" | "boolean":
            return ("text", "one-hot, ignore", "ordinal", "target", "missing", "scale")
        case kind if kind in NUMBERS:
            return OF_NUMBERS + digits
        case "object, int" | "object, Decimal" | "category of int" | "category of float":
            return ("scale", "text", "one-hot, ignore", "ordinal", "target", "missing")
        case "category of intervals" | "timedelta":
            return ("text", "one-hot, ignore", "missing")
        case "str" | "string" | "object":
            return OF_TEXTS
    return tuple(step for step in OF_TEXTS if step != "lengths")


@st.composite
def pipelines(draw: Any, family: str, columns: Sequence[Column], *, bare: bool, classifies: bool) -> Any:
    """An unfitted estimator. `bare`: it is given the columns as they are."""
    if family == "ensemble":
        return draw(_ensembles(columns, classifies=classifies))
    if bare:
        return _filled(family, columns, _final(draw, family, classifies))
    return _with_columns(draw, family, columns, _final(draw, family, classifies))


def _filled(family: str, columns: Sequence[Column], final: Any) -> Any:
    if family == "linear":
        return make_pipeline(SimpleImputer(), StandardScaler(), final)
    return (
        make_pipeline(SimpleImputer(), final)
        if any(column.has_missing for column in columns) and family == "tree"
        else final
    )


def _with_columns(draw: Any, family: str, columns: Sequence[Column], final: Any) -> Any:
    native = [
        column
        for column in columns
        if column.kind in NATIVE[family] and family not in ("linear", "tree") and draw(st.booleans())
    ]
    as_pandas = bool(native) or draw(st.integers(0, 3)) == 0
    transformers = []
    for column in columns:
        steps = steps_for(column)
        # Which take no value with a comma or a bracket for a feature's name.
        if as_pandas and family in ("lightgbm", "xgboost"):
            steps = tuple(step for step in steps if step not in WITH_NAMES_OF_VALUES)
        if family == "linear" or (column.has_missing and column.kind[0].isupper()):
            steps = tuple(step for step in steps if step != "passthrough" or not column.has_missing)
        step = "passthrough" if column in native else draw(st.sampled_from(steps))
        transformers.append((column.name, STEPS[step](), [column.name]))
    remainder = draw(st.sampled_from(["drop", "passthrough"]))
    transformer = ColumnTransformer(
        transformers, remainder=remainder, sparse_threshold=0, verbose_feature_names_out=not as_pandas
    )
    return make_pipeline(transformer.set_output(transform="pandas") if as_pandas else transformer, final)


def _final(draw: Any, family: str, classifies: bool) -> Any:
    match family:
        case "linear":
            return LogisticRegression(max_iter=50) if classifies else draw(st.sampled_from([LinearRegression, Ridge]))()
        case "tree":
            return clone(draw(st.sampled_from(_TREES[classifies])))
        case "hist":
            kind = HistGradientBoostingClassifier if classifies else HistGradientBoostingRegressor
            return kind(max_iter=4, min_samples_leaf=1, early_stopping=False, categorical_features="from_dtype")
        case "lightgbm":
            kind = LGBMClassifier if classifies else LGBMRegressor
            small = {
                "min_child_samples": 1,
                "min_data_per_group": 1,
                "cat_smooth": 0.0,
                "cat_l2": 0.0,
                "min_child_weight": 0.0,
            }
            return kind(n_estimators=4, n_jobs=1, verbose=-1, max_cat_to_onehot=draw(st.sampled_from([1, 16])), **small)
    kind = XGBClassifier if classifies else XGBRegressor
    one_hot = draw(st.sampled_from([1, 16]))
    return kind(
        n_estimators=4, max_depth=4, n_jobs=1, min_child_weight=0, enable_categorical=True, max_cat_to_onehot=one_hot
    )


@st.composite
def _ensembles(draw: Any, columns: Sequence[Column], *, classifies: bool) -> Any:
    """Voting, stacking and calibration around pipelines that all see the frame itself."""
    native = [
        name for name in ("hist", "lightgbm", "xgboost") if all(column.kind in NATIVE[name] for column in columns)
    ]
    parts = []
    for i in range(2):
        family = draw(st.sampled_from(("linear", "tree", "hist")))
        if native and draw(st.booleans()):
            parts.append((f"p{i}", _final(draw, draw(st.sampled_from(native)), classifies)))
        else:
            parts.append((f"p{i}", _with_columns(draw, family, columns, _final(draw, family, classifies))))
    how = draw(st.sampled_from(["voting", "stacking", "calibrated"] if classifies else ["voting", "stacking"]))
    if how == "voting":
        return (
            VotingClassifier(parts, voting=draw(st.sampled_from(["soft", "hard"])))
            if classifies
            else VotingRegressor(parts)
        )
    if how == "stacking":
        return (
            StackingClassifier(parts, LogisticRegression(), cv=2)
            if classifies
            else StackingRegressor(parts, Ridge(), cv=2)
        )
    return CalibratedClassifierCV(parts[0][1], cv=2, ensemble=draw(st.booleans()))

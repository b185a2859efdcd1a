"""LightGBM keeps categories without their columns: the right ones are found, or asked for, whatever else was told to
be categorical.
"""

from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from lightgbm import LGBMClassifier
from xgboost import XGBClassifier

from slipway.errors import ArtifactError
from slipway.model.known_columns import known_columns
from slipway.packing.columns import read_declarations
from slipway.packing.pack import Packed, pack
from slipway.packing.predict_file import predict_file

RANDOM = np.random.default_rng(0)
STORES: dict[str, list[Any]] = {
    "integers": [412, 101, 309, 205],
    "strings": ["x", "a", "m", "b"],
    "digits": ["02", "10", "01", "7"],
}


def shops(kind: str) -> pd.DataFrame:
    store = pd.Categorical(RANDOM.choice(np.array(STORES[kind], dtype=object), 500), categories=STORES[kind])
    hour, flag = RANDOM.integers(0, 8, 500), RANDOM.integers(0, 2, 500)
    return pd.DataFrame({"hour": hour, "store": store, "x": RANDOM.normal(size=500), "flag": flag})


def fitted(frame: pd.DataFrame, categorical: Any = "auto") -> Any:
    truth = (frame.iloc[:, 0].astype(int) + frame["store"].cat.codes) % 2
    return LGBMClassifier(n_estimators=10, verbose=-1, n_jobs=1, min_child_samples=5).fit(
        frame, truth, categorical_feature=categorical
    )


def packed(tmp_path: Path, estimator: Any, frame: pd.DataFrame, suffix: str = "csv", declared: str = "") -> Packed:
    joblib.dump(estimator, tmp_path / "model.joblib")
    data = tmp_path / f"data.{suffix}"
    frame.to_csv(data, index=False) if suffix == "csv" else frame.to_parquet(data)
    (tmp_path / "columns.toml").write_text(declared)
    declarations = read_declarations(tmp_path / "columns.toml")
    return pack(tmp_path / "model.joblib", name="m", output=tmp_path / "models", data=data, declarations=declarations)


def check(tmp_path: Path, estimator: Any, frame: pd.DataFrame, found: Packed, suffix: str = "csv") -> None:
    predict_file(found.artifact, tmp_path / f"data.{suffix}", tmp_path / "answers.csv")
    got = pd.read_csv(tmp_path / "answers.csv")
    np.testing.assert_array_equal(got.filter(like="probability"), estimator.predict_proba(frame))


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.parametrize("kind", STORES)
@pytest.mark.parametrize("categorical", [["hour"], ["hour", "store"], ["hour", "store", "flag"], "auto"], ids=str)
def test_categories_beside_columns_that_are_told_to_be_categorical(
    tmp_path: Path, suffix: str, kind: str, categorical: Any
) -> None:
    frame = shops(kind)
    estimator = fitted(frame, categorical)
    check(tmp_path, estimator, frame, packed(tmp_path, estimator, frame, suffix), suffix)


def test_where_two_columns_fit_the_packer_is_asked_and_heard(tmp_path: Path) -> None:
    store = pd.Categorical(RANDOM.choice([2, 0, 1], 300), categories=[2, 0, 1])
    frame = pd.DataFrame({"hour": RANDOM.integers(0, 3, 300), "store": store})
    estimator = fitted(frame, ["hour"])
    with pytest.raises(ArtifactError, match='does not tell of which columns: declare these with type = "category"'):
        packed(tmp_path, estimator, frame)
    found = packed(tmp_path, estimator, frame, declared='[store]\ntype = "category"\n')
    check(tmp_path, estimator, frame, found)
    assert known_columns(estimator, ["hour", "store"], frame).codes == {"store": (2, 0, 1)}  # whose own dtype tells


@pytest.mark.parametrize("categorical", [["hour"], "auto"], ids=str)
def test_categories_that_are_their_own_codes_need_no_telling(tmp_path: Path, categorical: Any) -> None:
    store = pd.Categorical(RANDOM.choice([0, 1, 2], 300), categories=[0, 1, 2])
    frame = pd.DataFrame({"hour": RANDOM.integers(0, 3, 300), "store": store})
    estimator = fitted(frame, categorical)
    check(tmp_path, estimator, frame, packed(tmp_path, estimator, frame))


def test_many_columns_are_gone_through_once() -> None:
    names = [f"c{place}" for place in range(300)]
    frame = pd.DataFrame({name: pd.Categorical(RANDOM.choice([3, 5, 9], 60), categories=[5, 9, 3]) for name in names})
    estimator = LGBMClassifier(n_estimators=2, verbose=-1, n_jobs=1).fit(frame, [0, 1] * 30, categorical_feature=["c0"])
    assert known_columns(estimator, names, frame.astype(int)).codes["c7"] == (5, 9, 3)


def test_the_empty_string_is_a_value_where_it_is_a_category(tmp_path: Path) -> None:
    words = [" x", "nan", "", "NA"]
    frame = pd.DataFrame(
        {"hour": RANDOM.integers(0, 8, 300), "store": pd.Categorical(RANDOM.choice(words, 300), categories=words)}
    )
    estimator = fitted(frame)
    found = packed(tmp_path, estimator, frame, declared="[store]\nnullable = false")
    check(tmp_path, estimator, frame, found)


def test_a_csv_at_packing_does_not_tell_that_empty_cells_are_a_category(tmp_path: Path) -> None:
    store = pd.Categorical(RANDOM.choice(np.array(["a", "", None], dtype=object), 300), categories=["a", ""])
    frame = pd.DataFrame({"hour": RANDOM.integers(0, 8, 300), "store": store})
    estimator = fitted(frame)
    found = packed(tmp_path, estimator, frame)
    with pytest.raises(
        ArtifactError,
        match=r"the empty cell of store may .*--missing NA\), or .* \[store\] nullable = "
        r"false",
    ):
        check(tmp_path, estimator, frame, found)
    frame.to_parquet(tmp_path / "data.parquet")
    check(tmp_path, estimator, frame, found, "parquet")


def test_an_empty_cell_that_may_be_a_category_or_a_missing_value_is_asked_about(tmp_path: Path) -> None:
    words = ["a", "", None]
    store = pd.Categorical(RANDOM.choice(np.array(words, dtype=object), 300), categories=words[:2])
    frame = pd.DataFrame({"hour": RANDOM.integers(0, 8, 300), "store": store})
    estimator = fitted(frame)
    found = packed(tmp_path, estimator, frame, "parquet")
    check(tmp_path, estimator, frame, found, "parquet")
    frame.to_csv(tmp_path / "data.csv", index=False)
    with pytest.raises(
        ArtifactError,
        match=r"the empty cell of store may be a missing value or its category "
        r"''.*--missing NA",
    ):
        check(tmp_path, estimator, frame, found)
    frame.to_csv(tmp_path / "words.csv", index=False, na_rep="NA")
    predict_file(found.artifact, tmp_path / "words.csv", tmp_path / "answers.csv", missing=["NA"])
    got = pd.read_csv(tmp_path / "answers.csv").filter(like="probability")
    np.testing.assert_array_equal(got, estimator.predict_proba(frame))


def test_integers_that_xgboost_was_told_to_take_for_categories_are_integers(tmp_path: Path) -> None:
    frame = pd.DataFrame({"hour": RANDOM.integers(0, 8, 300), "x": RANDOM.normal(size=300)})
    estimator = XGBClassifier(n_estimators=5, feature_types=["c", "q"], enable_categorical=True).fit(
        frame, frame["hour"] % 2
    )
    check(tmp_path, estimator, frame, packed(tmp_path, estimator, frame))

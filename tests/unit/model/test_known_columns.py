"""What estimators know of their columns: data that lacks categories, CSVs that tell no types, and what is asked for
where nothing tells.
"""

from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from lightgbm import LGBMClassifier
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, OrdinalEncoder, StandardScaler
from xgboost import XGBClassifier

from slipway.errors import ArtifactError, RefusedByModel
from slipway.model.estimator_file import load_model
from slipway.model.known_columns import known_columns
from slipway.packing.pack import Packed, pack
from slipway.packing.predict_file import predict_file
from slipway.packing.tables import json_rows

CITIES = [f"city{i:02d}" for i in range(60)]
ORDER = np.random.default_rng(7).permutation(CITIES).tolist()


def people(rows: int = 600) -> pd.DataFrame:
    random = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "city": pd.Categorical(random.choice(CITIES, rows), categories=ORDER),
            "grade": pd.Categorical(random.choice([5, 2, 9], rows), categories=[5, 2, 9]),
            "age": random.random(rows) * 80,
        }
    )


PEOPLE = people()
CLASSES = ((PEOPLE["city"].cat.codes + PEOPLE["age"]).astype(int) % 3).to_numpy()
FEW = PEOPLE[PEOPLE["city"].isin(CITIES[:30])].head(100)

passed_on = make_column_transformer(("passthrough", ["city", "age"]), ("drop", ["grade"])).set_output(
    transform="pandas"
)
ESTIMATORS = {
    "LightGBM": LGBMClassifier(n_estimators=10, verbose=-1, min_child_samples=2, min_data_per_group=1),
    "XGBoost": XGBClassifier(n_estimators=10, enable_categorical=True),
    "HistGradientBoosting": HistGradientBoostingClassifier(max_iter=10, categorical_features="from_dtype"),
    "LightGBM in a pipeline": make_pipeline(
        passed_on, LGBMClassifier(n_estimators=10, verbose=-1, min_child_samples=2)
    ),
    "XGBoost in a pipeline": make_pipeline(passed_on, XGBClassifier(n_estimators=10, enable_categorical=True)),
    "a vote": VotingClassifier(
        [
            ("one", make_pipeline(passed_on, LGBMClassifier(n_estimators=5, verbose=-1))),
            (
                "other",
                make_pipeline(passed_on, HistGradientBoostingClassifier(max_iter=5, categorical_features="from_dtype")),
            ),
        ],
        voting="soft",
    ),
    "an encoder": make_pipeline(
        make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ["city", "grade"]), remainder="passthrough"),
        LogisticRegression(max_iter=500),
    ),
}


@pytest.fixture(scope="module", params=ESTIMATORS)
def estimator(request: pytest.FixtureRequest) -> Any:
    return ESTIMATORS[request.param].fit(PEOPLE, CLASSES)


def packed(tmp_path: Path, estimator: Any, data: Any, **options: Any) -> Packed:
    joblib.dump(estimator, tmp_path / "model.joblib")
    return pack(tmp_path / "model.joblib", name="m", output=tmp_path / "models", data=data, **options)


def answers(tmp_path: Path, found: Packed, data: Path) -> pd.DataFrame:
    predict_file(found.artifact, data, tmp_path / "answers.csv")
    return pd.read_csv(tmp_path / "answers.csv")


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_rows_with_categories_that_the_data_lacked_are_answered_as_the_estimator_does(
    tmp_path: Path, estimator: Any, suffix: str
) -> None:
    few, everybody = tmp_path / f"few.{suffix}", tmp_path / f"all.{suffix}"
    for frame, path in ((FEW, few), (PEOPLE, everybody)):
        frame.to_csv(path, index=False) if suffix == "csv" else frame.to_parquet(path)
    found = packed(tmp_path, estimator, few)
    got = answers(tmp_path, found, everybody)
    assert got["prediction"].tolist() == estimator.predict(PEOPLE).tolist()
    np.testing.assert_array_equal(got.filter(like="probability"), estimator.predict_proba(PEOPLE))
    assert any("of the 60 values of 'city' that the estimator knows" in note for note in found.notes)


@pytest.mark.parametrize("name", ["LightGBM", "XGBoost", "HistGradientBoosting"])
def test_an_unknown_category_reaches_the_estimator_as_one(tmp_path: Path, name: str) -> None:
    estimator = ESTIMATORS[name].fit(PEOPLE, CLASSES)
    strange = PEOPLE.head(2).assign(city=pd.Categorical(["nowhere", ORDER[0]], categories=[*ORDER, "nowhere"]))
    artifact = packed(tmp_path, estimator, FEW).artifact
    batch = artifact.validator(2).instances(json_rows(strange))
    if name == "XGBoost":
        with pytest.raises(ValueError, match="category not in the training set"):
            estimator.predict(strange)
        with pytest.raises(RefusedByModel, match="city may hold a category that was not in its training data"):
            artifact.model.infer(batch.data)
    else:
        np.testing.assert_array_equal(artifact.model.infer(batch.data).probabilities, estimator.predict_proba(strange))


def test_ordered_categories_of_lightgbm_are_found_by_the_data_or_asked_for(tmp_path: Path) -> None:
    size = pd.Categorical(["S", "M", "L"] * 50, categories=["S", "M", "L"], ordered=True)
    frame = pd.DataFrame({"size": size, "price": np.repeat([0.0, 1.0, 2.0], 50)})
    estimator = LGBMClassifier(n_estimators=3, verbose=-1).fit(frame, [0, 1, 1] * 50)
    known = known_columns(estimator, ["size", "price"])
    assert known.unmatched == [(("S", "M", "L"),)]
    assert known_columns(estimator, ["size", "price"], frame.astype({"size": "str"})).codes == {"size": ("S", "M", "L")}
    assert known_columns(estimator, ["size", "price"], declared=["size"]).codes == {"size": ("S", "M", "L")}
    joblib.dump(estimator, tmp_path / "model.joblib")
    with pytest.raises(ArtifactError, match="does not tell enough of them to serve it without a manifest: pack it"):
        load_model(tmp_path / "model.joblib", None, [])


def test_a_category_that_unknown_code_sees_is_asked_for(tmp_path: Path) -> None:
    estimator = make_pipeline(FunctionTransformer(codes_of_all), LogisticRegression()).fit(PEOPLE, CLASSES)
    with pytest.raises(
        ArtifactError,
        match="'city' is a category, and the estimator does not tell which ones it was fitted on: list them",
    ):
        packed(tmp_path, estimator, FEW)


def codes_of_all(frame: pd.DataFrame) -> Any:
    return np.column_stack([frame[name].cat.codes if name != "age" else frame[name] for name in frame])


def test_categories_that_xgboost_keeps_broken_are_not_taken_from_it() -> None:
    frame = pd.DataFrame({"a": pd.Categorical(["Zürich", "Köln"] * 20)})
    known = known_columns(XGBClassifier(n_estimators=2, enable_categorical=True).fit(frame, [0, 1] * 20), ["a"])
    assert (known.codes, known.uncoded) == ({}, {"a"})


def test_what_one_step_makes_of_a_column_is_no_longer_the_column() -> None:
    encoder = make_column_transformer((OrdinalEncoder(), ["city"]), (StandardScaler(), ["age"])).set_output(
        transform="pandas"
    )
    estimator = make_pipeline(encoder, OneHotEncoder(handle_unknown="ignore"), LogisticRegression(max_iter=500)).fit(
        PEOPLE, CLASSES
    )
    assert set(known_columns(estimator, list(PEOPLE)).values["city"]) == set(CITIES)


def test_an_estimator_that_was_fitted_on_other_values_is_not_packed_with_these(tmp_path: Path) -> None:
    frame = pd.DataFrame({"zip": ["01010", "02020"] * 20, "price": np.arange(40.0)})
    columns = make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ["zip"]), remainder="passthrough")
    estimator = make_pipeline(columns, LogisticRegression(max_iter=500)).fit(frame, [0, 1] * 20)
    with pytest.raises(ArtifactError, match="'zip' holds 1010, 2020, and nothing of what the estimator was fitted on"):
        packed(tmp_path, estimator, frame.assign(zip=[1010, 2020] * 20))
    frame.to_csv(tmp_path / "data.csv", index=False)  # in which the estimator's own categories say that it is text
    assert packed(tmp_path, estimator, tmp_path / "data.csv").artifact.signature.columns[0].type == "string"

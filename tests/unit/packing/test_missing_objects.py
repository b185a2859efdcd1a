"""None and NaN are told apart as the encoder was fitted to, whatever the columns hold and wherever the model comes
from.
"""

from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, TargetEncoder
from sklearn.tree import DecisionTreeClassifier

from slipway.model.artifact import load
from slipway.packing.columns import read_declarations
from slipway.packing.pack import pack
from slipway.packing.predict_file import predict_file
from slipway.packing.tables import json_rows

RANDOM = np.random.default_rng(0)
ROWS = 300
MISSING = RANDOM.random(ROWS) < 0.3
VALUES: dict[str, list[Any]] = {
    "text": ["a", "b"],
    "booleans": [True, False],
    "integers": [3, 7],
    "large integers": [2**60 + 1, 2**60 + 2],
}
ENCODERS = [
    OneHotEncoder(handle_unknown="ignore"),
    OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1),
    TargetEncoder(),
]


def frame(kind: str) -> pd.DataFrame:
    values = [
        None if missing else VALUES[kind][place]
        for missing, place in zip(MISSING, RANDOM.integers(0, 2, ROWS), strict=True)
    ]
    other = [VALUES[kind][place] for place in RANDOM.integers(0, 2, ROWS)]
    return pd.DataFrame({"k": pd.Series(values, dtype=object), "z": pd.Series(other, dtype=object)})


def fitted(encoder: Any, given: Any) -> Any:
    return make_pipeline(encoder, DecisionTreeClassifier()).fit(given, MISSING.astype(int))


@pytest.mark.parametrize("encoder", ENCODERS, ids=lambda encoder: type(encoder).__name__)
@pytest.mark.parametrize("kind", VALUES)
@pytest.mark.parametrize("form", ["array", "frame"])
@pytest.mark.parametrize("lacking", [False, True])
def test_a_missing_value_is_what_the_encoder_was_fitted_on(
    tmp_path: Path, encoder: Any, kind: str, form: str, lacking: bool
) -> None:
    whole = frame(kind)
    given = whole.to_numpy() if form == "array" else whole
    estimator = fitted(encoder, given)
    joblib.dump(estimator, tmp_path / "model.joblib")
    (whole.dropna() if lacking else whole).to_csv(tmp_path / "some.csv", index=False)
    whole.to_csv(tmp_path / "all.csv", index=False)
    (tmp_path / "columns.toml").write_text("[k]\nnullable = true\n")
    declarations = read_declarations(tmp_path / "columns.toml") if lacking else {}
    found = pack(
        tmp_path / "model.joblib",
        name="m",
        output=tmp_path / "out",
        data=tmp_path / "some.csv",
        declarations=declarations,
    )
    predict_file(found.artifact, tmp_path / "all.csv", tmp_path / "answers.csv")
    assert pd.read_csv(tmp_path / "answers.csv")["prediction"].tolist() == estimator.predict(given).tolist()


@pytest.mark.parametrize("kind", VALUES)
@pytest.mark.parametrize("form", ["array", "frame"])
def test_a_model_without_a_manifest_is_given_what_its_encoder_knows(tmp_path: Path, kind: str, form: str) -> None:
    whole = frame(kind)
    given = whole.to_numpy() if form == "array" else whole
    estimator = fitted(OneHotEncoder(handle_unknown="ignore"), given)
    joblib.dump(estimator, tmp_path / "model.joblib")
    artifact = load(tmp_path, name="m", version="1")
    validator = artifact.validator(ROWS)
    rows = json_rows(whole)
    expected = estimator.predict(given).tolist()
    assert artifact.model.infer(validator.instances(rows).data).predictions == expected
    for row, answer in list(zip(rows, expected, strict=True))[:10]:
        assert artifact.model.infer(validator.features(row).data).predictions == [answer]


@pytest.mark.parametrize("stand_in", [None, "", "?", "NA"])
@pytest.mark.parametrize("form", ["array", "frame"])
@pytest.mark.parametrize("lacking", [False, True])
def test_what_an_imputer_of_text_takes_for_missing_is_what_it_is_given(
    tmp_path: Path, stand_in: str | None, form: str, lacking: bool
) -> None:
    whole = frame("text")
    values = [stand_in if missing else value for missing, value in zip(MISSING, whole["k"], strict=True)]
    whole["k"] = pd.Series(values, dtype=object)
    imputer = SimpleImputer(missing_values=stand_in, strategy="constant", fill_value="c")
    given = whole.to_numpy() if form == "array" else whole
    estimator = make_pipeline(imputer, OneHotEncoder(), DecisionTreeClassifier()).fit(given, MISSING.astype(int))
    joblib.dump(estimator, tmp_path / "model.joblib")
    (whole[~MISSING] if lacking else whole).to_csv(tmp_path / "some.csv", index=False)
    whole.to_csv(tmp_path / "all.csv", index=False)
    (tmp_path / "columns.toml").write_text("[k]\nnullable = true\n")
    declarations = read_declarations(tmp_path / "columns.toml") if lacking and stand_in is None else {}
    found = pack(
        tmp_path / "model.joblib",
        name="m",
        output=tmp_path / "out",
        data=tmp_path / "some.csv",
        declarations=declarations,
    )
    predict_file(found.artifact, tmp_path / "all.csv", tmp_path / "answers.csv")
    assert pd.read_csv(tmp_path / "answers.csv")["prediction"].tolist() == estimator.predict(given).tolist()
    rows = json_rows(whole)
    answers = found.artifact.model.infer(found.artifact.validator(ROWS).instances(rows).data).predictions
    assert answers == estimator.predict(given).tolist()

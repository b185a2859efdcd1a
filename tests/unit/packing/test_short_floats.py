"""An encoder that was fitted on short floats finds its categories among these alone: 0.1 of 64 bits is none of them."""

from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder
from sklearn.tree import DecisionTreeClassifier

from slipway.model.artifact import load
from slipway.packing.pack import pack
from slipway.packing.predict_file import predict_file
from slipway.packing.tables import json_rows

RANDOM = np.random.default_rng(0)
VALUES = [0.1, 0.3, 0.5, 1.0]
ENCODERS = [
    OneHotEncoder(handle_unknown="ignore"),
    OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1),
]


@pytest.mark.parametrize("encoder", ENCODERS, ids=lambda encoder: type(encoder).__name__)
@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("form", ["frame", "array"])
def test_short_floats_are_found_by_the_encoder(tmp_path: Path, encoder: Any, dtype: str, form: str) -> None:
    frame = pd.DataFrame({name: RANDOM.choice(VALUES, 200) for name in ("r", "s")}).assign(i=RANDOM.integers(0, 9, 200))
    given = frame.astype(dtype) if form == "frame" else frame.to_numpy().astype(dtype)
    some = make_column_transformer((encoder, ["r"] if form == "frame" else [0]), remainder="passthrough")
    estimator = make_pipeline(some, DecisionTreeClassifier()).fit(given, (frame["r"] * 10).round().astype(int))
    expected = estimator.predict(given).tolist()
    joblib.dump(estimator, tmp_path / "model.joblib")
    bare = load(tmp_path, name="m", version="1")
    assert bare.model.infer(bare.validator(200).instances(json_rows(frame)).data).predictions == expected
    frame.to_csv(tmp_path / "data.csv", index=False)
    found = pack(tmp_path / "model.joblib", name="m", output=tmp_path / "models", data=tmp_path / "data.csv")
    predict_file(found.artifact, tmp_path / "data.csv", tmp_path / "answers.csv")
    assert pd.read_csv(tmp_path / "answers.csv")["prediction"].tolist() == expected

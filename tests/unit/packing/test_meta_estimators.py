"""Categories of strings inside estimators that keep an unfitted estimator beside the fitted ones."""

from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from lightgbm import LGBMClassifier, LGBMRegressor
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputRegressor

from slipway.packing.pack import pack
from slipway.packing.predict_file import predict_file

RANDOM = np.random.default_rng(0)
FRAME = pd.DataFrame(
    {"c": pd.Categorical(RANDOM.choice(["z", "a", "m"], 300), categories=["z", "a", "m"]), "x": RANDOM.normal(size=300)}
)
CLASSES = ((FRAME["c"] == "a") + 2 * (FRAME["x"] > 0.5)).to_numpy()
LIGHT: dict[str, Any] = {"n_estimators": 5, "verbose": -1, "n_jobs": 1}


def hist() -> HistGradientBoostingClassifier:
    return HistGradientBoostingClassifier(max_iter=5)


META = {
    "calibration of LightGBM": CalibratedClassifierCV(LGBMClassifier(**LIGHT), cv=2),
    "calibration": CalibratedClassifierCV(hist(), cv=2),
    "vote of LightGBM": VotingClassifier([("one", LGBMClassifier(**LIGHT))]),
    "vote": VotingClassifier([("one", hist())], voting="soft"),
    "stack": StackingClassifier([("one", hist()), ("two", LGBMClassifier(**LIGHT))], LogisticRegression(), cv=2),
    "one against the rest": OneVsRestClassifier(LGBMClassifier(**LIGHT)),
    "several outputs": MultiOutputRegressor(HistGradientBoostingRegressor(max_iter=5)),
    "another target": TransformedTargetRegressor(LGBMRegressor(**LIGHT)),
}


@pytest.mark.parametrize("name", META)
def test_categories_inside_a_meta_estimator_are_served(tmp_path: Path, name: str) -> None:
    truth = np.column_stack([FRAME["x"], CLASSES]) if name == "several outputs" else CLASSES
    estimator = META[name].fit(FRAME, truth)
    joblib.dump(estimator, tmp_path / "model.joblib")
    FRAME[FRAME["c"] != "a"].head(100).to_csv(tmp_path / "few.csv", index=False)
    FRAME.to_csv(tmp_path / "all.csv", index=False)
    found = pack(tmp_path / "model.joblib", name="m", output=tmp_path / "models", data=tmp_path / "few.csv")
    predict_file(found.artifact, tmp_path / "all.csv", tmp_path / "answers.csv")
    got = pd.read_csv(tmp_path / "answers.csv").filter(like="prediction")
    np.testing.assert_allclose(got.to_numpy().reshape(np.shape(truth)), estimator.predict(FRAME), rtol=1e-9)

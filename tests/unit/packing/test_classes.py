"""Classes that are dates are answered as text in ISO 8601; what JSON cannot hold is refused with a way out."""

import datetime
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeClassifier

from slipway.errors import ArtifactError
from slipway.packing.pack import pack
from slipway.packing.predict_file import predict_file

FRAME = pd.DataFrame({"a": np.linspace(-1, 1, 60)})


def packed(tmp_path: Path, estimator: Any) -> Any:
    joblib.dump(estimator, tmp_path / "model.joblib")
    FRAME.to_csv(tmp_path / "data.csv", index=False)
    return pack(tmp_path / "model.joblib", name="m", output=tmp_path / "models", data=tmp_path / "data.csv").artifact


@pytest.mark.parametrize("unit", ["D", "s", "us", "ns"])
@pytest.mark.parametrize("kind", [LogisticRegression, DecisionTreeClassifier])
def test_dates_are_answered_in_iso_8601(tmp_path: Path, unit: str, kind: Any) -> None:
    truth = np.where(FRAME["a"] > 0, np.datetime64("2024-01-02", unit), np.datetime64("2024-01-01", unit))
    artifact = packed(tmp_path, kind().fit(FRAME, truth))
    assert artifact.signature.labels == np.datetime_as_string(np.unique(truth)).tolist()
    predict_file(artifact, tmp_path / "data.csv", tmp_path / "answers.csv")
    got = pd.read_csv(tmp_path / "answers.csv")
    assert got["prediction"].tolist() == np.datetime_as_string(truth).tolist()
    assert (got["confidence"] >= 0.5).all()


@pytest.mark.parametrize(
    "classes", [np.array([1, 2], dtype="timedelta64[s]"), [datetime.date(2024, 1, 1), datetime.date(2024, 1, 2)]]
)
def test_classes_that_json_cannot_hold_are_refused(tmp_path: Path, classes: Any) -> None:
    estimator = LogisticRegression().fit(FRAME, [0] * 30 + [1] * 30)
    estimator.classes_ = np.asarray(classes)
    with pytest.raises(ArtifactError, match="which JSON cannot hold: fit it on strings or numbers"):
        packed(tmp_path, estimator)

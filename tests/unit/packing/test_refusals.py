"""What cannot be packed, or not from a CSV, is refused in one sentence that names the column and the way out."""

from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from slipway.errors import ArtifactError
from slipway.packing.pack import Packed, pack

FRAME = pd.DataFrame(np.random.default_rng(0).normal(size=(60, 2)).round(3), columns=["a", "b"])
Y = (FRAME["a"] > 0).astype(int)


def packed(tmp_path: Path, estimator: Any, data: Any, **options: Any) -> Packed:
    joblib.dump(estimator, tmp_path / "model.joblib")
    return pack(tmp_path / "model.joblib", name="m", output=tmp_path / "models", data=data, force=True, **options)


def refused(tmp_path: Path, estimator: Any, data: Any, sentence: str, **options: Any) -> None:
    with pytest.raises(ArtifactError, match=sentence) as error:
        packed(tmp_path, estimator, data, **options)
    assert "\n" not in str(error.value)


def test_a_column_without_a_name_is_refused(tmp_path: Path) -> None:
    nameless = FRAME.rename(columns={"a": ""})
    fitted = LogisticRegression().fit(nameless, Y)
    for data in (nameless, None):
        refused(tmp_path, fitted, data, "One of the columns has no name, .* give it one before fitting")
    refused(tmp_path, LogisticRegression().fit(FRAME.to_numpy(), Y), nameless, "One of the columns has no name")

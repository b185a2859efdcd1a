"""A column may be named as the list of many rows is: one row is still answered as one."""

from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression

from slipway.packing.pack import pack
from tests.http.conftest import serving

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("names", [["instances", "b"], ["instances"]])
async def test_a_column_named_instances_is_a_column(tmp_path: Path, names: list[str]) -> None:
    frame = pd.DataFrame(np.random.default_rng(0).random((20, len(names))) * 9, columns=names)
    joblib.dump(LinearRegression().fit(frame, frame["instances"]), tmp_path / "model.joblib")
    pack(tmp_path / "model.joblib", name="m", output=tmp_path / "models", data=frame)
    row: dict[str, Any] = dict.fromkeys(names, 4.0)
    async with serving(tmp_path / "models") as client:
        one = await client.post("/models/m/predict", json=row)
        many = await client.post("/models/m/predict", json={"instances": [row, row]})
        wrong = await client.post("/models/m/predict", json={"instances": []})
    assert one.json()["prediction"] == pytest.approx(4.0)
    assert [answer["prediction"] for answer in many.json()["predictions"]] == pytest.approx([4.0, 4.0])
    assert (one.status_code, many.status_code, wrong.status_code) == (200, 200, 422)

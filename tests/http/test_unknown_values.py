"""A value that the estimator does not know is the client's fault, whatever the estimator raises for it; its own
faults are not.
"""

from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.tree import DecisionTreeRegressor

from slipway.packing.pack import pack
from tests.support.estimators import codes, months

from .conftest import dump

pytestmark = pytest.mark.anyio

NUMBERS = pd.DataFrame({"i": pd.Categorical([1, 2, 3] * 20), "z": np.arange(60.0)})
WORDS = pd.DataFrame({"k": pd.Categorical(["a", "b", "c"] * 20), "z": np.arange(60.0)})


def pack_xgboost(tmp_path: Path, name: str, frame: pd.DataFrame) -> None:
    xgboost = pytest.importorskip("xgboost", exc_type=(ImportError, OSError))
    estimator = xgboost.XGBRegressor(n_estimators=3, enable_categorical=True).fit(frame, frame["z"])
    joblib.dump(estimator, tmp_path / "model.joblib")
    pack(tmp_path / "model.joblib", name=name, output=tmp_path / "models", data=frame)


async def asked(serve: Any, models: Path, name: str, rows: list[dict[str, Any]]) -> list[tuple[int, str]]:
    async with serve(models) as client:
        answers = [await client.post(f"/models/{name}/predict", json=row) for row in rows]
    return [(answer.status_code, answer.json().get("detail", "")) for answer in answers]


async def test_an_unknown_number_is_refused_by_its_columns_name_however_it_is_written(
    serve: Any, tmp_path: Path
) -> None:
    pack_xgboost(tmp_path, "numbers", NUMBERS)
    known = [{"i": value, "z": 0} for value in (1, 2.0)]
    unknown = [{"i": value, "z": 0} for value in (9, 9.0, 1.5, -3.5, 1e300, 2**70)]
    answers = await asked(
        serve, tmp_path / "models", "numbers", [*known, *unknown, {"instances": [known[0], unknown[2]]}]
    )
    assert [status for status, _ in answers] == [200] * 2 + [400] * 7
    assert all("i may hold a category that was not in its training data" in detail for _, detail in answers[2:])


@pytest.mark.parametrize("word", ["zz", "\0"])
async def test_an_unknown_word_is_refused_by_its_columns_name_whatever_is_in_it(
    serve: Any, tmp_path: Path, word: str
) -> None:
    pack_xgboost(tmp_path, "words", WORDS)
    [(status, detail)] = await asked(serve, tmp_path / "models", "words", [{"k": word, "z": 0}])
    assert (status, "k may hold a category" in detail) == (400, True)


@pytest.mark.parametrize(
    ("step", "values"), [(codes, pd.Categorical(["a", "b"] * 10)), (months, pd.date_range("2026", periods=20))]
)
async def test_a_bare_model_whose_code_wants_a_type_that_nothing_tells_says_so(
    serve: Any, tmp_path: Path, step: Any, values: Any
) -> None:
    frame = pd.DataFrame({"k": values})
    dump(
        tmp_path / "models",
        "own",
        "1",
        make_pipeline(FunctionTransformer(step), DecisionTreeRegressor()).fit(frame, np.arange(20.0)),
    )
    answers = await asked(serve, tmp_path / "models", "own", [{"k": "a"}, {"k": 1}])
    assert (
        answers
        == [
            (
                400,
                "The model cannot use these features: nothing tells the types of k, check them against its training "
                "data",
            )
        ]
        * 2
    )

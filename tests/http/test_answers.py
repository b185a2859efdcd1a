"""Integers, categories and dates from a client's JSON to the estimator, the log and the API's document."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import joblib
import pandas as pd
import pytest
from lightgbm import LGBMClassifier
from sklearn.linear_model import LogisticRegression

from slipway.packing.pack import pack

from .conftest import dump

pytestmark = pytest.mark.anyio

BIG = 5733018224205767597
CUSTOMERS = pd.DataFrame(
    {"customer_id": [BIG + i for i in range(40)], "tenure": range(40), "spent": [i / 8 for i in range(40)]}
)
CITIES = pd.DataFrame(
    {"city": pd.Categorical(["Rome", "Oslo", "Bonn", "Kiel"] * 20, categories=["Rome", "Oslo", "Bonn", "Kiel"])}
)


@pytest.fixture(scope="module")
def customers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("customers")
    joblib.dump(LogisticRegression().fit(CUSTOMERS, [0, 1] * 20), folder / "model.joblib")
    pack(folder / "model.joblib", name="customers", output=folder / "models", data=CUSTOMERS)
    return folder / "models"


async def test_integers_stay_integers_in_the_log_and_in_the_document(serve, customers: Path, tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    row = {"customer_id": BIG, "tenure": 11, "spent": 3}
    async with serve(customers, log="sync", log_database=f"sqlite:///{path}") as client:
        for answer in (
            await client.post("/predict", json={"features": list(row.values())}),
            await client.post("/predict", json={"instances": [row]}),
            await client.post("/models/customers/predict", json=row),
        ):
            assert answer.status_code == 200, answer.text
        fraction = await client.post("/predict", json={"features": [BIG, 11.5, 3]})
        assert fraction.status_code == 200, "declared is nothing"
        document = (await client.get("/openapi.json")).text
    with closing(sqlite3.connect(path)) as connection:
        kept = [text for (text,) in connection.execute("SELECT features FROM predictions ORDER BY key")]
    assert [json.loads(text) for text in kept[:3]] == [row | {"spent": 3.0}] * 3
    assert f'"customer_id":{BIG},"tenure":11,' in kept[0].replace(" ", "")
    assert f"{BIG}" in document
    assert f"{float(BIG)}" not in document


async def test_a_bare_model_of_categories_is_ready_and_answers(serve, tmp_path: Path) -> None:
    estimator = LGBMClassifier(n_estimators=5, verbose=-1, min_child_samples=1, min_data_per_group=1).fit(
        CITIES, [0, 1, 1, 0] * 20
    )
    dump(tmp_path / "models", "cities", "1", estimator)
    async with serve(tmp_path / "models") as client:
        assert (await client.get("/ready")).status_code == 200
        answers = (await client.post("/predict", json={"instances": CITIES.head(4).to_dict("records")})).json()[
            "predictions"
        ]
    assert [answer["prediction"] for answer in answers] == estimator.predict(CITIES.head(4)).tolist()


async def test_a_bare_model_whose_categories_cannot_be_told_is_not_ready(serve, tmp_path: Path) -> None:
    """An ordered category is not among the columns that LightGBM names, and beside it is a number."""
    ordered = CITIES.astype(pd.CategoricalDtype(["Rome", "Oslo", "Bonn", "Kiel"], ordered=True)).assign(
        rooms=[0, 1, 2, 3] * 20
    )
    dump(tmp_path / "models", "cities", "1", LGBMClassifier(n_estimators=2, verbose=-1).fit(ordered, [0, 1, 1, 0] * 20))
    async with serve(tmp_path / "models") as client:
        ready = await client.get("/ready")
        reason = (await client.get("/models/cities")).text
    assert ready.status_code == 503
    assert "does not tell enough of them to serve it without a manifest: pack it with `slipway pack --data`" in reason

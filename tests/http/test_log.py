"""The prediction log through the application: what is kept of an answer, and what of an outcome."""

import asyncio
import json
import re
import sqlite3
import time
import uuid
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from slipway.errors import ArtifactError
from slipway.packing.example_models import train_and_pack
from slipway.prediction_log import outcomes

pytestmark = pytest.mark.anyio

ROW = [6.3, 3.3, 6.0, 2.5]
OUTCOME = {"prediction_id": "019a1b2c-3d4e-7f00-b123-456789a00000", "outcome": 1}
NAMES = ("sepal_length", "sepal_width", "petal_length", "petal_width")


def rows(path: Path, table: str = "predictions") -> list[dict[str, Any]]:
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute(f"SELECT * FROM {table} ORDER BY key")]


async def test_each_row_of_an_answer_is_kept_under_its_own_key(serve, models, tmp_path) -> None:
    path = tmp_path / "log.db"
    async with serve(models, log="sync", log_database=f"sqlite:///{path}") as client:
        answer = await client.post("/predict", json={"instances": [ROW, ROW]}, headers={"X-Request-ID": "mine"})
        other = await client.post("/models/iris/predict", json=dict(zip(NAMES, ROW, strict=True)))
        assert answer.headers["x-logged"] == "true"
        found = rows(path)
    assert [row["key"] for row in found] == [
        answer.headers["x-prediction-id"],
        answer.headers["x-prediction-id"][:-1] + "1",
        other.headers["x-prediction-id"],
    ]
    assert [(row["request_id"], row["position"], row["dialect"]) for row in found[:2]] == [
        ("mine", 0, "/predict"),
        ("mine", 1, "/predict"),
    ]
    assert found[2]["dialect"] == "/models/{name}/predict"
    assert json.loads(found[0]["features"]) == dict(zip(NAMES, ROW, strict=True))
    assert json.loads(found[0]["answer"]) == answer.json()["predictions"][0]["prediction"]
    assert found[0]["confidence"] == answer.json()["predictions"][0]["confidence"]
    assert (found[0]["model"], found[0]["version"], found[0]["client"]) == ("iris", "2", None)
    assert found[0]["latency_ms"] > 0


@pytest.mark.parametrize("log", ["async", "sync"])
@pytest.mark.parametrize("dialect", ["/predict", "/predict-threaded"])
async def test_a_request_without_an_id_is_named_by_the_key_of_its_first_row(
    serve, models, tmp_path, log: str, dialect: str
) -> None:
    path = tmp_path / "log.db"
    async with serve(models, log=log, log_database=f"sqlite:///{path}") as client:
        first = await client.post(dialect, json={"instances": [ROW, ROW]})
        again = await client.post(
            dialect, json={"features": ROW}, headers={"X-Request-ID": first.headers["x-request-id"]}
        )
        harmful = await client.post(dialect, json={"features": ROW}, headers={"X-Request-ID": "a b"})
    assert first.headers["x-request-id"] == first.headers["x-prediction-id"] == again.headers["x-request-id"]
    assert again.headers["x-prediction-id"] != first.headers["x-prediction-id"]
    assert harmful.headers["x-request-id"] == harmful.headers["x-prediction-id"]
    ours, replaced = first.headers["x-request-id"], harmful.headers["x-request-id"]
    assert sorted((row["request_id"], row["position"]) for row in rows(path)) == sorted(
        [(ours, 0), (ours, 1), (ours, 0), (replaced, 0)]
    )
    assert len({row["key"] for row in rows(path)}) == 4


@pytest.mark.parametrize(("overflow", "status"), [("drop", 200), ("refuse", 503)])
async def test_more_rows_than_a_worker_holds_are_dropped_or_refused_and_it_says_so_once(
    serve, models, tmp_path, monkeypatch, caplog, overflow: str, status: int
) -> None:
    monkeypatch.setattr("slipway.prediction_log.log.MOST_ROWS", 0)
    async with serve(
        models, log="async", log_database=f"sqlite:///{tmp_path / 'log.db'}", log_overflow=overflow
    ) as client:
        for _ in range(3):
            answer = await client.post("/predict", json={"features": ROW})
            assert (answer.status_code, "x-prediction-id" in answer.headers) == (status, False)
    said = [record.getMessage() for record in caplog.records if "prediction log are dropped" in record.getMessage()]
    assert said == (
        ["Records of the prediction log are dropped: 0 rows wait to be written already"] if overflow == "drop" else []
    )


@pytest.fixture
def no_folder(tmp_path: Path) -> Path:
    """Where no spool can be."""
    (tmp_path / "file").write_text("")
    return tmp_path / "file" / "spool"


async def test_an_answer_waits_for_the_database_where_the_spool_takes_nothing(
    serve, models, tmp_path, no_folder
) -> None:
    path = tmp_path / "log.db"
    async with serve(models, log="spooled", log_database=f"sqlite:///{path}", log_spool=no_folder) as client:
        for number in range(1, 4):
            answer = await client.post("/predict", json={"features": ROW})
            assert [row["key"] for row in rows(path)][number - 1 :] == [answer.headers["x-prediction-id"]]


@pytest.mark.parametrize(("overflow", "status"), [("refuse", 503), ("drop", 200)])
async def test_the_policy_decides_where_neither_spool_nor_database_takes_a_record(
    serve, models, no_folder, overflow, status
) -> None:
    nowhere = f"sqlite:///{no_folder}/log.db"
    async with serve(models, log="spooled", log_database=nowhere, log_spool=no_folder, log_overflow=overflow) as client:
        answer = await client.post("/predict", json={"features": ROW})
        assert answer.status_code == status
        assert ("retry-after" in answer.headers) == (status == 503)


async def test_without_a_log_answers_have_no_key(client) -> None:
    assert "x-prediction-id" not in (await client.post("/predict", json={"features": ROW})).headers
    assert "x-prediction-id" in (await client.post("/predict-with-logging", json={"features": ROW})).headers


async def test_the_client_is_kept_where_keys_are_asked_for(serve, models, tmp_path) -> None:
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "shop").write_text("secret")
    path = tmp_path / "log.db"
    async with serve(models, log="sync", log_database=f"sqlite:///{path}", api_keys=tmp_path / "keys") as client:
        assert (await client.post("/feedback", json={})).status_code == 401
        await client.post("/predict", json={"features": ROW}, headers={"X-API-Key": "secret"})
        assert rows(path)[0]["client"] == "shop"


async def test_a_rate_of_nothing_keeps_nothing_but_what_asks_for_it(serve, models) -> None:
    async with serve(models, log="async", log_rate=0.0) as client:
        assert "x-prediction-id" not in (await client.post("/predict", json={"features": ROW})).headers
        assert "x-prediction-id" in (await client.post("/predict-with-logging", json={"features": ROW})).headers


async def test_columns_are_left_out_and_hashed(serve, models, tmp_path) -> None:
    path = tmp_path / "log.db"
    hidden = {"log_omit": ["iris.sepal_width"], "log_hash": ["petal_width"], "log_hash_key": "sixteen letters!"}
    async with serve(models, log="sync", log_database=f"sqlite:///{path}", **hidden) as client:
        await client.post("/predict", json={"features": ROW})
        features = json.loads(rows(path)[0]["features"])
    assert set(features) == {"sepal_length", "petal_length", "petal_width"}
    assert len(features["petal_width"]) == 64


async def test_feedback_is_joined_by_key_and_position(serve, models, tmp_path) -> None:
    path = tmp_path / "log.db"
    async with serve(models, log="sync", log_database=f"sqlite:///{path}") as client:
        key = (await client.post("/predict", json={"instances": [ROW, ROW]})).headers["x-prediction-id"]
        one = await client.post("/feedback", json={"prediction_id": key.upper(), "outcome": 2})
        many = await client.post(
            "/feedback", json={"instances": [{"prediction_id": key, "position": 1, "outcome": "b"}] * 2}
        )
        assert [(one.status_code, one.json()), (many.status_code, many.json())] == [
            (202, {"accepted": 1}),
            (202, {"accepted": 2}),
        ]
    keys = [row["key"] for row in rows(path)]
    assert sorted((row["prediction"], row["outcome"]) for row in rows(path, "feedback")) == [
        (keys[0], "2"),
        (keys[1], '"b"'),
        (keys[1], '"b"'),
    ]


@pytest.mark.parametrize(
    ("body", "field", "remedy"),
    [
        ({"prediction_id": "x", "outcome": 1}, "prediction_id", "X-Prediction-ID"),
        ({"outcome": 1}, "prediction_id", "X-Prediction-ID"),
        (
            {"instances": [{"prediction_id": "019a1b2c-3d4e-7f00-b123-456789a00000", "outcome": {}}]},
            "instances[0].outcome",
            "a number",
        ),
        (
            {"prediction_id": "019a1b2c-3d4e-7f00-b123-456789a00000", "outcome": 1, "position": -1},
            "position",
            "whole number",
        ),
        ({"prediction_id": "019a1b2c-3d4e-7f00-b123-456789a00000", "outcome": 1, "color": 1}, "color", "No such field"),
        ({"instances": []}, "instances", "list of at least one outcome"),
        ({"instances": [{}], "outcome": 1}, "outcome", "within each of the instances"),
        ({"instances": [OUTCOME, OUTCOME | {"outcome": "x" * 70_000}]}, "instances[1].outcome", "at most 65536 bytes"),
        (OUTCOME | {"outcome": "x" * 70_000}, "outcome", "SLIPWAY_LOG_RECORD_BYTES"),
    ],
)
async def test_feedback_that_cannot_be_used_is_told_what_to_send(client, body, field, remedy) -> None:
    response = await client.post("/feedback", json=body)
    assert response.status_code == 422
    assert response.json()["errors"][0]["field"] == field
    assert remedy in response.json()["errors"][0]["detail"]
    assert response.json()["detail"] == "{field}: {detail}".format(**response.json()["errors"][0])


@pytest.mark.parametrize("body", [b"", b"null", b"[]"])
async def test_feedback_without_an_object_is_shown_one(client, body) -> None:
    response = await client.post("/feedback", content=body)
    assert (response.status_code, '{"prediction_id": "…", "outcome": 2}' in response.json()["detail"]) == (422, True)


async def test_a_misspelt_column_is_told_with_its_setting_and_the_columns_that_are_there(serve, tmp_path) -> None:
    names = train_and_pack("iris", tmp_path / "models").artifact.signature.names
    there = ", ".join(sorted(f"iris.{name}" for name in names))
    sentence = f"SLIPWAY_LOG_OMIT: no model has the columns petal_lenght; there are {there}"
    with pytest.raises(ArtifactError, match=f"^{re.escape(sentence)}$"):
        async with serve(
            tmp_path / "models",
            log="sync",
            log_omit=["petal_lenght"],
            log_hash=[names[3]],
            log_hash_key="sixteen letters!",
        ):
            pass


def identity(seconds: float) -> str:
    """An id that nobody has given, of that time since 1970."""
    digits = f"{int(seconds * 1000):012x}"
    return f"{digits[:8]}-{digits[8:]}-7000-8000-{uuid.uuid4().hex[:12]}"


@pytest.mark.parametrize("log", ["off", "async"])
async def test_feedback_for_an_id_that_no_row_can_have_is_told_the_time_from_which_on_they_are_kept(
    serve, models, log
) -> None:
    now = time.time()
    async with serve(models, log=log) as client:
        for seconds, status in ((now - 86_400, 422), (now, 202), (now + 86_400, 422), (now - 60, 202)):
            body = {
                "instances": [
                    {"prediction_id": identity(now), "outcome": 1},
                    {"prediction_id": identity(seconds), "outcome": 1},
                ]
            }
            answer = await client.post("/feedback", json=body)
            assert answer.status_code == status, seconds
            if status == 422:
                [error] = answer.json()["errors"]
                assert error["field"] == "instances[1].prediction_id"
                assert datetime.fromisoformat(error["detail"].split("since ")[1].split(",")[0]) <= datetime.now(UTC)


async def test_while_the_database_is_away_nobody_is_told_since_when_rows_are_kept(serve, models, tmp_path) -> None:
    (tmp_path / "log.db").write_text("a poem " * 200)
    async with serve(models, log="async", log_database=f"sqlite:///{tmp_path}/log.db") as client:
        answer = await client.post("/feedback", json={"prediction_id": identity(time.time() + 86_400), "outcome": 1})
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["detail"] == (
            "Expected the id of an answer that the log keeps, and not of the future"
        )


async def test_feedback_for_ids_that_nobody_finds_is_bounded_and_for_rows_it_is_not(
    serve, models, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(outcomes, "STRAYS", 5)
    monkeypatch.setattr(outcomes, "WAIT_SECONDS", 0.0)
    path = tmp_path / "log.db"
    async with serve(models, log="async", log_database=f"sqlite:///{path}") as client:
        key = (await client.post("/predict", json={"instances": [ROW] * 30})).headers["x-prediction-id"]
        strays = [{"prediction_id": identity(time.time()), "outcome": 1} for _ in range(20)]
        found = [{"prediction_id": key, "position": i, "outcome": 1} for i in range(30)]
        assert (await client.post("/feedback", json={"instances": strays + found})).json() == {"accepted": 50}
        async with asyncio.timeout(30):
            while 'slipway_log_strays_total{outcome="dropped"}' not in (
                text := (await client.get("/metrics")).text
            ) or ('slipway_log_strays_total{outcome="dropped"} 0' in text):
                await asyncio.sleep(0.05)
    assert 'slipway_log_strays_total{outcome="stored"} 5.0' in text
    assert 'slipway_log_strays_total{outcome="dropped"} 15.0' in text
    kept, asked = {row["key"] for row in rows(path)}, [row["prediction"] for row in rows(path, "feedback")]
    assert (len(kept & set(asked)), len(asked)) == (30, 35)


async def test_feedback_that_comes_before_its_row_waits_for_it(serve, models, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(outcomes, "STRAYS", 0)
    path = tmp_path / "log.db"
    async with serve(models, log="async", log_database=f"sqlite:///{path}") as client:
        answer = await client.post("/predict", json={"features": ROW})
        early = identity(time.time())
        for key in (answer.headers["x-prediction-id"], early):
            assert (await client.post("/feedback", json={"prediction_id": key, "outcome": 2})).status_code == 202
        async with asyncio.timeout(30):
            while not rows(path, "feedback"):  # of the row that is there
                await asyncio.sleep(0.05)
        with closing(sqlite3.connect(path)) as connection:  # as another worker does
            connection.execute(
                "INSERT INTO predictions SELECT ?, time, request_id, position, model, version, digest, dialect, "
                "features,"
                " answer, confidence, latency_ms, client FROM predictions",
                (early,),
            )
            connection.commit()
    assert {row["prediction"] for row in rows(path, "feedback")} == {answer.headers["x-prediction-id"], early}


async def test_more_feedback_than_may_wait_is_refused_until_it_is_stored(serve, models, monkeypatch) -> None:
    monkeypatch.setattr(outcomes, "MOST_WAITING", 3)
    async with serve(models, log="async") as client:
        many = {"instances": [{"prediction_id": identity(time.time()), "outcome": 1}] * 3}
        assert (await client.post("/feedback", json=many)).status_code == 202
        refused = await client.post("/feedback", json=many)
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")

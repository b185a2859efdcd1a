"""The tutorial's techniques, pinned on the one predictor."""

import httpx
import pytest

pytestmark = pytest.mark.anyio

ROW = {"features": [6.3, 3.3, 6.0, 2.5]}
FLOWER = {"sepal_length": 6.3, "sepal_width": 3.3, "petal_length": 6.0, "petal_width": 2.5}


async def test_safe_and_threaded_answer_as_predict_does(client: httpx.AsyncClient) -> None:
    expected = (await client.post("/predict", json=ROW)).json()
    for path in ("/predict-safe", "/predict-threaded"):
        assert (await client.post(path, json=ROW)).json() == expected
        many = (await client.post(path, json={"instances": [ROW["features"]] * 2})).json()
        assert many == {"predictions": [expected] * 2}


async def test_slow_tells_the_time_of_the_inference(client: httpx.AsyncClient) -> None:
    answer = (await client.post("/predict-slow", json=ROW)).json()
    assert set(answer) == {"prediction", "latency_ms"}
    assert answer["prediction"] == 2
    assert 0 < answer["latency_ms"] < 10_000


async def test_cached_is_true_only_when_no_inference_ran(client: httpx.AsyncClient) -> None:
    row = {"features": [6.31, 3.3, 6.0, 2.5]}
    assert (await client.post("/predict-cached", json=row)).json() == {"prediction": 2, "cached": False}
    assert (await client.post("/predict-cached", json=row)).json() == {"prediction": 2, "cached": True}
    other_version = await client.post("/predict-cached?version=1", json=row)
    assert other_version.json()["cached"] is False
    mixed = await client.post(
        "/predict-cached", json={"instances": [[5.17, 3.5, 1.4, 0.2], row["features"], [5.17, 3.5, 1.4, 0.2]]}
    )
    assert [(answer["prediction"], answer["cached"]) for answer in mixed.json()["predictions"]] == [
        (0, False),
        (2, True),
        (0, False),
    ]


async def test_the_cache_forgets_the_row_that_was_used_longest_ago(serve, models) -> None:
    async with serve(models, cache_size=2) as client:

        async def cached(first: float) -> bool:
            return bool(
                (await client.post("/predict-cached", json={"features": [first, 3.3, 6.0, 2.5]})).json()["cached"]
            )

        assert [await cached(6.1), await cached(6.2), await cached(6.1), await cached(6.3)] == [
            False,
            False,
            True,
            False,
        ]
        assert [await cached(6.1), await cached(6.2)] == [True, False]


async def test_iris_answers_with_the_species(client: httpx.AsyncClient) -> None:
    answer = (await client.post("/predict-iris", json=FLOWER)).json()
    assert (answer["species_id"], answer["species_name"]) == (2, "virginica")
    assert list(answer["probabilities"]) == ["setosa", "versicolor", "virginica"]
    assert sum(answer["probabilities"].values()) == pytest.approx(1)


async def test_iris_is_404_where_no_model_has_that_name(serve, two_models) -> None:
    async with serve(two_models) as client:
        assert (await client.post("/predict-iris", json=FLOWER)).status_code == 404


async def test_one_setting_takes_the_techniques_out_of_the_service_and_its_document(serve, models) -> None:
    async with serve(models, techniques=False) as client:
        paths = (await client.get("/openapi.json")).json()["paths"]
        for path in ("/predict-iris", "/predict-safe", "/predict-slow", "/predict-threaded", "/predict-cached"):
            assert (await client.post(path, json=ROW)).status_code == 404
            assert path not in paths
        assert "/predict" in paths

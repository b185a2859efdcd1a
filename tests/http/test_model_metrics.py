"""Requests are counted by model and version, however they are answered; and those that name a version get no other."""

from pathlib import Path

import httpx
import pytest

from tests.unit.telemetry.test_metrics import sample

from .conftest import Serve

pytestmark = pytest.mark.anyio

FLOWER = {"features": [5.1, 3.5, 1.4, 0.2]}
REQUESTS = "slipway_model_requests_total"


async def counted(client: httpx.AsyncClient, model: str, version: str) -> list[float | None]:
    """2xx, 4xx, 5xx."""
    text = (await client.get("/metrics")).content
    return [sample(text, REQUESTS, model=model, version=version, status=status) for status in ("2xx", "4xx", "5xx")]


async def test_each_request_counts_once_by_its_model_and_the_class_of_its_status(serve: Serve, models: Path) -> None:
    async with serve(models) as client:
        for path, body, status in (
            ("/predict", FLOWER, 200),  # at once
            ("/predict?model=iris&version=2", FLOWER, 200),  # by way of ASGI
            ("/models/iris/predict", {"nothing": 1}, 422),
            ("/models/iris/versions/1/predict", {"instances": []}, 422),
            ("/predict?model=slow", {"features": [0, 0]}, 200),  # must be waited for
            ("/predict?model=raising", {"features": [1, 0]}, 500),
            ("/predict?model=broken", {"features": [0, 0]}, 503),
        ):
            assert (await client.post(path, json=body)).status_code == status
        assert await counted(client, "iris", "2") == [2, 1, 0]
        assert await counted(client, "iris", "1") == [0, 1, 0]
        assert await counted(client, "slow", "1") == [1, 0, 0]
        assert await counted(client, "raising", "1") == [0, 0, 1]
        assert await counted(client, "broken", "1") == [0, 0, 1]


async def test_a_request_to_no_model_is_counted_for_none(serve: Serve, models: Path) -> None:
    async with serve(models) as client:
        before = (await client.get("/metrics")).text.count(REQUESTS)
        assert (await client.post("/predict?model=nobody", json=FLOWER)).status_code == 404
        assert (await client.get("/metrics")).text.count(REQUESTS) == before


@pytest.mark.parametrize("path", ["/predict", "/models/iris/predict"])
async def test_a_request_that_names_a_version_which_is_not_served_here_is_404_and_its_code_says_so(
    client: httpx.AsyncClient, path: str
) -> None:
    response = await client.post(path, json=FLOWER, headers={"X-Model-Version": "3"})
    assert response.status_code == 404
    assert response.json() == {
        "type": "urn:slipway:unknown_version",
        "title": "Model version not found",
        "status": 404,
        "detail": "Model 'iris' has no version '3'; there are 1, 2",
    }


async def test_a_request_that_names_the_version_that_is_served_is_answered_by_it(client: httpx.AsyncClient) -> None:
    response = await client.post("/predict", json=FLOWER, headers={"X-Model-Version": "1"})
    assert (response.status_code, response.headers["x-model-version"]) == (200, "1")


@pytest.mark.parametrize(
    ("drift", "is_in"), [("together", {"/metrics", "/metrics/drift"}), ("apart", {"/metrics/drift"})]
)
async def test_drift_has_a_path_of_its_own_and_can_be_left_to_it(
    serve: Serve, models: Path, drift: str, is_in: set[str]
) -> None:
    async with serve(models, drift=drift) as client:
        texts = {path: (await client.get(path)).text for path in ("/metrics", "/metrics/drift")}
    assert {path for path, text in texts.items() if "slipway_drift_expected_share{" in text} == is_in
    assert "slipway_model_state{" in texts["/metrics"]
    assert "slipway_model_state{" not in texts["/metrics/drift"]

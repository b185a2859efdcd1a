"""API keys: asked for where they are set, rotated while the server runs."""

from pathlib import Path

import httpx
import pytest

from slipway.http import auth as keys

pytestmark = pytest.mark.anyio

ROW = {"features": [5.1, 3.5, 1.4, 0.2]}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """As Kubernetes mounts a Secret: the files are links into a hidden folder."""
    hidden = tmp_path / "..2026_11_23"
    hidden.mkdir()
    for client, key in {"shop": "key-of-shop\n", "batch": "key-of-batch"}.items():
        (hidden / client).write_text(key)
        (tmp_path / client).symlink_to(hidden / client)
    return tmp_path


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"X-API-Key": "key-of-shop"}, 200),
        ({"X-API-Key": "key-of-batch"}, 200),
        ({"Authorization": "Bearer key-of-shop"}, 200),
        ({"Authorization": "bearer key-of-batch"}, 200),
        ({}, 401),
        ({"X-API-Key": ""}, 401),
        ({"X-API-Key": "shop"}, 401),
        ({"X-API-Key": "key-of-shop\n"}, 401),
        ({"Authorization": "Basic key-of-shop"}, 401),
        ({"Authorization": "key-of-shop"}, 401),
    ],
)
async def test_a_prediction_needs_a_key_that_is_known(serve, models, folder, headers, status) -> None:
    async with serve(models, api_keys=folder) as client:
        for method, path in (("POST", "/predict"), ("POST", "/predict-safe"), ("GET", "/models")):
            response = await client.request(method, path, json=ROW if method == "POST" else None, headers=headers)
            assert response.status_code == status
            if status == 401:
                assert response.headers["content-type"] == "application/problem+json"
                assert response.headers["www-authenticate"].startswith("Bearer")


async def test_of_two_keys_none_is_taken_however_they_come(serve, models, folder) -> None:
    twice = {"X-API-Key": "key-of-shop, key-of-shop"}  # as a header that comes twice is read
    both = {"X-API-Key": "key-of-shop", "Authorization": "Bearer key-of-shop"}
    async with serve(models, api_keys=folder) as client:
        answers = [await client.post("/predict", json=ROW, headers=headers) for headers in (twice, both)]
    assert [answer.status_code for answer in answers] == [401, 401]
    assert answers[0].json()["detail"] == answers[1].json()["detail"]


async def test_probes_metrics_and_documentation_stay_open(serve, models, folder) -> None:
    async with serve(models, api_keys=folder) as client:
        for path in ("/health", "/metrics", "/docs", "/openapi.json"):
            assert (await client.get(path)).status_code == 200
        document = (await client.get("/openapi.json")).json()
        assert document["paths"]["/models/iris/predict"]["post"]["security"]
        assert "security" not in document["paths"]["/ready"]["get"]


async def test_a_rotated_key_takes_effect_without_a_restart(serve, models, folder, monkeypatch) -> None:
    monkeypatch.setattr(keys, "REREAD", 0.0)
    async with serve(models, api_keys=folder) as client:

        async def status(key: str) -> int:
            response: httpx.Response = await client.post("/predict", json=ROW, headers={"X-API-Key": key})
            return response.status_code

        (folder / "shop-next").write_text("new-key")
        assert [await status("key-of-shop"), await status("new-key")] == [200, 200]
        (folder / "shop").unlink()
        assert [await status("key-of-shop"), await status("new-key")] == [401, 200]


async def test_keys_that_cannot_be_read_refuse_everybody(serve, models, tmp_path) -> None:
    async with serve(models, api_keys=tmp_path / "nowhere") as client:
        assert (await client.post("/predict", json=ROW, headers={"X-API-Key": "x"})).status_code == 401

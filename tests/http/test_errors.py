"""One shape for every error, also those of the router; the cause of a 500 stays in the log."""

import logging

import httpx
import pytest

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nowhere", 404),
        ("POST", "/", 404),
        ("GET", "/predict", 405),
        ("DELETE", "/models", 405),
        ("POST", "/health", 405),
    ],
)
async def test_unknown_paths_and_methods_are_problems_too(
    client: httpx.AsyncClient, method: str, path: str, status: int
) -> None:
    response = await client.request(method, path)
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["status"] == status
    assert ("allow" in response.headers) == (status == 405)


async def test_a_model_that_raises_is_500_and_the_cause_is_in_the_log_only(
    client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        response = await client.post("/predict?model=raising", json={"features": [1, 0]})
    assert response.status_code == 500
    assert response.json()["title"] == "Model inference failed"
    assert "secret" not in response.text
    assert "secret cause" in caplog.text
    assert (await client.post("/predict?model=raising", json={"features": [0, 0]})).status_code == 200


async def test_a_client_s_error_is_not_logged_as_ours(
    client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        await client.post("/predict", json={"features": ["secret"]})
        await client.post("/predict", content=b"{")
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert "secret" not in caplog.text


async def test_a_model_that_failed_to_load_is_503_and_the_others_serve(client: httpx.AsyncClient) -> None:
    response = await client.post("/predict?model=broken", json={"features": [0, 0]})
    assert response.status_code == 503
    assert int(response.headers["retry-after"]) > 0
    assert "broken" in response.json()["detail"]
    assert (await client.post("/predict", json={"features": [5.1, 3.5, 1.4, 0.2]})).status_code == 200


async def test_the_deadline_of_the_request_lowers_that_of_the_server(client: httpx.AsyncClient) -> None:
    response = await client.post("/predict?model=slow", json={"features": [3, 0]}, headers={"X-Request-Timeout": "0.1"})
    assert response.status_code == 504
    assert response.headers["content-type"] == "application/problem+json"
    assert (
        await client.post("/predict?model=slow", json={"features": [0, 0]}, headers={"X-Request-Timeout": "10"})
    ).status_code == 200


async def test_a_request_id_is_taken_over_when_harmless_and_made_otherwise(client: httpx.AsyncClient) -> None:
    assert (await client.get("/health", headers={"X-Request-ID": "abc-123"})).headers["x-request-id"] == "abc-123"
    for harmful in ("", "a b", "a" * 129, "<script>", "ü".encode().decode("latin-1")):
        answered = (await client.get("/health", headers=[(b"x-request-id", harmful.encode("latin-1"))])).headers[
            "x-request-id"
        ]
        assert answered != harmful
        assert len(answered) == 36
    first, second = [(await client.get("/nowhere")).headers["x-request-id"] for _ in range(2)]
    assert first != second

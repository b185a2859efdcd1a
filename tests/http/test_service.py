"""Probes, catalogue, metrics, documentation, CORS and the path prefix."""

import gc
import json
import logging
import re
import weakref
from typing import Any

import httpx
import pytest

from slipway.app import create_app, forget_endpoints
from slipway.engine.marks import Marks
from slipway.errors import ArtifactError
from slipway.prediction.repository import Repository
from slipway.settings import Settings
from slipway.system.board import Board, Lifecycle
from slipway.telemetry.metrics import Metrics
from slipway.telemetry.request_id import new_key

pytestmark = pytest.mark.anyio


async def test_health_says_that_the_process_runs_and_whether_its_models_are_loaded(client: httpx.AsyncClient) -> None:
    response = await client.get("/health")
    assert response.status_code == 200
    assert set(response.json()) == {"status", "model_loaded"}
    assert response.json()["status"] == "healthy"


async def test_ready_once_every_expected_model_has_answered_its_examples(serve, two_models) -> None:
    async with serve(two_models) as client:
        response = await client.get("/ready")
        assert (response.status_code, response.json()) == (200, {"ready": True})
        assert (await client.get("/health")).json() == {"status": "healthy", "model_loaded": True}


async def test_not_ready_while_an_expected_model_is_broken_and_the_error_names_it(serve, broken_models) -> None:
    async with serve(broken_models) as client:
        response = await client.get("/ready")
        assert response.status_code == 503
        assert response.json()["ready"] is False
        assert "broken" in response.json()["error"]
        assert (await client.get("/health")).json() == {"status": "healthy", "model_loaded": False}


async def test_a_model_that_does_not_answer_its_examples_as_its_manifest_says_is_not_served(
    serve, lying_models
) -> None:
    async with serve(lying_models) as client:
        assert (await client.get("/ready")).status_code == 503
        assert (await client.post("/predict", json={"features": [5.1, 3.5, 1.4, 0.2]})).status_code == 503


async def test_the_catalogue_says_what_is_served_and_what_vouches_for_it(client: httpx.AsyncClient) -> None:
    models = {model["name"]: model for model in (await client.get("/models")).json()["models"]}
    assert models["iris"]["default"] is True
    iris = {version["version"]: version for version in models["iris"]["versions"]}
    assert iris["2"]["default"]
    assert not iris["1"]["default"]
    assert iris["2"]["state"] == "ready"
    assert iris["2"]["vouched_for"] is True
    assert iris["2"]["digest"].startswith("sha256:")
    assert iris["2"]["execution"] in ("inline", "thread")
    assert iris["2"]["row_ms"] > 0
    assert next(column["name"] for column in iris["2"]["signature"]["columns"]) == "sepal_length"
    bare = models["stub"]["versions"][0]
    assert bare["vouched_for"] is False
    assert any("vouches" in note for note in bare["notes"])
    broken = models["broken"]["versions"][0]
    assert broken["state"] == "failed"
    assert broken["error"]
    assert (await client.get("/models/iris")).json() == models["iris"]


async def test_metrics_count_by_route_template_and_never_by_raw_path(client: httpx.AsyncClient) -> None:
    await client.post("/models/iris/predict", json={})
    await client.post(
        "/predict", json={"instances": [[5.1, 3.5, 1.4, 0.2], [5.0, 3.4, 1.4, 0.2], [6.3, 3.3, 6.0, 2.5]]}
    )
    for i in range(3):
        await client.get(f"/scan-{i}.php")
    text = (await client.get("/metrics")).text
    assert (
        'slipway_http_request_duration_seconds_count{method="POST",route="/models/{name}/predict",status="422"}' in text
    )
    assert 'route="unmatched",status="404"' in text
    assert "scan-" not in text
    assert 'slipway_inference_duration_seconds_count{model="iris",version="2"}' in text
    assert re.search(r'slipway_predictions_total\{class="setosa",model="iris",version="2"\} 2\.0', text)
    assert 'slipway_validation_failures_total{reason="invalid_body"}' in text


async def test_the_docs_page_asks_nobody_but_this_server(client: httpx.AsyncClient) -> None:
    answer = await client.get("/docs")
    assert "default-src 'none'; script-src 'self'" in answer.headers["content-security-policy"]
    page = answer.text
    assert not re.findall(r"<script(?![^>]* src=)|<style| style=| on[a-z]+=", page), "the policy lets none of it run"
    addresses = re.findall(r"""(?:src|href|url)['"]?\s*[=:]\s*["']([^"']+)""", page)
    assert len(addresses) >= 4
    for address in addresses:
        assert address.startswith("/")
        assert (await client.get(address)).status_code == 200


async def test_openapi_shows_each_model_with_its_bounds_descriptions_and_a_real_row(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    schema = document["components"]["schemas"]["iris-2"]
    assert schema["properties"]["petal_length"]["maximum"] == 7
    assert schema["properties"]["sepal_length"]["exclusiveMinimum"] == 0
    assert "cm" in schema["properties"]["sepal_length"]["description"]
    operation = document["paths"]["/models/iris/predict"]["post"]
    example = operation["requestBody"]["content"]["application/json"]["examples"]["one row"]["value"]
    assert (await client.post("/models/iris/predict", json=example)).status_code == 200
    assert "/models/iris/versions/1/predict" in document["paths"]
    assert "/models/{name}/predict" not in document["paths"]
    assert "FastAPI" not in json.dumps(document), "what only the code needs to know is not shown"
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            for name, media in (
                operation.get("requestBody", {})
                .get("content", {})
                .get("application/json", {})
                .get("examples", {})
                .items()
            ):
                response = await client.request(method, path, json=media["value"])
                assert response.is_success, (path, name, response.text)


async def test_openapi_says_how_many_rows_a_request_may_have(serve, models) -> None:
    async with serve(models, max_rows=3, log="async") as client:
        document = (await client.get("/openapi.json")).json()
        bodies = [
            operations["post"]["requestBody"]["content"]["application/json"]["schema"]
            for operations in document["paths"].values()
            if "post" in operations
        ]
        many = [
            form["properties"]["instances"]
            for body in [document["components"]["schemas"]["PredictRequest"], *bodies]
            for form in [*body.get("oneOf", []), *body.get("anyOf", [])]
            if form.get("title") == "Many rows"
        ]
        assert len(many) > 3
        assert {rows["maxItems"] for rows in many} == {3}
        row = {"prediction_id": new_key(), "outcome": 1}
        for path, allowed in (("/predict", [[1, 2, 3, 1]] * 3), ("/feedback", [row] * 3)):
            assert (await client.post(path, json={"instances": allowed})).is_success
            assert (await client.post(path, json={"instances": [*allowed, allowed[0]]})).status_code == 413


async def test_behind_an_ingress_the_prefix_is_in_every_address(serve, models) -> None:
    async with serve(models, root_path="/iris") as client:
        assert (await client.get("/openapi.json")).json()["servers"] == [{"url": "/iris"}]
        assert "/iris/docs/assets/swagger-ui.css" in (await client.get("/docs")).text
        body = {"features": [5.1, 3.5, 1.4, 0.2]}
        for path in ("/predict", "/iris/predict"):  # whether the Ingress strips the prefix or not
            assert (await client.post(path, json=body)).status_code == 200


async def test_cors_is_off_unless_origins_are_named(serve, models) -> None:
    preflight = {"Origin": "https://example.org", "Access-Control-Request-Method": "POST"}
    async with serve(models) as client:
        response = await client.options("/predict", headers=preflight)
        assert "access-control-allow-origin" not in response.headers
    async with serve(models, cors_origins=["https://example.org"]) as client:
        response = await client.options("/predict", headers=preflight)
        assert response.headers["access-control-allow-origin"] == "https://example.org"
        other = await client.options("/predict", headers=preflight | {"Origin": "https://example.com"})
        assert "access-control-allow-origin" not in other.headers


@pytest.mark.parametrize(
    ("level", "lines"), [("INFO", ["/models"]), ("DEBUG", ["/health", "/ready", "/metrics", "/models"])]
)
async def test_probes_and_scrapes_write_no_line_unless_asked_to(
    client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture, level: str, lines: list[str]
) -> None:
    with caplog.at_level(level, "slipway.access"):
        for path in ("/health", "/ready", "/metrics", "/models"):
            await client.get(path)
    assert [vars(record)["path"] for record in caplog.records if record.name == "slipway.access"] == lines
    assert {record.levelno for record in caplog.records if vars(record).get("path") == "/models"} == {logging.INFO}


async def test_a_scrape_that_prometheus_did_not_wait_for_is_none(models) -> None:
    board = Board(None, slots=1)
    envelope = create_app(Settings(models=models), lifecycle=Lifecycle(board))

    async def gone() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def send(_: Any) -> None:
        pass

    scope = {
        "type": "http",
        "method": "GET",
        "path": "/metrics",
        "raw_path": b"/metrics",
        "query_string": b"",
        "headers": [],
    }
    await envelope(scope, gone, send)
    assert board.scraped_at == 0
    async with httpx.AsyncClient(transport=httpx.ASGITransport(envelope), base_url="http://slipway") as client:
        await client.get("/metrics")
    assert board.scraped_at > 0


def test_a_folder_without_models_is_refused_with_the_command_that_fills_it(tmp_path) -> None:
    with pytest.raises(ArtifactError, match="slipway pack"):
        create_app(Settings(models=tmp_path))
    with pytest.raises(ArtifactError, match="does not exist"):
        create_app(Settings(models=tmp_path / "nowhere"))


def test_nothing_keeps_an_application_that_has_been_replaced(models) -> None:
    settings, metrics, lifecycle = Settings(models=models), Metrics(None, None), Lifecycle(Board(None, slots=1))
    repository = Repository(settings, metrics, Marks(lifecycle))
    create_app(settings, lifecycle=lifecycle, metrics=metrics, repository=repository)
    old = weakref.ref(repository)
    del repository
    forget_endpoints()
    create_app(settings, lifecycle=lifecycle, metrics=metrics)
    gc.collect()
    assert old() is None

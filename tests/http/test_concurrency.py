"""Many at once: the bound, the deadline, the client that leaves, the cache's and the loader's single flight."""

import asyncio
import json
import time
from typing import Any

import httpx
import pytest

from slipway.app import create_app
from slipway.settings import Settings
from tests.support.estimators import Gated

pytestmark = pytest.mark.anyio


async def until(condition: Any) -> None:
    """Waits for the condition, fifteen seconds at most: the gate does no longer."""
    end = time.monotonic() + 15
    while not condition():
        assert time.monotonic() < end, "it did not come about in fifteen seconds"
        await asyncio.sleep(0.01)


@pytest.fixture
async def gated(serve, models):
    """A client of a server with two places and one thread, and a gate that is closed."""
    async with serve(models, max_in_flight=2, threads=1, execution="thread") as client:
        Gated.close()
        yield client
        Gated.gate.set()


def ask(
    client: httpx.AsyncClient, path: str = "/predict?model=gated", row: Any = (0, 0)
) -> "asyncio.Task[httpx.Response]":
    return asyncio.create_task(client.post(path, json={"features": list(row)}))


async def test_beyond_the_bound_the_answer_is_503_at_once_and_probes_are_answered(gated: httpx.AsyncClient) -> None:
    first = ask(gated)
    await until(lambda: Gated.calls == 1)
    second = ask(gated)
    await until_in_flight(gated, 2)
    refused = await asyncio.wait_for(ask(gated), 15)
    assert refused.status_code == 503
    assert int(refused.headers["retry-after"]) > 0
    assert (await asyncio.wait_for(gated.get("/health"), 15)).status_code == 200
    assert (await asyncio.wait_for(gated.get("/ready"), 15)).status_code == 200
    Gated.gate.set()
    assert [(await task).status_code for task in (first, second)] == [200, 200]
    metrics = (await gated.get("/metrics")).text
    assert 'slipway_requests_rejected_total{reason="full"} 1.0' in metrics


async def until_in_flight(client: httpx.AsyncClient, count: int) -> None:
    end = time.monotonic() + 10
    while f"slipway_http_requests_in_flight {float(count)}" not in (await client.get("/metrics")).text:
        assert time.monotonic() < end
        await asyncio.sleep(0.01)


async def test_work_that_has_begun_holds_its_place_after_its_deadline(gated: httpx.AsyncClient) -> None:
    late = await gated.post("/predict?model=gated", json={"features": [0, 0]}, headers={"X-Request-Timeout": "0.1"})
    assert late.status_code == 504
    waiting = ask(gated)  # the second place
    await until_in_flight(gated, 1)
    await asyncio.sleep(0)
    assert (await ask(gated)).status_code == 503
    Gated.gate.set()
    assert (await waiting).status_code == 200


async def test_work_that_has_not_begun_is_dropped_at_its_deadline(gated: httpx.AsyncClient) -> None:
    begun = ask(gated)
    await until(lambda: Gated.calls == 1)
    for _ in range(5):  # each takes the second place, and gives it back
        late = await gated.post(
            "/predict?model=gated", json={"features": [0, 0]}, headers={"X-Request-Timeout": "0.05"}
        )
        assert late.status_code == 504
    Gated.gate.set()
    assert (await begun).status_code == 200
    assert Gated.calls == 1


async def test_work_that_has_not_begun_is_dropped_when_its_client_leaves(models) -> None:
    Gated.gate.set()
    envelope = create_app(Settings(models=models, threads=1, execution="thread"))
    async with envelope.fastapi.router.lifespan_context(envelope.fastapi):
        Gated.close()
        sent: list[Any] = []

        def call(leaves: asyncio.Event) -> "asyncio.Task[None]":
            messages = [{"type": "http.request", "body": json.dumps({"features": [0, 0]}).encode(), "more_body": False}]

            async def receive() -> Any:
                if messages:
                    return messages.pop()
                await leaves.wait()
                return {"type": "http.disconnect"}

            async def send(message: Any) -> None:
                sent.append(message)

            scope = {
                "type": "http",
                "method": "POST",
                "path": "/predict",
                "raw_path": b"/predict",
                "query_string": b"model=gated",
                "headers": [],
            }
            return asyncio.create_task(envelope(scope, receive, send))

        stays, leaves = asyncio.Event(), asyncio.Event()
        first = call(stays)
        await until(lambda: Gated.calls == 1)
        second = call(leaves)
        leaves.set()
        await asyncio.wait_for(second, 15)
        Gated.gate.set()
        await first
        assert Gated.calls == 1
        assert sent[0]["status"] in (200, 499)


async def test_requests_that_wait_are_answered_by_one_inference(serve, models) -> None:
    async with serve(models, execution="thread") as client:
        Gated.close()
        first = ask(client)
        await until(lambda: Gated.calls == 1)
        waiting = [ask(client, path) for path in ("/predict?model=gated", "/predict-threaded?model=gated") * 3]
        await until_in_flight(client, 7)
        Gated.gate.set()
        assert {(await answer).json()["prediction"] for answer in (first, *waiting)} == {0}
        assert (Gated.calls, Gated.rows) == (2, 7)
        metrics = (await client.get("/metrics")).text
        assert 'slipway_inference_duration_seconds_count{model="gated",version="1"} 2.0' in metrics
        assert 'slipway_predictions_total{class="0",model="gated",version="1"} 7.0' in metrics


async def test_a_row_that_fails_costs_only_its_own_request(serve, models) -> None:
    async with serve(models, execution="thread") as client:
        rows = [(0, 0), (0, 0), (1, 0), (0, 0), (0, 0), (1, 0)]
        statuses = [
            (await answer).status_code for answer in [ask(client, "/predict?model=raising", row) for row in rows]
        ]
        assert statuses == [200, 200, 500, 200, 200, 500]
        metrics = (await client.get("/metrics")).text
        assert 'slipway_inference_errors_total{model="raising",version="1"} 2.0' in metrics


async def test_concurrent_equal_misses_compute_once(gated: httpx.AsyncClient) -> None:
    tasks = [ask(gated, "/predict-cached?model=gated") for _ in range(8)]
    await until(lambda: Gated.calls == 1)
    Gated.gate.set()
    answers = [(await task).json() for task in tasks]
    assert Gated.calls == 1
    assert {answer["prediction"] for answer in answers} == {0}
    assert not any(answer["cached"] for answer in answers)  # an inference ran for each, if not of its own
    assert (await ask(gated, "/predict-cached?model=gated")).json() == {"prediction": 0, "cached": True}


async def test_who_waits_for_another_s_inference_is_not_harmed_when_that_one_gives_up(gated: httpx.AsyncClient) -> None:
    leader = asyncio.create_task(
        gated.post("/predict-cached?model=gated", json={"features": [0, 0]}, headers={"X-Request-Timeout": "0.3"})
    )
    await until(lambda: Gated.calls == 1)
    follower = ask(gated, "/predict-cached?model=gated")
    assert (await leader).status_code == 504
    Gated.gate.set()
    assert (await follower).status_code == 200


async def test_a_lazy_model_is_loaded_once_however_many_ask(serve, lazy_models) -> None:
    async with serve(lazy_models) as client:
        assert (await client.get("/models/iris")).json()["versions"][0]["state"] == "unloaded"
        assert (await client.get("/ready")).status_code == 200  # nobody waits for a lazy model
        row = {"features": [5.1, 3.5, 1.4, 0.2]}
        answers = await asyncio.gather(*(client.post("/predict?model=iris", json=row) for _ in range(8)))
        assert {answer.status_code for answer in answers} == {200}
        assert (await client.get("/models/iris")).json()["versions"][0]["state"] == "ready"
        loads = [
            line
            for line in (await client.get("/metrics")).text.splitlines()
            if line.startswith("slipway_model_state") and '"ready"' in line
        ]
        assert loads == [
            'slipway_model_state{model="iris",state="ready",version="1"} 1.0',
            *[line for line in loads if "iris" not in line],
        ]


async def test_a_child_process_that_dies_costs_only_the_request_that_killed_it(serve, dying_models) -> None:
    # Three children start one after the other.
    async with serve(dying_models, execution="process", request_timeout=100) as client:
        rows = [(0, 0), (0, 1), (1, 0), (0, 2)]  # the first alone, the others joined behind it
        statuses = [(await answer).status_code for answer in [ask(client, "/predict", row) for row in rows]]
        assert statuses == [200, 200, 500, 200]
        assert (await client.post("/predict", json={"features": [0, 0]})).status_code == 200

"""Many lazily loaded models in a bound of memory: they come and go, and nothing goes that is being asked."""

import asyncio
from pathlib import Path

import joblib
import pytest

from tests.server.conftest import Start, bare
from tests.server.estimators import Heavy, Stub
from tests.server.running import Server
from tests.support.load import Load, post

MEGABYTE = 1_000_000


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """Six of a megabyte, one of eight, and one that holds as much and is compressed."""
    folder = tmp_path / "many"
    for place in range(6):
        bare(folder, f"m{place}", Heavy(MEGABYTE).fit())
    bare(folder, "large", Heavy(8 * MEGABYTE).fit())
    bare(folder, "small", Stub().fit())
    bare(folder, "packed", Stub().fit())
    joblib.dump(Heavy(8 * MEGABYTE).fit(), folder / "packed" / "1" / "model.joblib", compress=3)
    names = [*(f"m{place}" for place in range(6)), "large", "packed"]
    (folder / "models.toml").write_text("".join(f"[{name}]\nlazy = true\n" for name in names))
    return folder


def loaded(server: Server) -> set[str]:
    found = server.get("/models").json()["models"]
    return {each["name"] for each in found if each["versions"][0]["state"] == "ready"}


def test_the_one_that_was_asked_longest_ago_makes_room(start: Start, models: Path) -> None:
    server = start(models=models, workers=1, memory_budget="4Mi")
    assert loaded(server) == {"small"}
    for name in ("m0", "m1", "m2", "m3", "m0", "m4"):
        assert server.predict(name, [0]).status == 200
    assert loaded(server) == {"small", "m0", "m2", "m3", "m4"}
    assert server.predict("m1", [0]).status == 200
    assert loaded(server) == {"small", "m0", "m1", "m3", "m4"}
    found = server.metrics()
    assert (found["slipway_lazy_loads_total{}"], found["slipway_models_let_go_total{}"]) == (6, 2)
    assert 4 * MEGABYTE < found["slipway_lazy_models_bytes{}"] < 4.1 * MEGABYTE


@pytest.mark.parametrize("name", ["large", "packed"])
def test_what_cannot_fit_is_refused_with_a_sentence(start: Start, models: Path, name: str) -> None:
    server = start(models=models, workers=2, memory_budget="10MB")
    answer = server.predict(name, [0])
    assert answer.status == 503
    assert "It has 8.0 MB, and each worker's share of SLIPWAY_MEMORY_BUDGET is 5.0 MB" in answer.json()["detail"]
    assert server.predict("m0", [0]).status == 200


@pytest.mark.parametrize("execution", ["inline", "thread"])
def test_no_request_fails_while_models_come_and_go(start: Start, models: Path, execution: str) -> None:
    server = start(models=models, workers=1, memory_budget="2100000", execution=execution)

    async def run() -> list[Load]:
        loads = [
            Load("127.0.0.1", server.port, post(f"/models/m{place}/predict", {"instances": [[0]]}), connections=4)
            for place in range(6)
        ]
        for load in loads:
            await load.__aenter__()
        await asyncio.gather(*(load.until(load.total + 30) for load in loads))
        for load in loads:
            await load.__aexit__(None, None, None)
        return loads

    for load in asyncio.run(run()):
        assert (set(load.answers), load.failures.total()) == ({200}, 0)
    assert server.metrics()["slipway_models_let_go_total{}"] >= 4
    assert server.metrics()["slipway_lazy_models_bytes{}"] <= 2_100_000

"""Workers that are killed, hang, come and go; and what they leave behind, which is nothing."""

import asyncio
import http.client
import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import joblib
import lightgbm
import pytest
import xgboost
from sklearn.datasets import load_iris
from sklearn.ensemble import HistGradientBoostingClassifier

from tests.server.conftest import Start, bare
from tests.server.estimators import Held
from tests.server.running import Server, children, running
from tests.support.load import Connection, Load, get, post

FLOWER = [5.1, 3.5, 1.4, 0.2]
SUCCESSES = 'slipway_http_request_duration_seconds_count{method="POST",route="/predict",status="200"}'
RESTARTS = "slipway_worker_restarts_total{}"
WORKERS = "slipway_workers{}"


async def condition(holds: Callable[[], bool], seconds: float = 60.0) -> None:
    async with asyncio.timeout(seconds):
        while not await asyncio.to_thread(holds):
            await asyncio.sleep(0.05)


def predict_load(server: Server, connections: int) -> Load:
    return Load("127.0.0.1", server.port, post("/predict", {"features": FLOWER}), connections=connections)


def held(server: Server) -> list[int]:
    """Open connections of the workers in the slots 0 and 1."""
    total = server.board.total_connections()
    first = server.board.fewest_connections(besides=1)
    return [0, total] if first is None else [first, total - first]


def test_connections_are_shared_out_evenly(start: Start) -> None:
    server = start()

    async def run() -> None:
        async with predict_load(server, 64) as load:
            await load.until(500)
            await condition(lambda: sum(held(server)) == 64 and min(held(server)) >= 20)

    asyncio.run(run())


def test_a_worker_that_joins_later_gets_its_share_without_a_failed_request(start: Start) -> None:
    server = start(workers=1)

    async def run() -> Load:
        async with predict_load(server, 64) as load:
            await load.until(200)
            server.signal(signal.SIGTTIN)
            await condition(lambda: server.metrics()[WORKERS] == 2 and min(held(server)) >= 20)
        return load

    load = asyncio.run(run())
    assert (set(load.answers), load.failures.total()) == ({200}, 0)
    assert load.told_to_close > 0


def test_a_killed_worker_under_load_costs_its_own_requests_alone_and_no_metric_runs_backwards(start: Start) -> None:
    server = start()
    files = server.metric_files()
    seen: list[dict[str, float]] = []

    def sample() -> bool:
        try:
            seen.append(server.metrics())
        except (OSError, http.client.HTTPException):  # of the worker that is dying
            return False
        return True

    async def run() -> Load:
        async with predict_load(server, 16) as load:
            await load.until(200)
            for kills in (1, 2, 3):
                sample()
                os.kill(server.workers()[0], signal.SIGKILL)
                wanted = kills, 2
                await condition(lambda: sample() and (seen[-1][RESTARTS], seen[-1][WORKERS]) == wanted)  # noqa: B023
                await condition(server.is_ready)
                await load.until(load.total + 200)
        return load

    load = asyncio.run(run())
    sample()
    assert set(load.answers) == {200}
    assert load.failures.total() <= 3 * 16
    assert load.answers[200] <= seen[-1][SUCCESSES] <= load.answers[200] + load.failures.total()
    for earlier, later in pairwise(seen):
        for name, value in earlier.items():
            if "_total{" in name or "_count{" in name or "_sum{" in name or "_bucket{" in name:
                assert later[name] >= value, name
    assert [name for name in server.metric_files() if name not in files] == []
    assert len(server.logged("was sent SIGKILL")) == 3


def test_the_pod_is_unready_from_a_workers_death_until_its_successor_has_answered(start: Start, tmp_path: Path) -> None:
    folder, closed = tmp_path / "models", tmp_path / "closed"
    bare(folder, "held", Held(str(closed)).fit())
    server = start(models=folder)
    closed.touch()  # the successor's warm-up waits
    os.kill(server.workers()[1], signal.SIGKILL)
    server.until(
        lambda: server.get("/ready").json().get("error") == "1 of 2 workers have answered their models' example rows"
    )
    assert not server.is_ready()
    closed.unlink()
    server.until(server.is_ready)
    assert server.metrics()[RESTARTS] == 1
    assert server.metrics()[WORKERS] == 2


def test_a_hung_worker_is_replaced_and_the_log_says_so_once(start: Start) -> None:
    server = start(request_timeout=0.5)
    workers = server.workers()
    with ThreadPoolExecutor(1) as pool:
        hanging = pool.submit(server.predict, "blocking", [100, 0], 60)
        server.until(lambda: len(set(workers) & set(server.workers())) == 1)
        assert server.predict("iris", FLOWER).status == 200
        assert isinstance(hanging.exception(), OSError)
    server.until(server.is_ready)
    assert server.metrics()[WORKERS] == 2
    assert len(server.logged("WORKER TIMEOUT")) == 1
    assert len(server.logged("was sent SIGABRT")) == 1


def test_workers_can_be_added_and_taken_away(start: Start) -> None:
    server = start()
    server.signal(signal.SIGTTIN)
    server.until(lambda: server.metrics()[WORKERS] == 3 and server.is_ready())
    assert server.board.expected == 3
    server.signal(signal.SIGTTOU)
    server.until(lambda: server.metrics()[WORKERS] == 2 and server.is_ready())
    assert server.board.expected == 2
    assert server.metrics()[RESTARTS] == 0


def descendants(server: Server) -> list[int]:
    """The workers, and their children that compute."""
    workers = server.workers()
    return workers + [child for worker in workers for child in children(worker)]


@pytest.fixture
def with_processes(start: Start) -> Server:
    """A server whose every worker has a child that has predicted."""
    # On a busy machine a child takes long to import everything.
    server = start(execution="process", request_timeout=100)
    server.until(lambda: all(len(children(worker)) >= 1 for worker in server.workers()))
    return server


def test_the_children_of_a_killed_worker_die_with_it(with_processes: Server) -> None:
    worker = with_processes.workers()[0]
    inherited = children(worker)
    os.kill(worker, signal.SIGKILL)
    with_processes.until(lambda: running([worker, *inherited]) == [])
    with_processes.until(with_processes.is_ready)
    assert with_processes.predict("iris", FLOWER).status == 200


def test_a_killed_master_leaves_nobody_behind(with_processes: Server) -> None:
    family = descendants(with_processes)
    assert len(family) >= 4
    with_processes.process.kill()
    with_processes.process.wait()
    deadline = time.monotonic() + 60
    while left := running(family):
        assert time.monotonic() < deadline, left
        time.sleep(0.05)


def test_a_stopped_server_leaves_nobody_behind(with_processes: Server) -> None:
    family = descendants(with_processes)
    with_processes.signal(signal.SIGTERM)
    assert with_processes.process.wait(20) == 0
    assert running(family) == []


@pytest.mark.parametrize("threads", ["1", "2"])  # with one, OpenMP starts none that a fork could lose
def test_models_with_openmp_answer_in_forked_workers(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, threads: str
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", threads)
    flowers, species = load_iris(return_X_y=True)
    folder = tmp_path / "models"
    for name, estimator in {
        "hist": HistGradientBoostingClassifier(max_iter=5),
        "xgb": xgboost.XGBClassifier(n_estimators=5),
        "lgbm": lightgbm.LGBMClassifier(n_estimators=5, verbose=-1),
    }.items():
        bare(folder, name, estimator.fit(flowers, species))
    server = start(models=folder, execution="inline")  # in the thread that forked: it has what the fork lost
    for name in ("hist", "xgb", "lgbm"):
        expected = joblib.load(folder / name / "1" / "model.joblib").predict(flowers[:1])[0]
        for _ in range(6):  # more than there are workers
            answer = server.predict(name, list(flowers[0]), timeout=20)
            assert (answer.status, answer.json()["prediction"]) == (200, expected)


def test_a_thousand_short_connections_are_all_answered(server: Server) -> None:
    async def one() -> int:
        connection = await Connection.open("127.0.0.1", server.port)
        answer = await connection.ask(get("/health"))
        connection.close()
        return answer.status

    async def run() -> list[int]:
        return [status for _ in range(20) for status in await asyncio.gather(*(one() for _ in range(50)))]

    assert asyncio.run(run()) == [200] * 1000

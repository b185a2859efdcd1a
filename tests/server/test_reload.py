"""A reload, at SIGHUP or because files have changed: new models without a failed request, and the old ones where the
new are refused.
"""

import asyncio
import os
import shutil
import signal
from pathlib import Path

import joblib
import pytest
from sklearn.dummy import DummyClassifier

from tests.server.conftest import Start, bare
from tests.server.estimators import Deaf, HeldInAWorker, SlowTheSecondTime, WickedToLoad
from tests.server.running import Server
from tests.server.test_workers import RESTARTS, WORKERS, condition
from tests.support.load import Load, get, post


def put(folder: Path, version: str, answer: int) -> None:
    """A model `constant` that answers so; appears all at once."""
    estimator = DummyClassifier(strategy="constant", constant=answer).fit([[0.0], [1.0], [2.0]], [0, 1, 2])
    directory = folder / f".{version}"
    directory.mkdir(parents=True)
    joblib.dump(estimator, directory / "model.joblib")
    (folder / "constant").mkdir(exist_ok=True)
    directory.rename(folder / "constant" / version)


@pytest.fixture
def constant(tmp_path: Path) -> Path:
    put(tmp_path / "models", "1", 1)
    return tmp_path / "models"


def answer(server: Server) -> int:
    prediction: int = server.ask("POST", "/predict", {"features": [0.0]}).json()["prediction"]
    return prediction


def test_a_new_version_is_served_without_one_failed_request_or_unready_moment(start: Start, constant: Path) -> None:
    server = start(models=constant)
    workers = server.workers()
    put(constant, "2", 2)
    assert answer(server) == 1

    async def run() -> tuple[Load, Load]:
        predict = post("/predict", {"features": [0.0]})
        async with (
            Load("127.0.0.1", server.port, predict, connections=32) as load,
            Load("127.0.0.1", server.port, get("/ready"), connections=2, pause=0.02) as probes,
        ):
            await load.until(300)
            server.signal(signal.SIGHUP)
            await condition(lambda: not set(workers) & set(server.workers()))
            await load.until(load.total + 300)
        return load, probes

    load, probes = asyncio.run(run())
    assert (set(load.answers), load.failures.total()) == ({200}, 0)
    assert (set(probes.answers), probes.failures.total()) == ({200}, 0)
    assert {answer(server) for _ in range(6)} == {2}
    metrics = server.metrics()
    assert metrics[WORKERS] == 2
    assert metrics[RESTARTS] == 0
    assert metrics['slipway_model_state{model="constant",state="ready",version="2"}'] == 2
    successes = 'slipway_http_request_duration_seconds_count{method="POST",route="/predict",status="200"}'
    assert metrics[successes] == load.answers[200] + 7


def test_a_version_that_is_gone_is_gone_from_the_metrics_too(start: Start, constant: Path) -> None:
    put(constant, "2", 2)
    server = start(models=constant)
    shutil.rmtree(constant / "constant" / "2")
    server.signal(signal.SIGHUP)
    gone = 'slipway_model_state{model="constant",state="ready",version="2"}'
    server.until(lambda: gone not in server.metrics())
    assert {answer(server) for _ in range(6)} == {1}


def test_a_folder_that_cannot_be_read_leaves_the_old_models_serving(start: Start, constant: Path) -> None:
    server = start(models=constant)
    workers = server.workers()
    (constant / "models.toml").write_text("[constant]\nversoin = 2\n")
    server.signal(signal.SIGHUP)
    server.until(lambda: server.logged("the models stay as they are") != [])
    [line] = server.logged("the models stay as they are")
    assert line["level"] == "error"
    assert "versoin" in line["message"]
    assert server.workers() == workers
    assert server.is_ready()
    assert answer(server) == 1
    (constant / "models.toml").unlink()
    put(constant, "2", 2)
    server.signal(signal.SIGHUP)
    server.until(lambda: not set(workers) & set(server.workers()))
    assert answer(server) == 2


def test_models_that_never_come_up_are_replaced_by_the_next_signal(
    start: Start, constant: Path, tmp_path: Path
) -> None:
    server = start(models=constant)
    bare(constant, "held", HeldInAWorker(str(tmp_path / "closed")).fit())
    (constant / "models.toml").write_text("[constant]\ndefault = true\n")
    (tmp_path / "closed").touch()
    server.signal(signal.SIGHUP)
    server.until_workers(4)
    assert answer(server) == 1
    assert server.is_ready(), "the old workers serve on"
    (constant / "models.toml").unlink()
    shutil.rmtree(constant / "held")
    put(constant, "2", 2)
    server.signal(signal.SIGHUP)
    server.until(lambda: answer(server) == 2)
    server.until(lambda: len(server.workers()) == 2 and server.is_ready())
    assert {answer(server) for _ in range(6)} == {2}


def test_a_new_worker_that_dies_during_a_reload_is_replaced_by_one_with_the_new_models(
    start: Start, constant: Path, tmp_path: Path
) -> None:
    server = start(models=constant)
    old = server.workers()
    put(constant, "2", 2)
    bare(constant, "held", HeldInAWorker(str(tmp_path / "closed")).fit())
    (constant / "models.toml").write_text("[constant]\ndefault = true\n")
    (tmp_path / "closed").touch()  # the new ones wait in their warm-up
    server.signal(signal.SIGHUP)
    server.until_workers(4)
    os.kill(server.workers()[-1], signal.SIGKILL)
    (tmp_path / "closed").unlink()
    server.until_workers(2, without=old)
    server.until(server.is_ready)
    assert {answer(server) for _ in range(6)} == {2}


@pytest.fixture
def mended(tmp_path: Path) -> Path:
    """As long as this file is there, `deadly` does nothing of the sort."""
    (tmp_path / "mended").touch()
    return tmp_path / "mended"


def deadly(folder: Path, does: str, mended: Path) -> None:
    bare(folder, "deadly", WickedToLoad(does, str(mended)).fit())
    (folder / "models.toml").write_text("[constant]\ndefault = true\n[deadly]\noptional = true\n")


def test_while_a_model_hangs_in_a_reload_workers_are_replaced_and_a_stop_is_heard(
    start: Start, constant: Path, mended: Path
) -> None:
    server = start(models=constant, load_timeout=600)
    mended.unlink()
    deadly(constant, "sleep", mended)
    workers = server.workers()
    server.signal(signal.SIGHUP)
    server.until_workers(3)  # and who loads the new ones
    os.kill(workers[0], signal.SIGKILL)
    server.until_workers(3, without=workers[:1])
    server.until(server.is_ready)
    assert answer(server) == 1
    server.signal(signal.SIGTERM)
    assert server.process.wait(20) == 0


@pytest.mark.parametrize("does", ["sleep", "exit 0", "crash"])
def test_a_model_that_hangs_or_ends_its_process_in_a_reload_is_refused_and_the_others_are_served(
    start: Start, constant: Path, mended: Path, does: str
) -> None:
    server = start(models=constant, load_timeout=2)
    workers = server.workers()
    mended.unlink()
    deadly(constant, does, mended)
    put(constant, "2", 2)
    server.signal(signal.SIGHUP)
    server.until(lambda: not set(workers) & set(server.workers()))
    assert server.is_ready()
    assert answer(server) == 2
    [deadly_one] = server.get("/models/deadly").json()["versions"]
    assert deadly_one["state"] == "failed"
    assert "it has not been loaded" in deadly_one["refused"] or "ended the process" in deadly_one["refused"]
    workers = server.workers()
    mended.touch()
    server.signal(signal.SIGHUP)
    server.until(lambda: not set(workers) & set(server.workers()))
    assert server.get("/models/deadly").json()["versions"][0]["refused"] is None


def test_a_stop_is_heard_while_the_master_loads_what_another_process_could(
    start: Start, constant: Path, tmp_path: Path
) -> None:
    seen, again = tmp_path / "seen", tmp_path / "seen-again"
    server = start(models=constant)
    bare(constant, "slow", SlowTheSecondTime(str(seen)).fit())
    (constant / "models.toml").write_text("[constant]\ndefault = true\n")
    server.signal(signal.SIGHUP)
    server.until(again.exists)
    server.signal(signal.SIGTERM)
    assert server.process.wait(20) == 0


def test_signals_that_a_model_has_changed_in_a_reload_are_heard_as_before(
    start: Start, constant: Path, tmp_path: Path
) -> None:
    server = start(models=constant)
    workers = server.workers()
    (tmp_path / "deaf").touch()
    bare(constant, "deaf", Deaf(str(tmp_path / "deaf")).fit())
    (constant / "models.toml").write_text("[constant]\ndefault = true\n")
    server.signal(signal.SIGHUP)
    server.until_workers(2, without=workers)
    [first, _] = server.workers()
    os.kill(first, signal.SIGKILL)
    server.until_workers(2, without=[first])
    server.until(server.is_ready)
    server.signal(signal.SIGTERM)
    assert server.process.wait(20) == 0

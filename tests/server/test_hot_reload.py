"""A new version in the folder is tried, and served or refused, while the old one answers."""

import asyncio
import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyClassifier, DummyRegressor

from slipway.packing.pack import pack
from tests.server.conftest import Start
from tests.server.estimators import StuckInAWorker, WickedToLoad
from tests.server.running import Server
from tests.support.load import Load, post

FRAME = pd.DataFrame({"age": [31.0, 47.0, 52.0], "tenure": [1.0, 2.0, 11.0]})
ROW = {"age": 31.0, "tenure": 2.0}
SLIPWAY = Path(sys.executable).with_name("slipway")
SWAPS = int(os.environ.get("SWAPS", "5"))


def put(
    models: Path, version: str, answer: float, columns: list[str] | None = None, change: Callable[[Path], None] = id
) -> None:
    """Packs `churn`, which always answers so, beside the folder, changes what it wants of it, and moves it there."""
    frame = FRAME if columns is None else FRAME.assign(**dict.fromkeys(columns, 0.0))[columns]
    beside = models.parent / "packed"
    beside.mkdir(exist_ok=True)
    joblib.dump(DummyRegressor(strategy="constant", constant=answer).fit(frame, [0.0, 1.0, 2.0]), beside / "m.joblib")
    pack(beside / "m.joblib", name="churn", version=version, data=frame, output=beside, force=True)
    change(beside / "churn" / version)
    (models / "churn").mkdir(parents=True, exist_ok=True)
    shutil.rmtree(models / "churn" / version, ignore_errors=True)
    (beside / "churn" / version).rename(models / "churn" / version)


@pytest.fixture
def models(tmp_path: Path) -> Path:
    put(tmp_path / "models", "1", 1.0)
    return tmp_path / "models"


@pytest.fixture
def server(start: Start, models: Path) -> Server:
    return start(models=models, reload_interval=0.2, load_timeout=3)


def answer(server: Server) -> tuple[str, float]:
    """The version that answered, and what."""
    found = server.ask("POST", "/models/churn/predict", ROW)
    assert found.status == 200, found
    return found.headers["x-model-version"], found.json()["prediction"]


def version(server: Server, name: str) -> dict[str, Any]:
    versions = server.get("/models/churn").json()["versions"]
    found: dict[str, Any] = next((each for each in versions if each["version"] == name), {})
    return found


def test_a_version_that_appears_is_served_without_a_signal_or_a_failed_request(server: Server, models: Path) -> None:
    async def run() -> Load:
        async with Load("127.0.0.1", server.port, post("/models/churn/predict", ROW), connections=32) as load:
            await load.until(200)
            put(models, "2", 2.0)
            while await asyncio.to_thread(answer, server) != ("2", 2.0):
                await asyncio.sleep(0.05)
            await load.until(load.total + 300)
        return load

    load = asyncio.run(run())
    assert (set(load.answers), load.failures.total()) == ({200}, 0)
    server.until(lambda: {answer(server) for _ in range(6)} == {("2", 2.0)})


def corrupt(directory: Path) -> None:
    (directory / "model.joblib").write_bytes(b"no model")


def of_another_scikit_learn(directory: Path) -> None:
    manifest = json.loads((directory / "manifest.json").read_text())
    manifest["libraries"]["scikit-learn"] = "1.0.2"
    (directory / "manifest.json").write_text(json.dumps(manifest))


def failing_its_examples(directory: Path) -> None:
    manifest = json.loads((directory / "manifest.json").read_text())
    for example in manifest["examples"]:
        example["prediction"] += 1
    (directory / "manifest.json").write_text(json.dumps(manifest))


def without_sense(directory: Path) -> None:
    (directory / "manifest.json").write_text("{")


def loading(estimator: Any) -> Callable[[Path], None]:
    def change(directory: Path) -> None:
        (directory / "manifest.json").unlink()
        joblib.dump(estimator, directory / "model.joblib")

    return change


BAD: dict[str, tuple[Callable[[Path], None], str]] = {
    "corrupt": (corrupt, "is not the file that was packed"),
    "another scikit-learn": (of_another_scikit_learn, "Packed with scikit-learn 1.0.2"),
    "other answers": (failing_its_examples, "example"),
    "no manifest": (without_sense, "manifest.json"),
    "crashes": (loading(WickedToLoad("crash").fit()), "it ended the process that tried it (signal"),
    "exits": (loading(WickedToLoad("exit 0").fit()), "it ended the process that tried it"),
    "hangs": (loading(WickedToLoad("sleep").fit()), "it has not been loaded and asked within 3 s"),
    "never answers": (loading(StuckInAWorker().fit()), "it has not been loaded and asked within 3 s"),
}


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("in_place", [False, True], ids=["new version", "in place"])
def test_a_bad_version_is_refused_with_its_reason_and_the_old_one_answers(
    server: Server, models: Path, bad: str, in_place: bool
) -> None:
    change, reason = BAD[bad]
    name = "1" if in_place else "2"
    workers = server.workers()
    put(models, name, 3.0, change=change)
    server.until(lambda: not set(workers) & set(server.workers()))
    ready = server.get("/ready")
    assert ready.status == 200, ready.body
    assert reason in version(server, name)["refused"]
    assert version(server, name)["state"] == ("ready" if in_place else "failed")
    assert server.metrics()['slipway_reloads_total{outcome="refused"}'] >= 1
    assert {answer(server) for _ in range(4)} == {("1", 1.0)}
    put(models, name, 4.0)
    server.until(lambda: answer(server) == (name, 4.0))
    server.until(lambda: version(server, name)["refused"] is None and server.is_ready())


@pytest.mark.parametrize("columns", [["age", "tenure", "income"], ["age"], ["tenure", "age"]])
def test_a_version_that_its_callers_could_not_call_is_refused_unless_that_is_allowed(
    server: Server, models: Path, columns: list[str]
) -> None:
    workers = server.workers()
    put(models, "2", 2.0, columns)
    server.until(lambda: not set(workers) & set(server.workers()))
    assert "who calls churn 1 cannot call it" in version(server, "2")["refused"]
    assert answer(server) == ("1", 1.0)
    (models / "models.toml").write_text("[churn]\nsignature_change = true\n")
    server.until(lambda: version(server, "2").get("state") == "ready" and version(server, "2")["default"])


def test_a_version_is_pinned_and_rolled_back_while_the_server_runs(server: Server, models: Path) -> None:
    put(models, "2", 2.0)
    server.until(lambda: answer(server) == ("2", 2.0))
    for command, now in (("models pin churn 1", 1.0), ("models unpin churn", 2.0), ("rollback churn", 1.0)):
        subprocess.run([SLIPWAY, *command.split(), "--models", models], check=True)
        server.until(lambda now=now: answer(server) == (f"{now:.0f}", now))
    (models / "models.toml").unlink()
    server.until(lambda: answer(server) == ("2", 2.0))
    shutil.rmtree(models / "churn" / "2")
    server.until(lambda: answer(server) == ("1", 1.0) and version(server, "2") == {})


class Follower:
    """Asks on one connection after the other, and sees to it that an answer is of the version that it names and that no
    connection goes back to an older one.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self.answers = 0
        self.connections = 0

    async def run(self) -> None:
        body = json.dumps(ROW).encode()
        head = b"POST /models/churn/predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        request = head + b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
        while True:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            self.connections += 1
            newest, is_open = 0, True
            with contextlib.closing(writer):
                while is_open:
                    writer.write(request)
                    lines = (await reader.readuntil(b"\r\n\r\n")).decode().lower().split("\r\n")
                    fields = dict(line.split(": ", 1) for line in lines[1:] if line)
                    answer = json.loads(await reader.readexactly(int(fields["content-length"])))
                    named = int(fields["x-model-version"])
                    assert (lines[0], answer["prediction"]) == ("http/1.1 200 ok", named), (lines, answer)
                    assert named >= newest, f"a connection went from version {newest} to {named}"
                    newest, is_open = named, fields.get("connection") != "close"
                    self.answers += 1


def memory(server: Server) -> int:
    """Of the master and its workers, in KiB, what they share counted once."""
    pids = [server.process.pid, *server.workers()]
    texts = [Path(f"/proc/{pid}/smaps_rollup").read_text() for pid in pids]
    return sum(int(line.split()[1]) for text in texts for line in text.splitlines() if line.startswith("Pss:"))


def test_swap_after_swap_no_request_fails_no_connection_goes_back_and_no_memory_stays(
    start: Start, models: Path
) -> None:
    for place in range(39):
        directory = models / f"other{place}" / "1"
        directory.mkdir(parents=True)
        joblib.dump(DummyRegressor().fit([[0.0]], [0.0]), directory / "model.joblib")
    server = start(models=models, reload_interval=0.2)
    followers = [Follower(server.port) for _ in range(64)]
    seen: list[int] = []

    async def run() -> None:
        following = asyncio.gather(*[follower.run() for follower in followers])
        for number in range(2, 2 + SWAPS):
            await asyncio.to_thread(put, models, str(number), float(number))
            while await asyncio.to_thread(answer, server) != (str(number), float(number)):
                await asyncio.sleep(0.05)
            if number in (3, 1 + SWAPS):
                await asyncio.to_thread(server.until, lambda: len(server.workers()) == 2 and server.is_ready())
                seen.append(memory(server))
            if number > 3:
                shutil.rmtree(models / "churn" / str(number - 2))
        assert not following.done(), following.exception()
        following.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await following

    asyncio.run(run())
    assert min(follower.connections for follower in followers) >= SWAPS
    assert seen[-1] <= 1.05 * seen[0]


def test_only_what_has_changed_is_loaded(start: Start, models: Path) -> None:
    estimator = DummyClassifier(strategy="prior").fit(np.zeros((3, 1)), [0, 1, 1])
    (models / "other" / "1").mkdir(parents=True)
    joblib.dump(estimator, models / "other" / "1" / "model.joblib")
    server = start(models=models, reload_interval=0.2)
    put(models, "2", 2.0)
    server.until(lambda: answer(server) == ("2", 2.0))
    loaded = [line["message"].partition(" (")[0] for line in server.logged("loading model ")]
    assert loaded == ["loading model churn 1", "loading model other 1", "loading model churn 2"]

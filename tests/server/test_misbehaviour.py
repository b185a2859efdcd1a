"""Models that raise what no model should, end their process or never return: what it costs the others, and what is
said of it.
"""

import http.client
import json
import os
import signal
import socket
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from slipway.engine.engine import GRACE
from tests.server.conftest import Start, bare
from tests.server.estimators import ENDS, PARALLEL, RAISES, Wicked, row
from tests.server.running import Answer, Server, children
from tests.support import estimators

GOOD = [0.0, 0.0]
MODES = ["inline", "thread", "process"]


def folder_of(folder: Path, executions: dict[str, str]) -> Path:
    """Wicked models by name, and how each is run; and `good`, the default."""
    for name in executions:
        bare(folder, name, Wicked().fit())
    bare(folder, "good", estimators.Stub().fit())
    tables = [
        f'[{name}]\nexecution = "{execution}"\nbatching = {str(name != "alone").lower()}\n'
        for name, execution in executions.items()
    ]
    (folder / "models.toml").write_text("".join(tables) + "[good]\ndefault = true\n")
    return folder


@pytest.fixture(scope="module")
def wicked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that blocks the event loop, and two that are run in threads; the calls of `alone` are not joined."""
    return folder_of(tmp_path_factory.mktemp("wicked"), {"inline": "inline", "thread": "thread", "alone": "thread"})


@pytest.fixture(scope="module")
def in_children(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return folder_of(tmp_path_factory.mktemp("children"), {"process": "process"})


@pytest.fixture(scope="module")
def raising(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    models = folder_of(tmp_path_factory.mktemp("raising"), {mode: mode for mode in MODES})
    with Server(models, tmp_path_factory.mktemp("server"), request_timeout=100) as server:
        yield server


ENDING = {f"{mode}-{does}".replace(" ", "-"): (mode, does) for mode in ("inline", "thread") for does in ENDS}


@pytest.fixture(scope="module")
def ending(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A model for each way to end, for who does it several times is set aside."""
    models = folder_of(tmp_path_factory.mktemp("ending"), {name: mode for name, (mode, _) in ENDING.items()})
    with Server(models, tmp_path_factory.mktemp("server"), request_timeout=100) as server:
        yield server


def lost(server: Server, model: str, reason: str) -> float:
    return server.metrics().get(f'slipway_inferences_lost_total{{model="{model}",reason="{reason}",version="1"}}', 0)


def attempt(server: Server, model: str, features: list[float], timeout: float = 60) -> int:
    """The status of the answer; 0 where the connection was cut instead."""
    try:
        return server.predict(model, features, timeout).status
    except (OSError, http.client.HTTPException):
        return 0


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("does", RAISES)
def test_whatever_a_model_raises_is_a_500_that_is_logged_and_counted_and_ends_nothing(
    raising: Server, mode: str, does: str
) -> None:
    series = f'slipway_inference_errors_total{{model="{mode}",version="1"}}'
    before, workers, logged = raising.metrics()[series], raising.workers(), len(raising.logged("inference failed"))
    answer = raising.predict(mode, row(does))
    assert (answer.status, answer.json()["type"]) == (500, "urn:slipway:inference_failed")
    assert raising.metrics()[series] == before + 1
    line = raising.logged("inference failed")[logged]
    assert line["request_id"] == answer.headers["x-request-id"]
    assert does in line["exception"]
    assert raising.predict(mode, GOOD).status == 200
    assert raising.workers() == workers


@pytest.mark.parametrize("name", ENDING)
def test_a_model_that_ends_its_process_costs_one_worker_and_the_server_goes_on(ending: Server, name: str) -> None:
    workers = ending.workers()
    assert attempt(ending, name, row(ENDING[name][1])) == 0
    ending.until(lambda: lost(ending, name, "died") == 1)
    ending.until(lambda: len(ending.workers()) == 2 and ending.is_ready())
    assert len(set(workers) & set(ending.workers())) == 1
    [line] = ending.logged(f"model {name} 1 (predict): it ended its process")
    assert len(line["request_ids"]) == 1
    assert attempt(ending, name, GOOD) == 200


def test_a_model_that_ends_worker_after_worker_is_set_aside_and_the_others_are_served(
    start: Start, wicked: Path
) -> None:
    server = start(models=wicked, request_timeout=100)
    for strikes in (1, 2, 3):
        assert attempt(server, "inline", row("exit 3")) == 0
        server.until(lambda: lost(server, "inline", "died") == strikes and len(server.workers()) == 2)  # noqa: B023
    # Each worker reads on the board for itself what is set aside.
    sentence = "set aside: 3 times within 10 minutes it ended its process"
    server.until(lambda: sentence in server.predict("inline", GOOD).json().get("detail", ""))
    server.until(lambda: attempt(server, "good", GOOD) == 200)
    assert "model inline 1: set aside" in server.get("/ready").json()["error"]
    before = set(server.workers())
    server.signal(signal.SIGHUP)  # as after the model was mended
    server.until(lambda: not before & set(server.workers()) and server.is_ready())  # the old ones go on for a moment
    assert attempt(server, "inline", GOOD) == 200


def hang(server: Server, model: str) -> tuple[int, float]:
    """Lets an inference hang; the status of its answer, and the time at which its deadline was."""
    started = time.monotonic()
    deadline = float(server._environment["SLIPWAY_REQUEST_TIMEOUT"])
    return attempt(server, model, row("sleep")), started + deadline


@pytest.mark.parametrize("mode", [*MODES, "alone"])
def test_an_inference_that_never_returns_is_replaced_and_good_rows_are_answered_again(
    start: Start, wicked: Path, in_children: Path, mode: str
) -> None:
    began = time.monotonic()
    server = start(models=in_children if mode == "process" else wicked, request_timeout=3, workers=1, threads=1)
    to_start = time.monotonic() - began
    server.until(lambda: attempt(server, mode, GOOD) == 200)  # a child has loaded it
    [worker] = server.workers()
    inherited = children(worker)
    status, deadline = hang(server, mode)
    server.until(lambda: lost(server, mode, "hung") == 1)
    server.until(lambda: attempt(server, mode, GOOD, 5) == 200)
    within = time.monotonic() - deadline
    assert status == (0 if mode == "inline" else 504)
    if mode == "process":
        assert server.workers() == [worker]
        assert set(inherited) - set(children(worker)), "the child is another"
    else:
        server.until_workers(1, without=[worker])
    server.until(server.is_ready)
    [line] = [line for line in server.log() if line.get("request_ids")]
    assert f"model {mode} 1 (predict): it" in line["message"]
    assert within < GRACE + 10 + to_start, within  # on a busy machine nothing is started quickly, a child neither
    assert server.metrics()["slipway_worker_restarts_total{}"] == (1 if mode == "inline" else 0)


@pytest.mark.parametrize("mode", ["thread", "process"])
def test_while_one_hangs_nobody_else_is_failed(start: Start, wicked: Path, in_children: Path, mode: str) -> None:
    server = start(models=in_children if mode == "process" else wicked, request_timeout=3, workers=1)
    server.until(lambda: attempt(server, mode, GOOD) == 200)
    statuses: Counter[int] = Counter()
    with ThreadPoolExecutor(1) as pool:
        hanging = pool.submit(hang, server, mode)
        while lost(server, mode, "hung") == 0:
            statuses[attempt(server, "good", GOOD)] += 1
        assert hanging.result()[0] == 504
        for _ in range(50):  # through the replacement
            statuses[attempt(server, "good", GOOD)] += 1
            time.sleep(0.05)
    assert set(statuses) == {200}


def test_a_model_that_hangs_again_and_again_is_set_aside(start: Start, wicked: Path) -> None:
    server = start(models=wicked, request_timeout=1)
    for strikes in (1, 2, 3):
        workers = server.workers()
        assert hang(server, "thread")[0] == 504
        server.until(lambda: lost(server, "thread", "hung") == strikes)  # noqa: B023
        # A worker that is told to finish is not asked what hangs in it.
        server.until(lambda: len(now := server.workers()) == 2 and now != workers)  # noqa: B023
    server.until(lambda: attempt(server, "thread", GOOD) == 503)
    server.until(lambda: attempt(server, "good", GOOD) == 200)
    assert server.logged("model thread 1 is set aside: 3 times within 10 minutes it did not return in time")


def test_hung_values_are_not_logged(start: Start, wicked: Path) -> None:
    server = start(models=wicked, request_timeout=1)
    features = [*row("sleep")[:1], 1234567.25]
    answers: list[Answer] = [server.predict("thread", features)]
    server.until(lambda: lost(server, "thread", "hung") == 1)
    text = server._log.read_text()
    assert answers[0].headers["x-request-id"] in text
    assert "1234567" not in text


def test_a_model_that_ends_its_child_process_fails_its_own_request_alone_is_counted_and_set_aside(
    start: Start, tmp_path: Path
) -> None:
    server = start(
        models=folder_of(tmp_path / "models", {"process": "process", "other": "process"}),
        workers=1,
        request_timeout=100,
    )
    server.until(lambda: attempt(server, "process", GOOD) == attempt(server, "other", GOOD) == 200)
    workers = server.workers()
    with ThreadPoolExecutor(4) as pool:
        for strikes in (1, 2, 3):
            dying = pool.submit(attempt, server, "process", row("exit 3"))
            others = [pool.submit(attempt, server, "other", GOOD) for _ in range(3)]
            assert dying.result() == 500
            assert [other.result() for other in others] == [200] * 3
            server.until(lambda: lost(server, "process", "died") == strikes)  # noqa: B023
            assert attempt(server, "other", GOOD) == 200
    line = server.logged("model process 1 (predict): it ended its child process; it exited with code 3")[0]
    assert len(line["request_ids"]) == 1
    server.until(lambda: "set aside: 3 times" in server.predict("process", GOOD).json().get("detail", ""))
    assert attempt(server, "other", GOOD) == 200
    assert lost(server, "other", "died") == 0
    assert server.workers() == workers


def everything(server: Server, model: str, does: str, seconds: float = 20.0) -> bytes:
    """What comes on a connection that the server is to close, until it is closed. Raises TimeoutError."""
    body = json.dumps({"features": row(does)})
    head = (
        f"POST /predict?model={model} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", server.port), timeout=seconds) as connection:
        connection.sendall(f"{head}{body}".encode())
        return b"".join(iter(lambda: connection.recv(65_536), b""))


@pytest.mark.parametrize("mode", MODES)
def test_a_forked_copy_of_a_worker_answers_nobody_and_ends(
    start: Start, wicked: Path, in_children: Path, mode: str
) -> None:
    server = start(models=in_children if mode == "process" else wicked, workers=1)
    server.until(lambda: attempt(server, mode, GOOD) == 200)
    workers = server.workers()
    inherited = [children(pid) for pid in [*workers, *children(workers[0])]]
    for _ in range(3):
        assert everything(server, mode, "fork").count(b"HTTP/1.1") == 1
    # The copies have ended.
    server.until(lambda: [children(pid) for pid in [*workers, *children(workers[0])]] == inherited)
    for _ in range(50):
        assert attempt(server, mode, GOOD, 5) == attempt(server, "good", GOOD, 5) == 200
    assert server.workers() == workers
    assert len(server.logged("the copy is ended")) == (0 if mode == "process" else 3)


@pytest.mark.parametrize("mode", ["inline", "thread"])
def test_a_forked_child_that_stays_keeps_no_connection_no_port_and_no_lock(
    start: Start, wicked: Path, mode: str
) -> None:
    server = start(models=wicked, workers=1, log="spooled")
    [worker] = server.workers()
    before = children(worker)
    with socket.create_connection(("127.0.0.1", server.port)) as beside:  # of another client, open at the fork
        beside.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        assert beside.recv(65_536).startswith(b"HTTP/1.1 200")
        assert everything(server, mode, "fork and stay").count(b"HTTP/1.1 200") == 1
        [child] = set(children(worker)) - set(before)
        try:
            assert attempt(server, mode, GOOD, 5) == 200
            server.signal(signal.SIGTERM)
            assert server.process.wait(30) == 0
            beside.settimeout(10)
            assert beside.recv(65_536) == b""
            again = start(models=wicked, workers=1, port=server.port, log="spooled")
            assert attempt(again, "good", GOOD) == 200
            assert not list(server.spool.glob(f"*{worker}*"))
            os.kill(child, signal.SIGTERM)  # it handles no signal as the worker does
            again.until(lambda: not Path(f"/proc/{child}").exists() or "Z" in Path(f"/proc/{child}/stat").read_text())
        finally:
            if Path(f"/proc/{child}").exists():
                os.kill(child, signal.SIGKILL)


@pytest.mark.parametrize("does", PARALLEL)
@pytest.mark.parametrize("mode", ["inline", "thread"])
def test_a_model_may_compute_in_processes_of_its_own(raising: Server, mode: str, does: str) -> None:
    workers = raising.workers()
    for _ in range(3):
        assert everything(raising, mode, does, 60).count(b"HTTP/1.1 200") == 1
    for _ in range(20):
        assert attempt(raising, mode, GOOD, 5) == 200
    assert raising.workers() == workers
    assert not raising.logged("the copy is ended")

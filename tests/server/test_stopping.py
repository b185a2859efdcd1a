"""How the server ends: by SIGTERM, by Ctrl-C, before it has begun, after `slipway drain`."""

import asyncio
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.server.conftest import Start, bare
from tests.server.estimators import Lingering, Prolific, SlowToLoad, StuckInAWorker
from tests.server.running import ROOT, Server, children, running
from tests.support.load import Connection, get, post


def in_flight(server: Server) -> bool:
    return server.metrics()["slipway_http_requests_in_flight{}"] > 0


def test_a_request_in_hand_is_answered_after_sigterm_and_the_exit_code_is_0(start: Start) -> None:
    server = start()
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(server.predict, "slow", [3, 0])
        server.until(lambda: in_flight(server))
        server.signal(signal.SIGTERM)
        assert answer.result().status == 200
        assert answer.result().headers["connection"] == "close"
    assert server.process.wait(10) == 0
    assert not server._runtime.exists()


def test_a_kept_alive_client_may_send_one_more_request_after_sigterm_and_is_told_to_go(start: Start) -> None:
    server = start()

    async def ask_before_and_after() -> None:
        connection = await Connection.open("127.0.0.1", server.port)
        before = await connection.ask(get("/health"))
        assert "connection" not in before.headers
        server.signal(signal.SIGTERM)
        while await connects(server.port):
            await asyncio.sleep(0.01)
        after = await connection.ask(get("/health"))
        assert (after.status, after.headers["connection"]) == (200, "close")
        connection.close()

    asyncio.run(ask_before_and_after())
    assert server.process.wait(10) == 0


async def connects(port: int) -> bool:
    try:
        (await Connection.open("127.0.0.1", port)).close()
    except ConnectionRefusedError:
        return False
    return True


def test_an_idle_connection_delays_the_end_by_two_seconds_at_most(start: Start) -> None:
    """By the clock of a server beside it that has none."""
    server, alone = start(), start()

    async def stay() -> float:
        connection = await Connection.open("127.0.0.1", server.port)
        await connection.ask(get("/health"))
        stopping = time.monotonic()
        server.signal(signal.SIGTERM)
        while not connection.left_by_server():
            await asyncio.sleep(0.05)
        connection.close()
        return stopping

    stopping = time.monotonic()
    alone.signal(signal.SIGTERM)
    assert alone.process.wait(30) == 0
    without = time.monotonic() - stopping
    stopping = asyncio.run(stay())
    assert server.process.wait(30) == 0
    assert time.monotonic() - stopping < 2 + 3 * max(without, 1.0)


def test_sigint_ends_at_once_and_waits_for_nobody(start: Start) -> None:
    server = start()
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(server.predict, "slow", [25, 0])
        server.until(lambda: in_flight(server))
        server.signal(signal.SIGINT)
        assert server.process.wait(10) == 0
        with pytest.raises((OSError, http.client.HTTPException)):
            answer.result()
    assert not server.logged("was sent SIGQUIT"), "its default action dumps core"


def test_sigterm_while_the_models_load_ends_with_0(start: Start, tmp_path: Path) -> None:
    folder, began = tmp_path / "models", tmp_path / "began"
    estimator = SlowToLoad(str(began), 60).fit()
    bare(folder, "slow", estimator)
    server = start(models=folder, wait=False)
    server.until(began.exists)
    server.signal(signal.SIGTERM)
    assert server.process.wait(20) == 0
    assert server.logged("stopped by SIGTERM before it served")


def test_sigterm_while_the_workers_warm_up_ends_with_0(start: Start, tmp_path: Path) -> None:
    folder = tmp_path / "models"
    bare(folder, "stuck", StuckInAWorker().fit())
    server = start(models=folder, wait=False)
    server.until_workers(2)
    server.signal(signal.SIGTERM)
    assert server.process.wait(20) == 0


def importing(pid: int) -> bool:
    """Whether the process is in the middle of importing what takes long: a part that comes early is there."""
    try:
        return "pydantic_core" in Path(f"/proc/{pid}/maps").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_that_comes_before_anything_is_imported_ends_it_without_a_traceback(
    start: Start, number: signal.Signals
) -> None:
    server = start(wait=False)
    server.until(lambda: importing(server.process.pid))
    server.signal(number)
    assert server.process.wait(20) == 0
    assert server.log() == []


def test_ctrl_c_ends_another_command_as_early_without_a_traceback(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "from slipway.cli.entry import main; main()", "check", str(tmp_path)]
    with (
        (tmp_path / "output").open("wb") as output,
        subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=output) as process,
    ):
        deadline = time.monotonic() + 20
        while not importing(process.pid):
            assert time.monotonic() < deadline
            time.sleep(0.001)
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
    assert (tmp_path / "output").read_text() == ""


def test_the_first_process_of_a_container_hears_a_signal_that_comes_as_early(models: Path, tmp_path: Path) -> None:
    server = Server(models, tmp_path, wait=False)
    server._command = ["unshare", "--pid", "--fork", "--kill-child", *server._command]
    if subprocess.run([*server._command[:4], "true"], check=False).returncode:
        pytest.skip("only root may make a PID namespace")
    with server:
        server.until(lambda: bool(children(server.process.pid)))
        [first] = children(server.process.pid)
        server.until(lambda: importing(first))
        os.kill(first, signal.SIGTERM)
        assert server.process.wait(20) == 0


def test_a_second_server_on_the_port_says_so_in_one_line_and_leaves_the_first_alone(start: Start) -> None:
    first = start()
    first.predict("iris", [5.1, 3.5, 1.4, 0.2])
    second = start(port=first.port, wait=False)
    assert second.process.wait(20) == 1
    [line] = [line for line in second.log() if line["pid"] == second.process.pid]
    assert line["level"] == "critical"
    assert line["message"] == (
        f"cannot listen on 127.0.0.1 port {first.port} (Address already in use): choose another with --host "
        "(SLIPWAY_HOST) and SLIPWAY_PORT"
    )
    assert first.is_ready()
    assert first.metrics()['slipway_predictions_total{class="setosa",model="iris",version="1"}'] == 1


def test_without_a_models_folder_it_says_so_in_one_line(start: Start, tmp_path: Path) -> None:
    server = start(models=tmp_path / "nowhere", wait=False)
    assert server.process.wait(20) == 1
    [line] = server.log()
    assert "nowhere does not exist" in line["message"]


@pytest.mark.parametrize("reload", [False, True])
def test_api_keys_that_can_never_be_read_stop_the_start(start: Start, tmp_path: Path, reload: bool) -> None:
    server = start(*(["--reload"] if reload else []), api_keys=tmp_path / "nowhere", wait=False)
    assert server.process.wait(20) == 1
    [line] = server.log()
    assert line["level"] == "critical"
    assert line["message"].startswith(
        f"SLIPWAY_API_KEYS: the keys in {tmp_path}/nowhere cannot be read (No such file or directory)"
    )


def test_a_misspelt_variable_is_a_warning_of_the_start(start: Start) -> None:
    server = start(logg="async")
    warnings = [line["message"] for line in server.log() if line["level"] == "warning"]
    assert warnings[0] == "SLIPWAY_LOGG is no setting and has no effect: did you mean SLIPWAY_LOG?"


def drain(server: Server, **settings: object) -> "subprocess.Popen[str]":
    flags = [text for name, value in settings.items() for text in (f"--{name.replace('_', '-')}", str(value))]
    command = [sys.executable, "-c", "from slipway.cli.main import main; main()", "drain", *flags]
    return subprocess.Popen(
        [*command, "--port", str(server.port)], cwd=ROOT, env=server._environment, stdout=subprocess.PIPE, text=True
    )


def test_while_draining_the_pod_is_not_ready_and_every_answer_says_close(start: Start) -> None:
    server = start()
    draining = drain(server)
    server.until(lambda: server.get("/ready").status == 503)
    assert "draining" in server.get("/ready").json()["error"]
    for _ in range(4):  # both workers
        answer = server.predict("iris", [5.1, 3.5, 1.4, 0.2])
        assert (answer.status, answer.headers["connection"]) == (200, "close")
    out, _ = draining.communicate(timeout=60)
    assert draining.returncode == 0
    assert 5.0 <= float(out.removeprefix("Drained in ").partition(" s")[0]) < 30.0  # the time that it has


def test_a_drain_outlasts_the_scrape_after_its_last_answer(start: Start) -> None:
    server = start()
    server.metrics()
    draining = drain(server)
    server.until(lambda: server.get("/ready").status == 503)
    with pytest.raises(subprocess.TimeoutExpired):  # longer than without a scraper
        draining.wait(7)
    server.predict("iris", [5.1, 3.5, 1.4, 0.2])

    def ended_after_a_scrape() -> bool:
        server.metrics()  # the first may begin before that answer is counted, by another worker
        return draining.poll() is not None

    server.until(ended_after_a_scrape)
    assert draining.communicate(timeout=20)[0].endswith(" s: no client connection is left.\n")


def test_draining_gives_up_on_a_request_that_does_not_end_and_the_log_says_so(start: Start) -> None:
    server = start()
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(server.predict, "slow", [9, 0])
        server.until(lambda: in_flight(server))
        out = drain(server, drain_timeout=6).communicate(timeout=60)[0]
        left = "1 client connections are left, 1 of them with a request in hand"
        assert out.endswith(f": {left}.\n")
        assert server.logged(f" s: {left}")
        assert answer.result().status == 200


def test_five_seconds_into_a_drain_idle_connections_are_closed_and_no_others(start: Start) -> None:
    server = start()

    async def stay() -> float:
        idle = [await Connection.open("127.0.0.1", server.port) for _ in range(4)]
        await idle[0].ask(get("/health"))
        asking = await Connection.open("127.0.0.1", server.port)
        answer = asyncio.create_task(asking.ask(post("/predict?model=slow", {"features": [8, 0]})))
        draining, began = drain(server), time.monotonic()
        while not all(connection.left_by_server() for connection in idle):
            assert not answer.done()
            assert time.monotonic() - began < 30
            await asyncio.sleep(0.05)
        closed_after = time.monotonic() - server.board.draining_since
        assert (await answer).status == 200
        for connection in (*idle, asking):
            connection.close()
        assert draining.communicate(timeout=20)[0].endswith(" s: no client connection is left.\n")
        return closed_after

    assert asyncio.run(stay()) >= 5
    server.until(lambda: server.logged("drained in ") != [])


def test_a_restarted_server_does_not_drain(start: Start) -> None:
    killed = start()
    killed.board.draining = True
    killed.until(lambda: not killed.is_ready())
    killed.process.kill()
    killed.process.wait()
    again = start(port=killed.port)
    assert again.is_ready()


def test_what_a_model_has_started_when_it_was_loaded_neither_delays_the_end_nor_changes_its_code(
    start: Start, tmp_path: Path
) -> None:
    folder = tmp_path / "models"
    bare(folder, "lingering", Lingering().fit())
    server = start(models=folder)
    server.signal(signal.SIGTERM)
    assert server.process.wait(20) == 0
    assert not server._runtime.exists()


def test_what_a_model_has_started_in_a_child_process_ends_with_it(start: Start, tmp_path: Path) -> None:
    folder, file = tmp_path / "models", tmp_path / "started"
    bare(folder, "prolific", Prolific(str(file)).fit())
    (folder / "models.toml").write_text('[prolific]\nexecution = "process"\n')
    server = start(models=folder, workers=1)
    assert server.predict("prolific", [1, 0]).status == 200
    started = int(file.read_text())
    assert running([started]) == [started]
    server.signal(signal.SIGTERM)
    assert server.process.wait(20) == 0
    assert running([started]) == []
    assert not server.logged("was sent SIGKILL")


def test_of_two_servers_that_begin_at_once_on_one_port_the_later_says_so(start: Start, tmp_path: Path) -> None:
    folder, began = tmp_path / "models", tmp_path / "began"
    bare(folder, "slow", SlowToLoad(str(began), 3).fit())
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", 0))
        server = start(models=folder, wait=False, port=other.getsockname()[1])
        server.until(began.exists)
        other.listen()
        assert server.process.wait(20) == 1
    assert "(Address already in use): choose another with" in server.log()[-1]["message"]

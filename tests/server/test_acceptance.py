"""The acceptance of the service, as far as it needs a server on this machine and nothing else."""

import asyncio
import os
import signal
import time
from itertools import pairwise
from pathlib import Path

import pytest
from sklearn.datasets import load_breast_cancer

from slipway.packing.example_models import train_and_pack
from slipway.server.timeouts import Timeouts
from slipway.settings import Settings
from tests.server.conftest import Start
from tests.server.running import Server, series
from tests.server.test_stopping import drain
from tests.server.test_workers import SUCCESSES, WORKERS
from tests.support.load import Connection, Load, get, post

PREDICT = post("/predict", {"features": [5.1, 3.5, 1.4, 0.2]})
MEBIBYTE = 1024  # in KiB


def connections_of(worker: int, port: int) -> int:
    """Open client connections of a worker, as the kernel has them."""
    established, local = "01", f":{port:04X}"
    inodes = {
        fields[9]
        for fields in map(str.split, Path("/proc/net/tcp").read_text().splitlines()[1:])
        if fields[1].endswith(local) and fields[3] == established
    }
    files = (os.readlink(entry) for entry in Path(f"/proc/{worker}/fd").iterdir())
    return sum(file.removeprefix("socket:[").removesuffix("]") in inodes for file in files)


async def watch_metrics(server: Server, seen: list[dict[str, float]]) -> None:
    while True:
        connection = await Connection.open("127.0.0.1", server.port)
        try:
            seen.append(series((await connection.ask(get("/metrics"))).body))
        except (OSError, EOFError):  # the worker that was asked has been killed
            pass
        finally:
            connection.close()
        await asyncio.sleep(0.25)


@pytest.mark.slow
def test_a_worker_killed_every_five_seconds_fails_its_own_requests_alone_and_no_count_is_lost(start: Start) -> None:
    server = start()
    seen: list[dict[str, float]] = []
    costs: list[tuple[int, int]] = []  # connections that each killed worker held, requests that failed

    async def run() -> Load:
        watching = asyncio.create_task(watch_metrics(server, seen))
        async with Load("127.0.0.1", server.port, PREDICT, connections=64) as load:
            for kill in range(6):
                await asyncio.sleep(5)
                worker = server.workers()[kill % 2]
                os.kill(worker, signal.SIGSTOP)  # so that what it holds can be counted
                held, failed = connections_of(worker, server.port), load.failures.total()
                os.kill(worker, signal.SIGKILL)
                await load.until(load.total + 500)  # by then every client has heard of it
                costs.append((held, load.failures.total() - failed))
        watching.cancel()
        return load

    load = asyncio.run(run())
    assert set(load.answers) == {200}
    assert load.answers[200] > 1000
    assert all(failed <= held for held, failed in costs), costs
    assert sum(failed for _, failed in costs) == load.failures.total(), "requests failed without a kill"
    last = server.metrics()
    assert load.answers[200] <= last[SUCCESSES] <= load.answers[200] + load.failures.total()
    assert last["slipway_worker_restarts_total{}"] == 6
    assert len(seen) > 20
    for earlier, later in pairwise([*seen, last]):
        backwards = [name for name, value in earlier.items() if is_counter(name) and later.get(name, 0) < value]
        assert not backwards
    server.until(server.is_ready)


def is_counter(series: str) -> bool:
    return series.split("{")[0].endswith(("_total", "_count", "_sum", "_bucket"))


def test_drained_clients_see_no_failed_request_and_the_server_ends_in_time(start: Start) -> None:
    server = start()

    async def run() -> Load:
        async with Load("127.0.0.1", server.port, PREDICT, connections=64) as load:
            await load.until(500)
            draining = drain(server)
            await asyncio.sleep(3)  # until every node has been told that the pod is leaving, clients come back
            load.move_away()
            await asyncio.to_thread(draining.communicate, timeout=30)
            assert draining.returncode == 0
            server.signal(signal.SIGTERM)
            return load

    load = asyncio.run(run())
    stopping = time.monotonic()
    assert server.process.wait(30) == 0
    assert time.monotonic() - stopping < Timeouts.of(Settings()).graceful
    assert (set(load.answers), load.failures.total()) == ({200}, 0)
    assert load.told_to_close >= 64


def proportional_memory(processes: list[int]) -> int:
    """KiB: shared pages count in part, by how many processes share them."""
    lines = [line.split() for pid in processes for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()]
    return sum(int(line[1]) for line in lines if line[0] == "Pss:")


def test_a_fourth_worker_costs_at_most_40_mebibytes(start: Start, tmp_path: Path) -> None:
    train_and_pack("breast-cancer", tmp_path / "models")
    server = start(models=tmp_path / "models", workers=3)
    row = post("/predict", {"features": list(load_breast_cancer().data[0])})

    async def work() -> None:
        async with Load("127.0.0.1", server.port, row, connections=16) as load:
            await load.until(400)

    def memory_at_work() -> int:
        asyncio.run(work())
        return proportional_memory([server.process.pid, *server.workers()])

    with_three = memory_at_work()
    server.signal(signal.SIGTTIN)
    server.until(lambda: server.metrics()[WORKERS] == 4 and server.is_ready())
    assert (memory_at_work() - with_three) / MEBIBYTE <= 40

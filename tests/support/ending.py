"""What the log holds when a server or a worker ends under load: the tests of SQLite and PostgreSQL are subclasses of
EndingContract.
"""

import asyncio
import json
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from slipway.prediction_log.bounds import BOUNDS
from tests.server.conftest import Start
from tests.server.running import Server, stopped
from tests.support.load import Load, post
from tests.support.logged import rows

REQUEST = post("/predict", {"features": [5.1, 3.5, 1.4, 0.2]})
DURABILITIES = ("async", "spooled", "sync")
# Seconds: after a network that was cut, the database's system may send its last packets again after so long.
PATIENCE = 90.0


def stored(url: str) -> Counter[str]:
    return Counter(rows(url, "key"))


def until_stored(url: str, keys: Iterable[str]) -> Counter[str]:
    """The keys in the table, as soon as it has all of these; fails when it does not in time."""
    deadline = time.monotonic() + PATIENCE
    while missing := set(keys) - (found := stored(url)).keys():
        assert time.monotonic() < deadline, f"{len(missing)} rows are missing"
        time.sleep(0.2)
    return found


def load(server: Server, connections: int = 8, pause: float = 0.004) -> Load:
    return Load("127.0.0.1", server.port, REQUEST, connections=connections, pause=pause)


class EndingContract:
    """`url`: a database that this test has to itself; `start(**settings)`: a server of two workers with the models
    iris and slow.
    """

    @pytest.mark.parametrize("durability", DURABILITIES)
    def test_sigterm_under_load_leaves_one_row_for_every_answer(self, start: Start, url: str, durability: str) -> None:
        server = start(log=durability, log_database=url)

        async def run() -> Load:
            async with load(server) as clients:
                await clients.until(500)
                clients.move_away()
                server.signal(signal.SIGTERM)
                await asyncio.to_thread(server.process.wait, 30)
            return clients

        with ThreadPoolExecutor(1) as pool:
            # Answered last of all: nothing but the end itself brings this one to the database.
            last = pool.submit(server.predict, "slow", [2.0, 0.0])
            server.until(lambda: server.metrics()["slipway_http_requests_in_flight{}"] > 0)
            clients = asyncio.run(run())
        assert clients.answers.keys() == {200}
        assert len(clients.keys) == clients.total
        assert stored(url) == Counter([*clients.keys, last.result().headers["x-prediction-id"]])
        assert not list(server.spool.glob("*.jsonl"))

    def test_of_a_worker_that_is_killed_while_rows_are_in_its_spool_every_answer_is_kept(
        self, start: Start, url: str
    ) -> None:
        server = start(log="spooled", log_database=url)
        clients, _ = killed_under_load(server, lambda worker, _: spooled_by(server, worker) - stored(url).keys())
        assert set(until_stored(url, clients.keys).values()) == {1}
        server.until(lambda: server.logged("taken over from workers that are gone") != [])

    def test_of_a_worker_that_is_killed_under_load_every_committed_answer_is_kept(self, start: Start, url: str) -> None:
        clients, _ = killed_under_load(start(log="sync", log_database=url))
        assert set(until_stored(url, clients.keys).values()) == {1}

    def test_of_a_worker_that_is_killed_the_last_flush_interval_alone_is_missing(self, start: Start, url: str) -> None:
        server = start(log="async", log_database=url, workers=1)  # whose answer is not in the table is then known

        def in_memory(worker: int, clients: Load) -> set[str]:
            return clients.keys.keys() - settled(url).keys() - spooled_by(server, worker)

        clients, killed_at = killed_under_load(server, in_memory)
        # What the last flush took may be on its way to the database, and this process sees answers and writes times
        # late.
        interval = max(BOUNDS.flush + 0.5, 3 * flush_takes(server, url))
        in_hand = (killed_at - interval, killed_at + 0.5)
        promised = {key for key, answered in clients.keys.items() if not in_hand[0] < answered < in_hand[1]}
        found = until_stored(url, promised)
        assert set(found.values()) == {1}
        assert clients.keys.keys() - found.keys()


def flush_takes(server: Server, url: str) -> float:
    """Seconds that an answer takes to the table, now and on this machine: of three the longest."""

    async def run() -> float:
        longest = 0.0
        async with load(server, pause=0.02) as clients:
            for _ in range(3):
                seen = len(clients.keys)
                await clients.until(clients.total + 1)
                key = list(clients.keys)[seen]
                while key not in await asyncio.to_thread(stored, url):
                    await asyncio.sleep(0.01)
                longest = max(longest, time.time() - clients.keys[key])
        return longest

    return asyncio.run(run())


def settled(url: str) -> Counter[str]:
    """The keys in the table once nothing is on its way there any more: a database may yet commit what a stopped
    worker has sent.
    """
    before, now = None, stored(url)
    while before != now:
        before, now = now, stored(url)
    return now


def spooled_by(server: Server, worker: int) -> set[str]:
    """Keys in the files of the spool that a worker (a process id), which is stopped, holds its lock on."""
    opened = {os.path.basename(os.readlink(entry)) for entry in Path(f"/proc/{worker}/fd").iterdir()}
    owners = {name.removesuffix(".lock") for name in opened if name.endswith(".lock")}
    files = [path for path in server.spool.glob("*.jsonl") if path.name.partition(".")[0] in owners]
    return {
        json.loads(line)[0]
        for path in files
        for line in path.read_bytes().splitlines(keepends=True)
        if line.endswith(b"\n")
    }


def killed_under_load(server: Server, at_stake: Callable[[int, Load], set[str]] | None = None) -> tuple[Load, float]:
    """The load, once the oldest worker was killed and replaced; and the time.time() of the kill.

    `at_stake(worker, clients)`: keys that it has alone. It is stopped, again and again, until there are some, and then
    killed.
    """

    async def run() -> tuple[Load, float]:
        # No thousand rows within a flush interval, which would be written before its end.
        async with load(server, pause=0.02) as clients:
            await clients.until(1000)
            worker = server.workers()[0]
            killed_at = time.time()
            while at_stake is not None:
                await clients.until(clients.total + 1)
                os.kill(worker, signal.SIGSTOP)
                killed_at = time.time()
                await asyncio.to_thread(server.until, lambda: stopped(worker))
                if await asyncio.to_thread(at_stake, worker, clients):
                    break
                os.kill(worker, signal.SIGCONT)
            os.kill(worker, signal.SIGKILL)
            await asyncio.to_thread(server.until, lambda: worker not in server.workers())
            await clients.until(clients.total + 500)
        return clients, killed_at

    clients, killed_at = asyncio.run(run())
    assert clients.answers.keys() == {200}
    assert len(clients.keys) == clients.total
    return clients, killed_at

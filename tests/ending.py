"""What the log holds when a server or a worker ends under load: the tests of SQLite and PostgreSQL are subclasses of EndingContract."""

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import pytest

from service.journal.writer import FLUSH_SECONDS
from tests.load import Load, post
from tests.logged import rows
from tests.server.conftest import Start
from tests.server.running import Server

REQUEST = post("/predict", {"features": [5.1, 3.5, 1.4, 0.2]})
DURABILITIES = ("async", "spooled", "sync")
PATIENCE = 90.0  # seconds: after a network that was cut, the database's system may send its last packets again after so long


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
    """`url`: a database that this test has to itself; `start(**settings)`: a server of two workers with the models iris and slow."""

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

    @pytest.mark.parametrize("durability", ["spooled", "sync"])
    def test_of_a_worker_that_is_killed_under_load_every_answer_is_kept(self, start: Start, url: str, durability: str) -> None:
        server, clients, _ = killed_under_load(start, url, durability)
        assert set(until_stored(url, clients.keys).values()) == {1}
        if durability == "spooled":
            assert server.logged("taken over from workers that are gone")  # or nothing was at stake

    def test_of_a_worker_that_is_killed_the_last_flush_interval_alone_is_missing(self, start: Start, url: str) -> None:
        _, clients, killed_at = killed_under_load(start, url, "async")
        # What the last flush took may be on its way to the database, and this process sees answers and writes times late.
        in_hand = (killed_at - FLUSH_SECONDS - 0.5, killed_at + 0.5)
        promised = {key for key, answered in clients.keys.items() if not in_hand[0] < answered < in_hand[1]}
        found = until_stored(url, promised)
        assert set(found.values()) == {1}
        assert clients.keys.keys() - found.keys()  # or nothing was at stake


def killed_under_load(start: Start, url: str, durability: str) -> tuple[Server, Load, float]:
    """The server, whose killed worker has been replaced; the load; and the time.time() of the kill."""
    server = start(log=durability, log_database=url)

    async def run() -> tuple[Load, float]:
        async with load(server, pause=0.02) as clients:  # no thousand rows within a flush interval, which would be written before its end
            await clients.until(1000)
            if durability == "spooled":  # whichever dies has rows that are on disk alone
                async with asyncio.timeout(10):
                    while len({path.name.partition(".")[0] for path in server.spool.glob("*.jsonl")}) < 2:
                        await asyncio.sleep(0.001)
            os.kill(server.workers()[0], signal.SIGKILL)
            killed_at = time.time()
            await clients.until(clients.total + 500)
        return clients, killed_at

    clients, killed_at = asyncio.run(run())
    assert clients.answers.keys() == {200}
    assert len(clients.keys) == clients.total
    return server, clients, killed_at

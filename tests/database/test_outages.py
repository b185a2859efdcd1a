"""The real server and a real PostgreSQL that goes away under load: no prediction fails, and each answered row is there exactly once."""

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from service.examples import train_and_pack
from service.journal.maintenance import migrate
from service.journal.writer import FLUSH_SECONDS
from tests.database.cluster import Cluster
from tests.database.proxy import Proxy
from tests.load import Load, post
from tests.server.running import Server

pytestmark = pytest.mark.timeout(180)

REQUEST = post("/predict", {"features": [5.1, 3.5, 1.4, 0.2]})
AWAY = 4.0  # seconds; time enough for every timeout but that of a connection that was cut
PATIENCE = 60.0

Start = Callable[..., Server]
Event = Callable[[], Awaitable[None]]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    train_and_pack("iris", folder)
    return folder


@pytest.fixture(scope="module")
def postgres() -> Iterator[Cluster]:
    """Stopped and killed by these tests, and started by them again."""
    with Cluster() as cluster:
        yield cluster


@pytest.fixture
def url(postgres: Cluster, request: pytest.FixtureRequest) -> str:
    name = f"log{abs(hash(request.node.name))}"
    postgres.execute(f"CREATE DATABASE {name}")
    migrate(postgres.url(name))
    return postgres.url(name)


@pytest.fixture
def start(models: Path, tmp_path: Path) -> Iterator[Start]:
    with ExitStack() as stack:

        def started(**settings: Any) -> Server:
            settings.setdefault("log", "async")
            return stack.enter_context(Server(models, tmp_path, access_log=False, **settings))

        yield started


def load(server: Server, connections: int = 8) -> Load:
    return Load("127.0.0.1", server.port, REQUEST, connections=connections, pause=0.004)


async def stored(postgres: Cluster, url: str) -> Counter[str]:
    rows = await asyncio.to_thread(postgres.execute, "SELECT key::text FROM predictions", database=url.rpartition("/")[2])
    return Counter(row[0] for row in rows)


async def until_stored(postgres: Cluster, url: str, keys: set[str]) -> Counter[str]:
    """The table, as soon as it has all of them; fails when it does not in time."""
    deadline = time.monotonic() + PATIENCE
    while keys - (found := await stored(postgres, url)).keys():
        assert time.monotonic() < deadline, f"{len(keys - found.keys())} of {len(keys)} are missing"
        await asyncio.sleep(0.2)
    return found


async def assert_an_outage_loses_nothing(postgres: Cluster, url: str, server: Server, begin: Event, end: Event) -> Load:
    async with load(server) as clients:
        await clients.until(300)
        await begin()
        await asyncio.sleep(AWAY)
        during = clients.total
        await end()
        await clients.until(during + 300)
    assert clients.answers.keys() == {200}
    assert not clients.failures
    assert await until_stored(postgres, url, set(clients.keys)) == Counter(clients.keys.keys())
    server.until(lambda: not list(server.spool.glob("*.jsonl")))
    server.until(lambda: "log" not in server.get("/ready").json())
    return clients


@pytest.mark.slow
@pytest.mark.parametrize("durability", ["async", "spooled"])
@pytest.mark.parametrize("way", ["stopped", "killed"])
def test_a_database_that_goes_away_and_comes_back(start: Start, postgres: Cluster, url: str, durability: str, way: str) -> None:
    server = start(log=durability, log_database=url)

    async def begin() -> None:
        await asyncio.to_thread(postgres.stop if way == "stopped" else postgres.kill)

    async def end() -> None:
        assert "cannot be used" in server.get("/ready").json()["log"]
        await asyncio.to_thread(postgres.start)

    asyncio.run(assert_an_outage_loses_nothing(postgres, url, server, begin, end))
    said = server.logged("cannot be used")
    assert 1 <= len(said) <= 2  # once by each worker
    assert len(server.logged("there again")) == len(said)


@pytest.mark.slow
@pytest.mark.parametrize("durability", ["async", "spooled"])
def test_a_network_that_is_cut_and_mended(start: Start, postgres: Cluster, url: str, durability: str) -> None:
    async def run() -> None:
        async with Proxy(postgres.port) as proxy:
            through = url.replace(f":{postgres.port}/", f":{proxy.port}/")
            server = await asyncio.to_thread(lambda: start(log=durability, log_database=through))

            async def begin() -> None:
                proxy.cut()

            async def end() -> None:
                proxy.mend()

            await assert_an_outage_loses_nothing(postgres, url, server, begin, end)

    asyncio.run(run())


@pytest.mark.slow
def test_sync_refuses_while_the_database_is_away_and_is_not_ready(start: Start, postgres: Cluster, url: str) -> None:
    server = start(log="sync", log_database=url)

    async def run() -> Load:
        async with load(server) as clients:
            await clients.until(100)
            await asyncio.to_thread(postgres.stop)
            await asyncio.to_thread(server.until, lambda: not server.is_ready())
            assert "cannot be used" in server.get("/ready").json()["error"]
            refused = server.predict("iris", [5.1, 3.5, 1.4, 0.2])
            assert (refused.status, refused.headers["retry-after"]) == (503, "1")
            assert "x-prediction-id" not in refused.headers
            await asyncio.to_thread(postgres.start)
            await asyncio.to_thread(server.until, server.is_ready)
            answered = clients.answers[200]
            while clients.answers[200] < answered + 100:
                await asyncio.sleep(0.01)
        return clients

    clients = asyncio.run(run())
    assert clients.answers.keys() == {200, 503}
    assert not clients.failures
    found = asyncio.run(until_stored(postgres, url, set(clients.keys)))
    assert set(found.values()) == {1}
    assert len(clients.keys) == clients.answers[200]
    answer = server.predict("iris", [5.1, 3.5, 1.4, 0.2])
    assert answer.headers["x-logged"] == "true"
    assert answer.headers["x-prediction-id"] in asyncio.run(stored(postgres, url))  # at once


@pytest.mark.parametrize("durability", ["async", "spooled", "sync"])
def test_sigterm_under_load_leaves_one_row_for_every_answer(start: Start, postgres: Cluster, url: str, durability: str) -> None:
    server = start(log=durability, log_database=url)

    async def run() -> Load:
        async with load(server) as clients:
            await clients.until(500)
            clients.move_away()
            server.signal(signal.SIGTERM)
            await asyncio.to_thread(server.process.wait, 30)
        return clients

    clients = asyncio.run(run())
    assert clients.answers.keys() == {200}
    assert asyncio.run(stored(postgres, url)) == Counter(clients.keys.keys())
    assert not list(server.spool.glob("*.jsonl"))


@pytest.mark.parametrize("durability", ["async", "spooled", "sync"])
def test_a_worker_that_is_killed_under_load(start: Start, postgres: Cluster, url: str, durability: str) -> None:
    server = start(log=durability, log_database=url)
    killed_at = 0.0

    async def run() -> Load:
        nonlocal killed_at
        async with load(server) as clients:
            await clients.until(500)
            os.kill(server.workers()[0], signal.SIGKILL)
            killed_at = time.time()
            await clients.until(clients.total + 500)
        return clients

    clients = asyncio.run(run())
    if durability != "async":
        found = asyncio.run(until_stored(postgres, url, set(clients.keys)))
    else:
        promised = {key for key, answered in clients.keys.items() if not killed_at - FLUSH_SECONDS - 0.5 < answered < killed_at + 0.5}
        found = asyncio.run(until_stored(postgres, url, promised))
        assert clients.keys.keys() - found.keys()  # or nothing was at stake
    assert set(found.values()) == {1}


@pytest.mark.parametrize("trouble", ["password", "schema"])
def test_what_is_wrong_with_the_database_is_said_once_and_recovered_from(start: Start, postgres: Cluster, url: str, trouble: str) -> None:
    name = url.rpartition("/")[2]
    if trouble == "password":
        postgres.execute(f"CREATE ROLE {name} LOGIN SUPERUSER PASSWORD 'another'")
        url = postgres.url(name, user=name)
    else:
        postgres.execute("DROP TABLE slipway_schema, predictions, feedback CASCADE", database=name)
    server = start(log_database=url)

    async def run() -> Load:
        async with load(server) as clients:
            await clients.until(1000)
            await asyncio.to_thread(server.until, lambda: len(server.logged("cannot be used") + server.logged("schema")) >= 1)
            await asyncio.sleep(2)
            if trouble == "password":
                password = "p@ss/w:rd?"
                await asyncio.to_thread(postgres.execute, f"ALTER ROLE {name} PASSWORD '{password}'")
            else:
                await asyncio.to_thread(migrate, url)
            await clients.until(clients.total + 300)
        return clients

    clients = asyncio.run(run())
    assert clients.answers.keys() == {200}
    assert asyncio.run(until_stored(postgres, url, set(clients.keys))) == Counter(clients.keys.keys())
    problems = [line for line in server.log() if line["level"] == "error"]
    assert 1 <= len(problems) <= 2  # once by each worker
    assert not [line for line in problems if "p@ss" in line["message"] or "%40" in line["message"]]

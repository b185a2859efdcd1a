"""Real servers and a real PostgreSQL that goes away under load: no prediction fails, and each answered row is there
exactly once.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, ExitStack

import pytest

from slipway.prediction_log.stores.address import address
from slipway.prediction_log.stores.postgresql import PostgreSQLStore
from slipway.prediction_log.upkeep.maintenance import migrate
from tests.database.cluster import PASSWORD, Cluster
from tests.database.network import MAY_MAKE_ONE, Network
from tests.server.conftest import Start
from tests.server.running import Server
from tests.server.test_log import failures
from tests.support.ending import DURABILITIES, load, stored, until_stored
from tests.support.load import Load
from tests.support.logged import key, record

FLOWER = [5.1, 3.5, 1.4, 0.2]
AWAY = 30.0  # seconds
FIRST_REFUSAL = 20.0  # seconds in which a request that waits for a commit is answered at the latest


def stop(postgres: Cluster) -> None:
    postgres.stop()


def kill(postgres: Cluster) -> None:
    """Among commits of every server that are on disk already and were never confirmed, as if for a standby."""
    postgres.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
    postgres.execute("SELECT pg_reload_conf()")
    waiting = "SELECT count(DISTINCT datname) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
    deadline = time.monotonic() + 60
    while postgres.execute(waiting)[0][0] < len(DURABILITIES):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    postgres.kill()


def start_again(postgres: Cluster) -> None:
    postgres.start()
    postgres.execute("ALTER SYSTEM RESET synchronous_standby_names")
    postgres.execute("SELECT pg_reload_conf()")


def cut(postgres: Cluster) -> None:
    assert postgres.network is not None
    postgres.network.cut()


def mend(postgres: Cluster) -> None:
    assert postgres.network is not None
    postgres.network.mend()


Step = Callable[[Cluster], None]


@pytest.fixture
def postgres(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A server of the test's own; with the parameter `network` in a network of its own."""
    with ExitStack() as stack:
        apart = getattr(request, "param", None) == "network"
        yield stack.enter_context(Cluster(stack.enter_context(Network()) if apart else None))


def migrated(postgres: Cluster, name: str) -> str:
    postgres.execute(f"CREATE DATABASE {name}")
    migrate(postgres.url(name))
    return postgres.url(name)


needs_network = pytest.mark.skipif(not MAY_MAKE_ONE, reason="only root may make a network that can be cut")


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("postgres", "begin", "end", "said"),
    [
        pytest.param(None, stop, start_again, "refuses connections", id="stopped"),
        pytest.param(None, kill, start_again, "refuses connections", id="killed"),
        pytest.param("network", cut, mend, "does not answer in time", id="cut", marks=needs_network),
    ],
    indirect=["postgres"],
)
def test_a_database_that_is_away_for_half_a_minute(
    start: Start, postgres: Cluster, begin: Step, end: Step, said: str
) -> None:
    urls = {durability: migrated(postgres, durability + "_log") for durability in DURABILITIES}
    servers = {durability: start(log=durability, log_database=url) for durability, url in urls.items()}
    sync = servers["sync"]

    async def run() -> dict[str, Load]:
        async with AsyncExitStack() as stack:
            loads = {name: await stack.enter_async_context(load(server)) for name, server in servers.items()}
            for clients in loads.values():
                await clients.until(300)
            await asyncio.to_thread(begin, postgres)
            began, before = time.monotonic(), {name: clients.total for name, clients in loads.items()}
            await asyncio.to_thread(until_said, servers, said)
            refused = await asyncio.to_thread(sync.predict, "iris", FLOWER)
            assert (refused.status, refused.headers["retry-after"]) == (503, "1")
            assert "x-prediction-id" not in refused.headers
            await asyncio.sleep(began + AWAY - time.monotonic())
            assert not sync.is_ready()
            for name in ("async", "spooled"):
                assert said in servers[name].get("/ready").json()["log"]
                assert loads[name].total > before[name] + 300
            during = {name: clients.answers[200] for name, clients in loads.items()}
            await asyncio.to_thread(end, postgres)
            await asyncio.to_thread(sync.until, sync.is_ready)
            async with asyncio.timeout(60):
                while any(clients.answers[200] < during[name] + 300 for name, clients in loads.items()):
                    await asyncio.sleep(0.01)
        return loads

    loads = asyncio.run(run())
    for name, clients in loads.items():
        assert not clients.failures
        assert clients.answers.keys() == ({200, 503} if name == "sync" else {200})
        assert clients.slowest < FIRST_REFUSAL
        assert len(clients.keys) == clients.answers[200]
        found = until_stored(urls[name], clients.keys)
        # What was refused with 503 may have been committed all the same, when the news of that was lost.
        lost, twice = clients.keys.keys() - found.keys(), [key for key, times in found.items() if times > 1]
        assert (len(lost), len(twice)) == (0, 0), name
        assert name == "sync" or not found.keys() - clients.keys.keys()
    for server in servers.values():
        server.until(lambda server=server: not list(server.spool.glob("*.jsonl")))  # type: ignore[misc]
        server.until(lambda server=server: "log" not in server.get("/ready").json())  # type: ignore[misc]
        problems = [line for line in server.log() if line["level"] == "error" and line["logger"] != "slipway.readiness"]
        assert 1 <= len(problems) <= 2, [line["message"] for line in problems]  # once by each worker
        assert len(server.logged("there again")) == len(problems)
    answer = sync.predict("iris", FLOWER)
    assert answer.headers["x-logged"] == "true"
    assert answer.headers["x-prediction-id"] in stored(urls["sync"])  # at once


def until_said(servers: dict[str, Server], said: str) -> None:
    """By /ready of each, which stays 200 where answers do not wait for the database."""
    for name, server in servers.items():
        if name == "sync":
            server.until(lambda server=server: said in server.get("/ready").json().get("error", ""))
            assert not server.is_ready()
        else:
            server.until(lambda server=server: said in server.get("/ready").json().get("log", ""))  # type: ignore[misc]
            assert server.is_ready()


@needs_network
@pytest.mark.slow
@pytest.mark.parametrize("postgres", ["network"], indirect=True)
@pytest.mark.parametrize("server", ["silent", "answering"])
def test_a_client_that_vanishes_in_mid_transaction_does_not_keep_its_rows_from_being_replayed(
    postgres: Cluster, server: str
) -> None:
    """The node of a pod dies, and its volume comes up elsewhere; or the network is away for longer than systems send
    a packet again.
    """
    url = migrated(postgres, "log")

    async def run() -> None:
        vanishing, living = PostgreSQLStore(address(url)), PostgreSQLStore(address(url))
        await vanishing.open()
        connection = vanishing._connection
        assert connection is not None
        await connection.execute("BEGIN")
        await vanishing.write([record(1)])
        answer = asyncio.create_task(connection.execute("SELECT pg_sleep(1)" if server == "answering" else "SELECT 1"))
        if server == "silent":
            await answer
        else:  # what it sends is not acknowledged
            active = "SELECT FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(1)' AND state = 'active'"
            while not await asyncio.to_thread(postgres.execute, active):
                await asyncio.sleep(0.01)
        assert postgres.network is not None
        postgres.network.cut(connection._transport.get_extra_info("sockname")[1])
        await living.open()
        async with asyncio.timeout(40):
            await living.write([record(1), record(2)])
        await living.close()
        connection.terminate()
        await asyncio.gather(answer, return_exceptions=True)

    asyncio.run(run())
    assert stored(url) == Counter([key(1), key(2)])


@pytest.mark.parametrize("trouble", ["password", "schema"])
def test_what_is_wrong_with_the_database_is_said_once_and_recovered_from(
    start: Start, postgres: Cluster, trouble: str
) -> None:
    name = "log"
    url = migrated(postgres, name)
    if trouble == "password":
        postgres.execute(f"CREATE ROLE {name} LOGIN SUPERUSER PASSWORD 'another'")
        url = postgres.url(name, user=name)
    else:
        postgres.execute("DROP TABLE slipway_schema, predictions, feedback CASCADE", database=name)
    server = start(log_database=url)

    async def run() -> Load:
        async with load(server) as clients:
            await clients.until(1000)
            await asyncio.to_thread(
                server.until, lambda: len(server.logged("cannot be used") + server.logged("schema")) >= 1
            )
            await asyncio.to_thread(server.until, lambda: failures(server) >= 6)  # so that each worker has tried again
            if trouble == "password":
                await asyncio.to_thread(postgres.execute, f"ALTER ROLE {name} PASSWORD '{PASSWORD}'")
            else:
                await asyncio.to_thread(migrate, url)
            await clients.until(clients.total + 300)
        return clients

    clients = asyncio.run(run())
    assert clients.answers.keys() == {200}
    assert until_stored(url, clients.keys) == Counter(clients.keys.keys())
    problems = [line["message"] for line in server.log() if line["level"] == "error"]
    assert len(problems) in (1, 2), "\n".join(problems)  # once by each worker
    assert not [message for message in problems if "p@ss" in message or "%40" in message]

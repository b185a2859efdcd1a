"""The prediction log in PostgreSQL."""

import asyncio
import gc
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta

import pytest
import uvloop

from slipway.prediction_log.database import open_store
from slipway.prediction_log.stores.errors import StoreAway
from slipway.prediction_log.upkeep import partitions
from slipway.prediction_log.upkeep.maintenance import maintain, migrate
from tests.database.cluster import PASSWORD, QUOTED, Cluster
from tests.support.logged import NOON, StoreContract, feedback, key, record, rows, trouble, write

NEWEST = (
    "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() ORDER BY "
    "backend_start DESC LIMIT 1"
)


class TestPostgreSQL(StoreContract):
    @pytest.fixture
    def url(self, cluster: Cluster, database: str) -> str:
        return cluster.url(database)


@pytest.fixture
def log(cluster: Cluster, database: str) -> str:
    migrate(cluster.url(database))
    return cluster.url(database)


@pytest.fixture
def serving(cluster: Cluster, database: str, log: str) -> Iterator[str]:
    """The log as a role sees it that may do no more than serving needs."""
    role = f"{database}_serving"
    cluster.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}'")
    cluster.execute(f"GRANT SELECT, INSERT ON predictions, feedback TO {role}", database=database)
    cluster.execute(f"GRANT SELECT ON slipway_schema TO {role}", database=database)
    yield log.replace("postgres:", f"{role}:", 1)
    cluster.execute(f"DROP OWNED BY {role}", database=database)
    cluster.execute(f"DROP ROLE {role}")


def test_the_role_that_serves_is_sent_to_the_one_that_owns_the_tables(serving: str) -> None:
    tomorrow = datetime.now(UTC).date() + timedelta(1)
    with pytest.raises(StoreAway, match="`slipway log migrate` and `maintain` need the role that owns its tables"):
        maintain(serving, None, tomorrow)


@pytest.mark.parametrize(
    ("option", "sentence"),
    [
        ("sslmode=require", "it offers no TLS, which sslmode in its address asks for"),
        ("foo=bar", "it knows no option 'foo'"),
    ],
)
def test_options_of_the_address_that_cannot_be_met_are_named(log: str, option: str, sentence: str) -> None:
    assert sentence in str(trouble(f"{log}?{option}"))
    with pytest.raises(StoreAway, match=sentence):
        rows(f"{log}?{option}", "key")


def test_tables_of_another_program_are_left_as_they_are(cluster: Cluster, database: str) -> None:
    cluster.execute("CREATE TABLE predictions (mine text)", database=database)
    with pytest.raises(StoreAway, match="give the log a database of its own"):
        migrate(cluster.url(database))


@pytest.fixture
def alone() -> Iterator[Cluster]:
    """A server that the test may stop, with a log in the database postgres."""
    with Cluster() as cluster:
        migrate(cluster.url())
        yield cluster


def partitions_of(cluster: Cluster, database: str) -> dict[str, str]:
    """Where each row lies, by its key."""
    found = cluster.execute("SELECT key::text, tableoid::regclass::text AS place FROM predictions", database=database)
    return {row["key"]: row["place"] for row in found}


def test_a_database_without_tables_says_what_to_do(cluster: Cluster, database: str) -> None:
    error = trouble(cluster.url(database))
    assert (error.kind, "slipway log migrate" in str(error)) == ("schema", True)


def test_migrating_makes_the_days_ahead(cluster: Cluster, database: str, log: str) -> None:
    made = cluster.execute(
        "SELECT count(*) FROM pg_inherits WHERE inhparent = 'predictions'::regclass", database=database
    )
    assert made[0][0] == partitions.AHEAD + 2  # today and the default one, too
    assert maintain(log, None).created == 0


def test_a_row_goes_to_its_day_and_to_the_default_partition_where_there_is_none(
    cluster: Cluster, database: str, log: str
) -> None:
    maintain(log, None, date(2027, 3, 1))
    late = NOON.replace(year=2027, month=3, day=1, hour=23, minute=59, second=59)
    write(log, [record(1, late), record(2, late + timedelta(seconds=1)), record(3, late - timedelta(days=1))])
    assert partitions_of(cluster, database) == {
        key(1): "predictions_20270301",
        key(2): "predictions_20270302",
        key(3): "predictions_default",
    }


def test_maintenance_moves_rows_out_of_the_default_partition_and_a_replay_finds_them_there(
    cluster: Cluster, database: str, log: str
) -> None:
    far = NOON + timedelta(days=400)
    entries = [record(number, far + timedelta(days=number % 2)) for number in range(50)]
    write(log, entries)
    assert set(partitions_of(cluster, database).values()) == {"predictions_default"}
    done = maintain(log, None)
    assert (done.created, done.moved) == (2, 50)
    write(log, entries)
    assert set(partitions_of(cluster, database).values()) == {
        f"predictions_{far + timedelta(days):%Y%m%d}" for days in (0, 1)
    }
    assert len(rows(log, "key")) == 50
    assert maintain(log, None)[:2] == (0, 0)


def test_rows_written_while_their_day_is_made_are_all_there(log: str) -> None:
    far = NOON + timedelta(days=500)

    async def run() -> int:
        store = open_store(log)
        await store.open()
        await store.write([record(10**6 + i, far + timedelta(days=i % 3)) for i in range(100)])
        working = asyncio.create_task(asyncio.to_thread(maintain, log, None))
        number = 1
        while not working.done() or number < 40:
            await store.write([record(100 * number + i, far + timedelta(days=number % 3)) for i in range(100)])
            number += 1
        await working
        await asyncio.to_thread(maintain, log, None)
        await store.close()
        return number

    written = asyncio.run(run())
    assert rows(log, "position") == [0] * (100 * written)


def test_retention_drops_the_partitions_of_old_days(log: str) -> None:
    today = NOON.date()
    maintain(log, None, today - timedelta(10))
    write(log, [record(day, NOON - timedelta(day)) for day in range(11)])
    write(log, [record(100, NOON - timedelta(300)), feedback(200, 5, "1", NOON - timedelta(5))])
    done = maintain(log, 3, today)
    assert (done.dropped, done.deleted) == (7, 2)  # the row of the default partition and the feedback
    assert rows(log, "key") == [key(3), key(2), key(1), key(0)]


def test_serving_needs_no_more_than_to_select_and_to_insert(cluster: Cluster, database: str, serving: str) -> None:
    write(serving, [record(1), feedback(2, 1, "0")])
    write(serving, [record(1), record(3)])
    assert rows(serving, "key", "outcome") == [(key(1), "0"), (key(3), None)]
    with pytest.raises(StoreAway) as raised:
        maintain(serving, None, date(2030, 1, 1))
    assert raised.value.kind == "privilege"
    cluster.execute(f"REVOKE INSERT ON predictions FROM {database}_serving", database=database)
    assert trouble(serving, [record(4)]).kind == "privilege"


def test_what_is_wrong_is_told_by_its_kind_without_the_password(cluster: Cluster, database: str, log: str) -> None:
    errors = [
        trouble(cluster.url("nosuch")),
        trouble(log.replace(QUOTED, "wrong")),
        trouble(cluster.url(database, "nobody")),
    ]
    cluster.execute(f"ALTER DATABASE {database} SET default_transaction_read_only = on")
    errors.append(trouble(log, [record(1)]))
    cluster.execute(f"ALTER DATABASE {database} RESET default_transaction_read_only")
    cluster.execute(f"ALTER DATABASE {database} ALLOW_CONNECTIONS false")
    errors.append(trouble(log))
    assert [error.kind for error in errors] == ["database", "password", "password", "read_only", "error"]
    for error in errors:
        assert f"127.0.0.1:{cluster.port}" in str(error)
        assert not any(word in str(error) for word in (PASSWORD, QUOTED, "wrong"))


def test_a_server_that_was_killed_is_told_and_its_rows_are_stored_once_when_it_is_back(alone: Cluster) -> None:
    async def run() -> list[str]:
        store = open_store(alone.url())
        await store.open()
        await store.write([record(1)])
        await asyncio.to_thread(alone.kill)
        kinds = []
        for call in (store.write([record(2)]), store.open()):
            with pytest.raises(StoreAway) as raised:
                await call
            kinds.append(raised.value.kind)
        await asyncio.to_thread(alone.start)
        await store.open()
        await store.write([record(1), record(2)])
        await store.close()
        return kinds

    assert asyncio.run(run()) == ["gone", "refused"]
    assert rows(alone.url(), "key") == [key(1), key(2)]


def test_a_call_that_hangs_can_be_cancelled_and_the_store_is_of_use_again(alone: Cluster) -> None:
    entries = [record(number) for number in range(3000)]

    async def run() -> None:
        store = open_store(alone.url())
        await store.open()
        await store.write([record(9000)])
        backend = (await asyncio.to_thread(alone.execute, NEWEST))[0][0]
        os.kill(backend, signal.SIGSTOP)  # as when packets are dropped: no answer, no end of the connection
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await store.write(entries)
        async with asyncio.timeout(30):  # not until the backend goes on
            await store.close()
            await store.open()
        os.kill(backend, signal.SIGCONT)
        await store.write(entries)
        await store.close()

    asyncio.run(run())
    assert len(rows(alone.url(), "key")) == 3001


@pytest.mark.parametrize("turns", range(4))
def test_a_session_that_the_server_has_just_ended_is_told_as_such_and_by_nobody_else(
    cluster: Cluster, log: str, turns: int
) -> None:
    """`turns` of the event loop after the news came: before, between and after the server's last word and the end of
    the connection.
    """
    unhandled = []

    async def run() -> StoreAway:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: unhandled.append(context))
        store = open_store(log)
        await store.open()
        await store.write([record(1)])
        with ThreadPoolExecutor(1) as thread:
            thread.submit(cluster.execute, f"SELECT pg_terminate_backend(({NEWEST}), 5000)").result()
        for _ in range(turns):
            await asyncio.sleep(0)
        with pytest.raises(StoreAway) as raised:
            await store.write([record(2)])
        await store.close()
        return raised.value

    assert uvloop.run(run()).kind == "gone"
    gc.collect()
    assert not unhandled

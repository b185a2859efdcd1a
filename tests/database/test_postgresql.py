"""The prediction log in PostgreSQL."""

import asyncio
import gc
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta

import pytest
import uvloop

from slipway.prediction_log.record import Row
from slipway.prediction_log.stores.copy_format import packed
from slipway.prediction_log.stores.copy_stream import CopyStream
from slipway.prediction_log.stores.forms import unpacked
from slipway.prediction_log.stores.store import StoreAway, open_store
from slipway.prediction_log.upkeep import partitions
from slipway.prediction_log.upkeep.maintenance import maintain, migrate
from tests.database.cluster import PASSWORD, QUOTED, Cluster
from tests.support.logged import NOON, StoreContract, feedback, key, record, replay, rows, trouble, write

NEWEST = (
    "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() ORDER BY backend_start DESC LIMIT 1"
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
    [("sslmode=require", "it offers no TLS, which sslmode in its address asks for"), ("foo=bar", "it knows no option 'foo'")],
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
    made = cluster.execute("SELECT count(*) FROM pg_inherits WHERE inhparent = 'predictions'::regclass", database=database)
    assert made[0][0] == partitions.AHEAD + 2  # today and the default one, too
    assert maintain(log, None).created == 0


def test_a_row_goes_to_its_day_and_to_the_default_partition_where_there_is_none(cluster: Cluster, database: str, log: str) -> None:
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
    replay(log, entries)
    assert set(partitions_of(cluster, database).values()) == {f"predictions_{far + timedelta(days):%Y%m%d}" for days in (0, 1)}
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
    replay(serving, [record(1), record(3)])
    assert rows(serving, "key", "outcome") == [(key(1), "0"), (key(3), None)]
    with pytest.raises(StoreAway) as raised:
        maintain(serving, None, date(2030, 1, 1))
    assert raised.value.kind == "privilege"
    cluster.execute(f"REVOKE INSERT ON predictions FROM {database}_serving", database=database)
    assert trouble(serving, "write", [record(4)]).kind == "privilege"


def test_what_is_wrong_is_told_by_its_kind_without_the_password(cluster: Cluster, database: str, log: str) -> None:
    errors = [
        trouble(cluster.url("nosuch")),
        trouble(log.replace(QUOTED, "wrong")),
        trouble(cluster.url(database, "nobody")),
    ]
    cluster.execute(f"ALTER DATABASE {database} SET default_transaction_read_only = on")
    errors.append(trouble(log, "write", [record(1)]))
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
        await store.replay([record(1), record(2)])
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
        stopped = []
        for call in (store.write, store.replay):
            backend = (await asyncio.to_thread(alone.execute, NEWEST))[0][0]
            os.kill(backend, signal.SIGSTOP)  # as when packets are dropped: no answer, no end of the connection
            stopped.append(backend)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.5):
                    await call(entries)
            async with asyncio.timeout(30):  # not until the backend goes on
                await store.close()
                await store.open()
        for backend in stopped:
            os.kill(backend, signal.SIGCONT)
        await store.replay(entries)
        await store.close()

    asyncio.run(run())
    assert len(rows(alone.url(), "key")) == 3001


@pytest.mark.parametrize("turns", range(4))
def test_a_session_that_the_server_has_just_ended_is_told_as_such_and_by_nobody_else(cluster: Cluster, log: str, turns: int) -> None:
    """`turns` of the event loop after the news came: before, between and after the server's last word and the end of the connection."""
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

    assert asyncio.run(run()).kind == "gone"
    gc.collect()
    assert not unhandled


def test_a_replay_knows_the_rows_of_a_copy_to_the_microsecond(log: str) -> None:
    entries = [record(i)._replace(time=NOON.timestamp() + i * 0.123_456_789) for i in range(500)]
    write(log, entries)
    replay(log, entries)
    assert len(rows(log, "key")) == 500


def test_rows_that_a_write_begins_with_are_stored_as_they_come(cluster: Cluster, database: str, log: str) -> None:
    entries = [*(record(i) for i in range(100)), feedback(1000, 0, "1"), *(record(i) for i in range(100, 150))]
    size = "SELECT sum(pg_relation_size(relid)) FROM pg_partition_tree('predictions')"
    empty = cluster.execute(size, database=database)[0][0]

    async def run() -> None:
        store = open_store(log)
        await store.open()
        for count in (10, 20, 90, 151, 151):
            store.begin(entries[:count])
        async with asyncio.timeout(20):
            while (await asyncio.to_thread(cluster.execute, size, database=database))[0][0] == empty:
                await asyncio.sleep(0.01)
        assert not await asyncio.to_thread(rows, log, "key")
        await store.write(entries)
        await store.write([record(200)])
        await store.close()

    asyncio.run(run())
    assert rows(log, "key") == [key(i) for i in (*range(150), 200)]
    assert cluster.execute("SELECT count(*) FROM feedback", database=database)[0][0] == 1


@pytest.mark.parametrize("tls", [False, True])
def test_rows_that_come_faster_than_a_server_reads_are_all_stored_in_order(
    alone: Cluster, monkeypatch: pytest.MonkeyPatch, tls: bool
) -> None:
    """Into the socket while it takes them, then by way of asyncpg, then into the socket again."""
    entries = [packed(record(number, features=f'["{number:0>20000}"]')) for number in range(1300)]  # 26 MB, more than buffers take
    log = f"{alone.url()}?sslmode=verify-full&sslrootcert={alone.offer_tls()}" if tls else alone.url()
    straight: list[bool] = []
    ways = []
    sent = CopyStream._sent

    def noted(stream: CopyStream, some: Sequence[Row]) -> bool:
        straight.append(sent(stream, some))
        return straight[-1]

    monkeypatch.setattr(CopyStream, "_sent", noted)

    async def run() -> None:
        store = open_store(log)
        await store.open()
        store.begin(entries[:10])
        await asyncio.sleep(0.05)
        backend = (await asyncio.to_thread(alone.execute, NEWEST))[0][0]
        os.kill(backend, signal.SIGSTOP)
        transport = store._connection._transport  # type: ignore[attr-defined]
        assert (transport.get_extra_info("ssl_object") is not None) == tls
        for count in range(20, 1010, 10):
            store.begin(entries[:count])
            await asyncio.sleep(0)
        ways.append((straight[0], transport.get_write_buffer_size() > 0, straight[-1]))
        os.kill(backend, signal.SIGCONT)
        async with asyncio.timeout(20):
            while transport.get_write_buffer_size() or not store._stream._idle:  # type: ignore[attr-defined]
                await asyncio.sleep(0.01)
        store.begin(entries[:1010])
        ways.append((straight[-1],))
        await store.write(entries)
        await store.close()

    uvloop.run(run())
    assert ways == [(True, True, False), (True,)]
    assert rows(alone.url(), "key") == [key(i) for i in range(1300)]


@pytest.mark.parametrize("begun_with", ["older", "younger"])
@pytest.mark.parametrize("not_storable", [set(), {3}, {103}, {3, 103}, {20}, {190}], ids=str)
@pytest.mark.parametrize("put", ["write", "replay"])
def test_rows_that_come_while_older_ones_wait_to_be_written_are_not_taken_for_their_continuation(
    log: str, begun_with: str, not_storable: set[int], put: str
) -> None:
    """Nor stored again where one of the older is mended, which is to be refused by the database: its JSON is valid."""
    made = [record(i, features='["\\u0000"]' if i in not_storable else "[]") for i in range(200)]
    older, younger = made[:30], made[100:]

    async def run() -> None:
        store = open_store(log)
        await store.open()
        for begun in (older[:10], younger[:40], younger[:90]) if begun_with == "older" else (younger[:40], younger[:90]):
            store.begin(begun)
        await getattr(store, put)(older)
        for begun in (younger[:95], younger):
            store.begin(begun)
        await store.write(younger)
        await store.close()

    asyncio.run(run())
    assert rows(log, "key") == [key(i) for i in (*range(30), *range(100, 200))]


@pytest.mark.parametrize("place", [0, 99, 120], ids=["first", "last", "later"])
@pytest.mark.parametrize("step", [100, 10], ids=["many at a time", "few at a time"])
def test_a_value_that_no_column_holds_is_mended_among_rows_that_were_begun_with(log: str, place: int, step: int) -> None:
    entries = [record(i) for i in range(150)]
    entries[place] = record(place, client="half a \ud83d character")

    async def run() -> None:
        store = open_store(log)
        await store.open()
        for count in range(step, 101, step):
            store.begin(entries[:count])
        await asyncio.sleep(0.05)  # most of it has been sent; either way is right
        await store.write(entries)
        await store.close()

    asyncio.run(run())
    assert rows(log, "key") == [key(i) for i in range(150)]


def test_rows_that_were_begun_with_and_not_written_are_passed_over_by_a_replay(log: str) -> None:
    begun, others = [record(i) for i in range(100)], [record(i) for i in range(100, 200)]

    async def run() -> None:
        store = open_store(log)
        await store.open()
        store.begin(begun)
        await store.replay(others)
        store.begin(others)  # they are there
        with pytest.raises(StoreAway):
            await store.write(others)
        await store.open()
        await store.replay(begun)
        await store.close()

    asyncio.run(run())
    assert rows(log, "key") == [key(i) for i in range(200)]


def test_a_replay_of_others_in_between_does_not_store_twice_what_was_begun_with(log: str) -> None:
    begun = [record(i) for i in range(150)]

    async def run() -> None:
        store = open_store(log)
        await store.open()
        store.begin(begun[:100])
        await store.replay([record(i) for i in range(200, 300)])
        await store.write(begun)
        store.begin([record(i) for i in range(300, 400)])
        await store.replay([record(i) for i in range(300, 350)])
        store.begin([record(400)])  # with a stream of its own again
        await store.write([record(i) for i in range(400, 450)])
        await store.close()

    asyncio.run(run())
    assert rows(log, "key") == [key(i) for i in (*range(150), *range(200, 450))]


def test_a_write_of_others_in_between_does_not_store_twice_what_was_begun_with(log: str) -> None:
    begun = [record(i) for i in range(150)]

    async def run() -> None:
        store = open_store(log)
        await store.open()
        store.begin(begun[:100])
        await store.write([record(200)])
        store.begin(begun)  # too late
        await store.write(begun)
        store.begin([record(i) for i in range(300, 400)])
        await store.write([record(i) for i in range(300, 401)])
        await store.close()

    asyncio.run(run())
    assert rows(log, "key") == [key(i) for i in (*range(150), 200, *range(300, 401))]


@pytest.mark.parametrize("turns", [0, 1, 2, 3, 50])
@pytest.mark.parametrize("last", ["write", "close"])
@pytest.mark.parametrize("form", [unpacked, packed])
def test_a_session_that_ends_while_rows_come_in_is_told_by_the_write_alone(
    cluster: Cluster, log: str, turns: int, last: str, form: Callable[[Row], Row]
) -> None:
    """On uvloop, as served: its transports have words of their own for that they are closed."""
    unhandled = []
    entries = [form(record(i)) for i in range(300)]

    async def run() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: unhandled.append(context))
        store = open_store(log)
        await store.open()
        store.begin(entries[:100])
        await asyncio.sleep(0.05)
        with ThreadPoolExecutor(1) as thread:
            thread.submit(cluster.execute, f"SELECT pg_terminate_backend(({NEWEST}), 5000)").result()
        for _ in range(turns):
            await asyncio.sleep(0)
        for count in (150, 200):
            store.begin(entries[:count])
        if last == "write":
            with pytest.raises(StoreAway) as raised:
                await store.write(entries)
            assert (raised.value.kind, str(raised.value).endswith("the connection broke")) == ("gone", True)
        await store.close()
        await store.open()
        await store.replay(entries)
        await store.close()

    uvloop.run(run())
    gc.collect()
    assert not unhandled
    assert len(rows(log, "key")) == 300


@pytest.mark.parametrize("form", [unpacked, packed])
def test_what_was_begun_on_a_server_that_hangs_can_be_given_up(alone: Cluster, form: Callable[[Row], Row]) -> None:
    entries = [form(record(number)) for number in range(300)]

    async def run() -> None:
        store = open_store(alone.url())
        await store.open()
        store.begin(entries[:100])
        await asyncio.sleep(0.05)
        backend = (await asyncio.to_thread(alone.execute, NEWEST))[0][0]
        os.kill(backend, signal.SIGSTOP)
        for count in (150, 200):
            store.begin(entries[:count])
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await store.write(entries)
        async with asyncio.timeout(30):  # not until the backend goes on
            await store.close()
            await store.open()
        os.kill(backend, signal.SIGCONT)
        await store.replay(entries)
        await store.close()

    asyncio.run(run())
    assert len(rows(alone.url(), "key")) == 300

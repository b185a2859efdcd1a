"""The bound of an SQLite log: the oldest days go first, then nothing more is taken."""

import asyncio
import sqlite3
from collections import Counter
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from slipway.prediction_log.database import open_store
from slipway.prediction_log.stores.errors import StoreAway
from slipway.prediction_log.stores.size_bound import SizeBound
from slipway.prediction_log.upkeep.maintenance import migrate
from slipway.telemetry.log_metrics import LogMetrics
from tests.support.logged import feedback, record, rows

MOST = 8 * 1024 * 1024
DAY = 2000  # rows, a fifth of what there is room for
TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


class Log:
    """A file of 8 MiB, written through a store as a worker does; what each write left on the disk is the most that
    there was.
    """

    def __init__(self, folder: Path, *, deletes: bool = True) -> None:
        self.path = folder / "log.db"
        self.url = f"sqlite:///{self.path}"
        self.registry = CollectorRegistry()
        self.bound = SizeBound(MOST, LogMetrics(self.registry), deletes=deletes)
        self.largest = 0
        migrate(self.url)

    def write(self, days_ago: float, count: int, first: int, size: int = 100) -> None:
        asyncio.run(self._write(days_ago, count, first, size))

    async def _write(self, days_ago: float, count: int, first: int, size: int) -> None:
        time = TODAY - timedelta(days_ago)
        store = open_store(self.url, self.bound)
        await store.open()
        try:
            for start in range(first, first + count, 200):
                numbers = range(start, min(start + 200, first + count))
                entries = [record(i, time + timedelta(milliseconds=i), features=f'["{i:0>{size}}"]') for i in numbers]
                await store.write([*entries, feedback(10**6 + start, start, "1", time)])
                self.largest = max(
                    self.largest,
                    sum(path.stat().st_size for path in self.path.parent.glob("log.db*") if path.suffix != ".db-shm"),
                )
        finally:
            await store.close()

    def days(self) -> Counter[int]:
        """Rows by how many days ago they are."""
        return Counter((TODAY.date() - time.date()).days for time in rows(self.url, "time"))

    def metric(self, name: str) -> float:
        return self.registry.get_sample_value(name) or 0.0


def test_the_oldest_whole_days_make_room_and_the_file_stays_within_its_bound(tmp_path: Path) -> None:
    log = Log(tmp_path)
    for day in range(11, -1, -1):
        log.write(day, DAY, (11 - day) * DAY)
    assert MOST / 2 < log.largest <= MOST
    days = log.days()
    assert days[0] == DAY
    newest = sorted(days)
    assert newest == list(range(len(newest)))  # no gap: the oldest went
    assert {days[day] for day in newest[:-1]} == {DAY}  # but for the day that is being deleted, each is whole
    assert log.metric("slipway_log_deleted_rows_total") >= DAY * (12 - len(days))
    assert 0 < log.metric("slipway_log_database_bytes") <= MOST
    with closing(sqlite3.connect(log.path)) as connection:
        [(oldest,)] = connection.execute("SELECT min(time) FROM feedback").fetchall()
    assert (TODAY.date() - datetime.fromisoformat(oldest).date()).days <= newest[-1]


def test_rows_of_today_are_not_deleted_and_what_comes_past_the_bound_is_not_taken(tmp_path: Path) -> None:
    log = Log(tmp_path)
    with pytest.raises(StoreAway) as raised:
        log.write(0, 20_000, 0)
    assert (raised.value.kind, "SLIPWAY_LOG_DATABASE_BYTES" in str(raised.value)) == ("bound", True)
    kept = log.days()[0]
    assert kept > 3 * DAY
    with pytest.raises(StoreAway, match="today's rows fill it, and it takes no more of them"):
        log.write(0, 200, 30_000)
    assert log.days()[0] == kept
    assert log.largest <= MOST
    assert log.metric("slipway_log_deleted_rows_total") == 0


def test_a_write_that_is_too_large_for_the_room_that_is_kept_free_finds_it_made(tmp_path: Path) -> None:
    log = Log(tmp_path)
    log.write(1, 5 * DAY, 0)
    with pytest.raises(StoreAway, match="older days make room"):
        log.write(0, 200, 10_000, size=15_000)
    log.write(0, 200, 10_000, size=15_000)
    assert log.days() == {0: 200}


def test_of_a_log_that_is_off_nothing_is_deleted(tmp_path: Path) -> None:
    log = Log(tmp_path, deletes=False)
    with pytest.raises(StoreAway, match="with SLIPWAY_LOG off no more is kept"):
        log.write(1, 20_000, 0)
    assert log.largest <= MOST


def test_a_file_that_is_larger_than_the_bound_loses_its_oldest_days_and_grows_no_more(tmp_path: Path) -> None:
    log = Log(tmp_path)
    bounded, log.bound = log.bound, SizeBound(100 * MOST, LogMetrics(CollectorRegistry()))
    for day in range(5, 0, -1):
        log.write(day, 2 * DAY, (5 - day) * 2 * DAY)
    size, log.bound = log.path.stat().st_size, bounded
    assert size > 1.2 * MOST
    with pytest.raises(StoreAway, match="older days make room"):
        log.write(0, DAY, 100_000)
    log.write(0, DAY, 100_000)
    assert log.path.stat().st_size <= size
    assert log.days()[0] == DAY
    assert 5 not in log.days()


def test_a_trial_tells_whether_the_next_write_finds_room(tmp_path: Path) -> None:
    log = Log(tmp_path)

    async def trial() -> None:
        store = open_store(log.url, log.bound)
        await store.open()
        try:
            await store.try_write()
        finally:
            await store.close()

    asyncio.run(trial())

    def fill(at_once: int) -> None:
        for first in range(0, 20 * DAY, at_once):
            log.write(0, at_once, 100_000 * at_once + first)

    for at_once in (200, 20):
        with pytest.raises(StoreAway):
            fill(at_once)
    with pytest.raises(StoreAway) as raised:
        asyncio.run(trial())
    assert raised.value.kind == "bound"

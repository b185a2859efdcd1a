"""The prediction log in a file."""

import asyncio
import contextlib
import resource
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy.event import listen
from sqlalchemy.ext.asyncio import AsyncEngine

from slipway.prediction_log.database import open_store
from slipway.prediction_log.reading import pages as reading
from slipway.prediction_log.record import Record
from slipway.prediction_log.stores import address as engines
from slipway.prediction_log.stores.address import Address
from slipway.prediction_log.stores.errors import StoreAway
from slipway.prediction_log.upkeep.maintenance import maintain, migrate
from tests.support.logged import NOON, StoreContract, feedback, record, rows, trouble, write

ROOT = Path(__file__).resolve().parents[4]
PEAK = """
import resource, sys
from pathlib import Path
from slipway.prediction_log.reading.export import export
from slipway.prediction_log.reading.pages import Chosen
export(sys.argv[1], Path(sys.argv[2]), Chosen())
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


class TestSQLite(StoreContract):
    @pytest.fixture
    def url(self, tmp_path: Path) -> str:
        return f"sqlite:///{tmp_path}/a folder/log ü.db"


@pytest.fixture
def log(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path}/log.db"
    migrate(url)
    return url


def test_a_file_that_is_not_there_is_not_made_by_a_store(tmp_path: Path) -> None:
    error = trouble(f"sqlite:///{tmp_path}/log.db")
    assert error.kind == "file"
    assert "slipway log migrate" in str(error)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("count", [1, 127, 128, 383, 1000])
def test_every_row_is_stored_once_as_it_is_however_many_statements_it_takes(log: str, count: int) -> None:
    entries = [record(number, NOON + timedelta(seconds=number)) for number in range(count)]
    write(log, [*entries, feedback(5000, 0, "1")])
    found = rows(log, *Record._fields, "outcome")
    outcomes = ["1", *[None] * (count - 1)]
    assert found == [
        (entry.key, datetime.fromtimestamp(entry.time, UTC), *entry[2:], outcome)
        for entry, outcome in zip(entries, outcomes, strict=True)
    ]


def test_a_file_that_is_no_database_is_told(tmp_path: Path) -> None:
    (tmp_path / "log.db").write_text("a poem " * 200)
    assert trouble(f"sqlite:///{tmp_path}/log.db").kind == "file"


@pytest.mark.parametrize("happens", ["deleted", "replaced", "overwritten"])
def test_a_file_that_is_lost_while_it_is_open_is_told_and_the_next_one_is_used(log: str, happens: str) -> None:
    path = Path(log.removeprefix("sqlite:///"))

    async def run() -> None:
        store = open_store(log)
        await store.open()
        await store.write([record(1)])
        if happens == "overwritten":
            path.write_text("a poem")
        else:
            path.unlink()
        if happens == "replaced":
            await asyncio.to_thread(migrate, log)
        with pytest.raises(StoreAway, match="deleted or replaced") as raised:
            await store.write([record(2)])
        assert raised.value.kind == "replaced"
        for left in path.parent.glob("log.db*"):
            left.unlink()
        await asyncio.to_thread(migrate, log)
        await store.open()
        await store.write([record(1), record(2)])
        await store.close()

    asyncio.run(run())
    assert rows(log, "key") == [record(1).key, record(2).key]


@contextlib.contextmanager
def locked(log: str) -> Iterator[None]:
    with contextlib.closing(sqlite3.connect(log.removeprefix("sqlite:///"), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


def test_a_lock_that_stays_is_told_and_a_short_one_is_waited_for(log: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch, locked(log):
        patch.setattr(engines, "CONNECT_SECONDS", 0.1)
        assert trouble(log, [record(1)]).kind == "locked"
    taken, write_started = threading.Event(), threading.Event()

    def hold() -> None:
        with locked(log):
            taken.set()
            write_started.wait()

    holder = threading.Thread(target=hold)
    holder.start()
    taken.wait()
    threading.Timer(0.3, write_started.set).start()
    write(log, [record(1)])
    holder.join()
    assert rows(log, "key") == [record(1).key]


def test_a_full_disk_is_told_and_the_rows_are_stored_when_there_is_room(log: str) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    entries = [record(number) for number in range(2000)]
    code = f"""
import resource, signal
from tests.support.logged import record, trouble
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, {hard}))
error = trouble({log!r}, [record(number) for number in range(2000)])
print(error.kind, error)
"""
    told = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert told.split()[0] in ("disk_full", "file")
    assert rows(log, "key") == []
    write(log, entries)
    assert len(rows(log, "key")) == 2000


def test_a_deleted_day_leaves_room_for_new_rows(log: str, tmp_path: Path) -> None:
    def size() -> int:
        return (tmp_path / "log.db").stat().st_size

    for day in range(4):
        write(log, [record(10_000 * day + number, NOON + timedelta(day)) for number in range(3000)])
        maintain(log, 1, (NOON + timedelta(day)).date())
        if day == 1:
            two_days = size()
    assert size() < 1.6 * two_days


@pytest.mark.slow
@pytest.mark.parametrize("name", ["log.csv", "log.parquet"])
def test_an_export_takes_as_much_memory_for_many_rows_as_for_few(log: str, tmp_path: Path, name: str) -> None:
    def peak() -> int:
        """Bytes, of a process of its own."""
        done = subprocess.run(
            [sys.executable, "-c", PEAK, log, tmp_path / name], cwd=ROOT, check=True, capture_output=True, text=True
        )
        return int(done.stdout) * 1024

    for start in range(0, 60_000, 1000):
        write(log, [record(number, NOON + timedelta(milliseconds=number)) for number in range(start, start + 1000)])
    few = peak()
    for start in range(60_000, 300_000, 5000):
        write(log, [record(number, NOON + timedelta(milliseconds=number)) for number in range(start, start + 5000)])
    assert peak() - few < 24 * 1024 * 1024  # a row held in memory takes more than a kilobyte


@pytest.mark.parametrize("chosen", [{}, {"model": "iris"}, {"model": "iris", "version": "1"}])
def test_a_period_read_in_many_pages_is_as_much_work_as_in_one(
    log: str, monkeypatch: pytest.MonkeyPatch, chosen: dict[str, str]
) -> None:
    write(log, [record(number, NOON + timedelta(seconds=number)) for number in range(3000)])
    steps = 0  # of SQLite's machine, in hundreds
    engine = reading.engine

    def counting(where: Address) -> AsyncEngine:
        def step() -> int:
            nonlocal steps
            steps += 1
            return 0

        made = engine(where)
        listen(
            made.sync_engine,
            "connect",
            lambda made, _: made.run_async(lambda driver: driver.set_progress_handler(step, 100)),
        )
        return made

    def work(page: int) -> int:
        nonlocal steps
        steps = 0
        pages = list(reading.read(log, **chosen, since=NOON, until=NOON + timedelta(1), columns=("key",), page=page))
        assert len(pages) == 3000 // page
        return steps

    monkeypatch.setattr(reading, "engine", counting)
    assert work(100) < 2 * work(3000)

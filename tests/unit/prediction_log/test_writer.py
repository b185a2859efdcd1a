"""The writer between memory, spool and database. The store here is one that fails, hangs or loses the answer to a
commit when told to.
"""

import asyncio
import json
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry

from slipway.engine.loaded_model import LoadedModel
from slipway.model.signature import Signature
from slipway.prediction_log.backlog import Backlog
from slipway.prediction_log.bounds import BATCH_ROWS, Bounds
from slipway.prediction_log.database import Database
from slipway.prediction_log.queue import SLICE_ROWS, Answered, Recorder
from slipway.prediction_log.record import Entry, Feedback
from slipway.prediction_log.redaction import Redaction
from slipway.prediction_log.spool import Spool
from slipway.prediction_log.stores.errors import StoreAway
from slipway.prediction_log.stores.store import Store
from slipway.prediction_log.writer import Writer
from slipway.telemetry.log_metrics import LogMetrics
from slipway.telemetry.request_id import new_key, row_key

pytestmark = pytest.mark.anyio


class Model:
    """As much of a loaded model as a record needs."""

    name = "one"
    key = ("one", "1", "sha256:1")
    artifact = SimpleNamespace(signature=Signature())


MODEL = cast(LoadedModel, Model())
# A tenth of the real ones.
BOUNDS = Bounds(flush=0.05, adopt=1.0, write=0.5, retry=0.1, pauses=(0.0, 0.05))


class MemoryStore:
    """A database: `stored` counts rows by key. `does` says what the next calls do, the last again and again."""

    def __init__(self) -> None:
        self.stored: Counter[str] = Counter()
        self.order: list[str] = []
        self.does = ["work"]
        self.batches: list[int] = []
        self.released = asyncio.Event()
        self.waits = False
        self.finds = True

    async def open(self) -> None:
        if self.does[0] == "refuse":
            raise StoreAway("refused", "The database refuses connections")

    async def close(self) -> None:
        pass

    async def try_write(self) -> None:
        await self._take(())

    async def oldest(self) -> float | None:
        return None

    async def find(self, _: Sequence[str]) -> set[str]:
        if not self.finds:
            await asyncio.Event().wait()
        return set()

    async def write(self, entries: Sequence[Entry]) -> None:
        await self._take([entry for entry in entries if entry.key not in self.stored])

    async def _take(self, entries: Sequence[Entry]) -> None:
        does = self.does.pop(0) if len(self.does) > 1 else self.does[0]
        if does == "fail":
            raise StoreAway("gone", "The connection broke")
        if does == "full":
            raise StoreAway("disk_full", "The disk is full")
        if does == "surprise":
            raise RuntimeError("of a driver")
        if does == "hang":
            await asyncio.Event().wait()
        if does == "slow":
            await asyncio.sleep(0.02)
        if does == "wait":
            self.waits = True
            await self.released.wait()
        self.stored.update(entry.key for entry in entries)
        self.order += [entry.key for entry in entries]
        self.batches.append(len(entries))
        if does == "commit and fail":
            raise StoreAway("gone", "The connection broke after the commit")


class Rig:
    """A writer with its store, spool and metrics. `bounds`: those that are not as in BOUNDS."""

    def __init__(self, folder: Path, *, most_bytes: int = 1 << 30, refuse: bool = False, **bounds: Any) -> None:
        self.bounds = replace(BOUNDS, **bounds)
        self.store = MemoryStore()
        self.folder = folder
        self.registry = CollectorRegistry()
        metrics = LogMetrics(self.registry)
        self.backlog = Backlog(Spool(folder, most_bytes), metrics, refuse=refuse, bounds=self.bounds)
        self.database = Database(lambda: cast(Store, self.store), lambda: None, metrics, self.bounds)
        recorder = Recorder(Redaction((), (), b"", 1000), metrics)
        self.writer = Writer(self.database, self.backlog, recorder, metrics, commit=True, bounds=self.bounds)
        self.keys: list[str] = []
        self.writer.start()

    def answered(self, rows: int) -> Answered:
        key = new_key()
        self.keys += [row_key(key, i) for i in range(rows)]
        return Answered(key, time.time(), key, "/predict", None, MODEL, [[1.0]] * rows, [1] * rows, [None] * rows, 0.0)

    def put(self, requests: int = 1, rows: int = 1) -> None:
        for _ in range(requests):
            self.writer.queue.put(self.answered(rows))

    def count(self, outcome: str) -> float:
        return self.registry.get_sample_value("slipway_log_records_total", {"outcome": outcome}) or 0.0

    def files(self) -> list[str]:
        return [path.name for path in self.folder.glob("*.jsonl")] if self.folder.exists() else []

    async def until(self, condition: Callable[[], Any]) -> None:
        async with asyncio.timeout(20):
            while not condition():
                await asyncio.sleep(0.01)

    async def until_stored(self) -> None:
        await self.until(lambda: set(self.store.stored) == set(self.keys))
        await self.until(lambda: self.backlog.empty)

    def assert_each_once(self) -> None:
        assert self.store.stored == Counter(self.keys)


Make = Callable[..., Awaitable[Rig]]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Make]:
    made: list[Rig] = []

    async def make(**options: Any) -> Rig:
        made.append(Rig(tmp_path / "spool", **options))
        return made[-1]

    yield make
    for each in made:
        await each.writer.close()


async def test_rows_go_straight_to_the_database_in_batches(rig: Make) -> None:
    one = await rig()
    one.put()
    await one.until_stored()
    one.put(2499)
    await one.until_stored()
    one.assert_each_once()
    await one.until(lambda: one.count("stored") == 2500)
    assert one.store.order == one.keys
    assert len(one.store.batches) <= 4
    assert (one.count("stored"), one.count("spooled"), one.files()) == (2500, 0, [])


async def test_rows_are_made_some_at_a_time_and_requests_have_their_turn_in_between(
    rig: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns: list[int] = []
    records = Recorder.records

    def slowly(recorder: Recorder, request: Answered, start: int, stop: int) -> list[Any]:
        time.sleep(0.001)  # past a turn
        turns.append(ticks)
        return records(recorder, request, start, stop)

    ticks = 0
    one = await rig()
    monkeypatch.setattr(Recorder, "records", slowly)
    one.put(5, rows=SLICE_ROWS)
    one.put(1, rows=5 * SLICE_ROWS)
    while set(one.store.stored) != set(one.keys):
        ticks += 1
        await asyncio.sleep(0)
    assert len(turns) == 10
    assert len(set(turns)) > 2  # a turn lasts as long as the others took, which a busy machine stretches
    one.assert_each_once()
    assert one.store.order == one.keys
    assert one.writer.queue.rows == 0


async def test_a_row_that_cannot_be_made_does_not_take_the_others_along(
    rig: Make, caplog: pytest.LogCaptureFixture
) -> None:
    one = await rig()
    good, bad, last = one.answered(2), one.answered(3), one.answered(1)
    one.keys.remove(row_key(bad.key, 1))
    for request in (good, bad._replace(predictions=[1, object(), 1]), last):
        one.writer.queue.put(request)
    await one.until_stored()
    one.assert_each_once()
    assert one.count("dropped") == 1
    assert len([record for record in caplog.records if "cannot be made a record" in record.getMessage()]) == 1


async def test_at_the_end_what_a_slow_database_leaves_no_time_for_goes_to_the_spool(rig: Make) -> None:
    one = await rig(most_written=SLICE_ROWS, stop=0.4)
    one.store.does = ["slow"]  # several times longer than there is time, each time within what a write may take
    one.put(1000)
    await one.writer.close()
    lines = [json.loads(line) for path in one.folder.glob("*.jsonl") for line in path.read_text().splitlines()]
    assert one.count("stored") > 0 < one.count("spooled")
    assert {*one.store.stored, *(line[0] for line in lines)} == set(one.keys)


async def test_a_thousand_rows_do_not_wait_for_the_interval(rig: Make) -> None:
    one = await rig(flush=3600)
    await asyncio.sleep(0.1)
    one.put(BATCH_ROWS - 1)
    await asyncio.sleep(0.1)
    assert not one.store.stored
    one.put()
    await one.until_stored()


@pytest.mark.parametrize(
    "does", [["fail"], ["commit and fail"], ["surprise"], ["hang"], ["refuse"], ["commit and fail", "fail", "hang"]]
)
async def test_whatever_a_write_ends_with_each_row_is_there_once_and_in_order(rig: Make, does: list[str]) -> None:
    one = await rig()
    one.store.does = [*does, "work"] if does != ["refuse"] else does
    for _ in range(20):
        one.put(5)
        await asyncio.sleep(0.02)
    one.store.does[:] = ["work"]
    await one.until_stored()
    one.assert_each_once()
    assert one.store.order == sorted(one.store.order, key=one.keys.index)
    assert one.files() == []
    one.put()
    await one.until_stored()


async def test_a_slow_database_does_not_keep_rows_in_memory_alone(rig: Make) -> None:
    one = await rig()
    one.store.does = ["wait"]
    one.put(5)
    await one.until(lambda: one.count("spooled") == 5)
    one.put(5)
    await one.until(lambda: one.count("spooled") == 10)
    one.store.does = ["work"]
    one.store.released.set()
    await one.until_stored()
    one.assert_each_once()
    assert one.store.order == one.keys


async def test_rows_that_fill_the_queue_faster_than_the_database_takes_them_go_to_the_spool(rig: Make) -> None:
    one = await rig(crowded=3 * SLICE_ROWS, most_written=SLICE_ROWS)
    one.put(1)
    await one.until_stored()
    one.put(3, rows=SLICE_ROWS + 1)
    await one.until_stored()
    assert one.count("spooled") == 0
    one.put(5, rows=SLICE_ROWS + 1)
    await one.until_stored()
    assert one.count("spooled") > 0
    one.assert_each_once()
    assert one.store.order == one.keys


async def test_after_a_database_has_hung_the_next_call_fails_at_once(rig: Make) -> None:
    one = await rig(pauses=(0.0, 3600.0))
    one.store.does = ["hang", "work"]
    for _ in range(2):
        with pytest.raises(StoreAway, match="does not answer in time"):
            await one.database.write([])
    assert one.store.does == ["work"]


@pytest.mark.parametrize(("does", "kept"), [("work", True), ("fail", True), ("refuse", False), ("hang", False)])
async def test_who_waits_for_a_commit_is_told_in_time_whether_there_was_one(rig: Make, does: str, kept: bool) -> None:
    """Once the connection may have been closed while nobody asked."""
    one = await rig(pauses=(0.0, 3600.0))
    one.store.does = [does, "work"] if does == "fail" else [does]
    async with asyncio.timeout(5):
        assert await one.writer.keep(one.answered(3)) is kept
    assert set(one.store.stored) == (set(one.keys) if kept else set())
    one.store.does = ["work"]


async def test_an_outage_is_said_once_when_it_begins_and_once_when_it_ends(
    rig: Make, caplog: pytest.LogCaptureFixture
) -> None:
    one = await rig()
    one.store.does = ["refuse"]
    for _ in range(10):
        one.put()
        await asyncio.sleep(0.05)
    await one.until(lambda: one.database.trouble)
    assert one.registry.get_sample_value("slipway_log_database_up") == 0
    one.store.does = ["work"]
    await one.until_stored()
    await one.until(lambda: one.database.trouble is None)
    assert [record.getMessage() for record in caplog.records] == [
        "The database refuses connections",
        "The prediction log's database is there again",
    ]
    assert one.registry.get_sample_value("slipway_log_database_up") == 1


async def test_a_database_that_took_no_write_is_there_again_when_it_takes_one(
    rig: Make, caplog: pytest.LogCaptureFixture
) -> None:
    database = (one := await rig(pauses=(0.0,))).database
    one.store.does = ["full"]
    with pytest.raises(StoreAway):
        await database.write(())
    for _ in range(3):  # it opens, and is empty: nothing waits to be written
        with pytest.raises(StoreAway):
            await database.open_anew()
        assert await database.oldest() is None
        assert database.trouble is not None
    one.store.does = ["work"]
    await database.open_anew()
    assert database.trouble is None
    assert [record.levelname for record in caplog.records if record.name == "slipway.log"] == ["ERROR", "WARNING"]


@pytest.mark.parametrize(("does", "reads"), [("full", True), ("fail", False)])
async def test_a_database_that_takes_no_write_may_still_be_read(rig: Make, does: str, reads: bool) -> None:
    database = (one := await rig(pauses=(3600.0,))).database
    one.store.does = [does]
    with pytest.raises(StoreAway):
        await database.write(())
    if reads:
        assert await database.oldest() is None
    else:
        with pytest.raises(StoreAway):
            await database.oldest()
    assert database.trouble is not None


async def test_past_its_bound_records_are_dropped_and_counted(rig: Make, caplog: pytest.LogCaptureFixture) -> None:
    one = await rig(most_bytes=1000)
    one.store.does = ["refuse"]
    one.put(5)
    await one.until(lambda: one.count("spooled") == 5)
    one.put(100)
    await one.until(lambda: one.count("dropped") == 100)
    assert not one.backlog.refusing
    one.store.does = ["work"]
    await one.until(lambda: one.count("stored") == 5)
    assert set(one.store.stored) == set(one.keys[:5])
    assert len([record for record in caplog.records if "spool takes no records" in record.getMessage()]) == 1


async def test_past_its_bound_nothing_is_dropped_where_requests_are_refused_instead(rig: Make) -> None:
    one = await rig(most_bytes=1000, refuse=True)
    one.store.does = ["refuse"]
    one.put(105)
    await one.until(lambda: one.backlog.refusing)
    one.put(10)  # were under way
    await asyncio.sleep(0.1)
    one.store.does = ["work"]
    await one.until_stored()
    one.assert_each_once()
    await one.until(lambda: not one.backlog.refusing)
    assert one.count("dropped") == 0


async def test_a_disk_that_takes_nothing_is_said_before_there_is_a_record_and_when_it_is_mended(
    tmp_path: Path, rig: Make, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "spool").write_text("no folder")
    one = await rig()
    await one.until(lambda: one.backlog.trouble)
    one.put(5)
    await one.until_stored()
    one.folder.unlink()
    await one.until(lambda: one.backlog.trouble is None)
    said, mended = (record.getMessage() for record in caplog.records)
    assert "SLIPWAY_LOG_SPOOL" in said
    assert mended.endswith("takes records now")


async def test_without_disk_and_database_rows_wait_in_memory(rig: Make) -> None:
    one = await rig()
    one.folder.write_text("no folder")
    one.store.does = ["refuse"]
    one.put(50)
    await one.until(lambda: one.registry.get_sample_value("slipway_log_queue_rows") == 50)
    one.folder.unlink()
    await one.until(lambda: one.count("spooled") == 50)  # as soon as there is a disk
    one.store.does = ["work"]
    await one.until_stored()
    one.assert_each_once()


async def test_in_memory_there_is_a_bound_too(rig: Make, caplog: pytest.LogCaptureFixture) -> None:
    one = await rig(held_bytes=1000)
    one.folder.write_text("no folder")
    one.store.does = ["refuse"]
    for _ in range(10):
        one.put(5)
        await asyncio.sleep(0.1)
    await one.until(lambda: one.count("dropped") >= 40)
    one.store.does = ["work"]
    await one.until(lambda: one.count("stored") + one.count("dropped") == 50)
    one.folder.unlink()
    assert len([record for record in caplog.records if "are dropped" in record.getMessage()]) == 1


async def test_stopping_leaves_what_was_answered_on_disk_past_the_bound(rig: Make) -> None:
    one = await rig(most_bytes=1000, refuse=True)
    one.store.does = ["refuse"]
    one.put(5)
    await one.until(lambda: one.count("spooled") == 5)
    one.put(100)
    await one.until(lambda: one.backlog.refusing)
    await one.writer.close()
    assert one.count("dropped") == 0
    two = await rig()
    two.keys = one.keys
    await two.until_stored()
    two.assert_each_once()


async def test_stopping_writes_what_is_left(rig: Make) -> None:
    one = await rig()
    one.put(10)
    await one.writer.close()
    one.assert_each_once()


@pytest.mark.parametrize("does", ["refuse", "hang"])
async def test_stopping_without_a_database_leaves_all_to_the_next_worker(rig: Make, does: str) -> None:
    one = await rig()
    one.store.does = [does]
    one.put(10)
    began = time.monotonic()
    await one.writer.close()
    assert time.monotonic() - began < one.bounds.stop + 1
    assert not one.store.stored
    await one.until(lambda: not any(thread.name.startswith("spool") for thread in threading.enumerate()))
    two = await rig()
    two.keys = one.keys
    await two.until_stored()
    two.assert_each_once()


async def test_outcomes_whose_rows_a_database_does_not_look_for_are_on_disk_at_the_end_and_hold_up_no_row(
    rig: Make,
) -> None:
    one = await rig(write=60.0)
    one.store.finds = False
    outcome = Feedback(new_key(), time.time(), new_key(), "1", None)
    one.writer.outcomes.put([outcome])
    one.put(10)
    await one.until(lambda: one.count("stored") + one.count("spooled") == 10)
    await one.writer.close()
    two = await rig()
    two.keys = [*one.keys, outcome.key]
    two.store.stored = one.store.stored
    await two.until_stored()
    two.assert_each_once()


async def test_what_a_slow_disk_leaves_no_time_for_at_the_end_is_counted_and_said(
    rig: Make, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    append = Spool.append

    def slowly(spool: Spool, *args: Any, **options: Any) -> None:
        time.sleep(0.2)
        append(spool, *args, **options)

    monkeypatch.setattr(Spool, "append", slowly)
    one = await rig(most_written=SLICE_ROWS, stop=0.4, flush=3600)
    one.store.does = ["refuse"]
    one.put(20 * SLICE_ROWS)
    await one.writer.close()
    assert one.count("dropped") > 0 < one.count("spooled")
    await one.until(lambda: not any(thread.name.startswith("spool") for thread in threading.enumerate()))
    lines = [line for path in one.folder.glob("*.jsonl") for line in path.read_text().splitlines()]
    assert len(lines) + one.count("dropped") == len(one.keys)
    assert f"{one.count('dropped'):.0f} records of the prediction log are lost" in caplog.text


async def test_what_is_replayed_comes_in_batches_of_a_thousand(rig: Make) -> None:
    one = await rig()
    one.store.does = ["refuse"]
    for _ in range(7):
        one.put(500)
        await asyncio.sleep(0.06)
    await one.until(lambda: one.count("spooled") == 3500)
    one.store.does = ["work"]
    await one.until_stored()
    one.assert_each_once()
    assert one.store.batches == [1000, 1000, 1000, 500]

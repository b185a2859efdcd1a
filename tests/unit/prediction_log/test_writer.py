"""The writer between memory, spool and database. The store here is one that fails, hangs or loses the answer to a commit when told to."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry

from slipway.engine.loaded_model import LoadedModel
from slipway.model.signature import Signature
from slipway.prediction_log import backlog as backlog_module
from slipway.prediction_log import database as link_module
from slipway.prediction_log import queue as memory_module
from slipway.prediction_log import writer as writer_module
from slipway.prediction_log.backlog import Backlog
from slipway.prediction_log.database import Link
from slipway.prediction_log.queue import AHEAD_ROWS, BATCH_ROWS, SLICE_ROWS, Answered, Recorder
from slipway.prediction_log.record import Entry, Row
from slipway.prediction_log.redaction import Redaction
from slipway.prediction_log.spool import Spool
from slipway.prediction_log.stores.forms import AS_RECORDS, AS_VALUES, PACKED, Form, unpacked
from slipway.prediction_log.stores.store import StoreAway
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


class MemoryStore:
    """A database: `stored` counts rows by key. `does` says what the next calls do, the last again and again."""

    def __init__(self) -> None:
        self.stored: Counter[str] = Counter()
        self.order: list[str] = []
        self.does = ["work"]
        self.batches: list[int] = []
        self.begun: list[Entry] = []
        self.released = asyncio.Event()
        self.waits = False

    async def open(self) -> None:
        if self.does[0] == "refuse":
            raise StoreAway("refused", "The database refuses connections")

    async def close(self) -> None:
        pass

    async def try_write(self) -> None:
        await self._take(())

    async def oldest(self) -> float | None:
        return None

    def begin(self, rows: Sequence[Row]) -> None:
        self.begun = [unpacked(row) for row in rows]

    async def write(self, rows: Sequence[Row]) -> None:
        entries = [unpacked(row) for row in rows]
        assert not any(entry.key in self.stored for entry in entries), "a key that is there fails the transaction"
        await self._take(entries)

    async def replay(self, rows: Sequence[Row]) -> None:
        await self._take([entry for entry in map(unpacked, rows) if entry.key not in self.stored])

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
            await asyncio.sleep(writer_module.FLUSH_SECONDS / 2)
        if does == "wait":
            self.waits = True
            await self.released.wait()
        self.stored.update(entry.key for entry in entries)
        self.order += [entry.key for entry in entries]
        self.batches.append(len(entries))
        if does == "commit and fail":
            raise StoreAway("gone", "The connection broke after the commit")


class Rig:
    """A writer with its store, spool and metrics."""

    def __init__(self, folder: Path, form: Form, *, most_bytes: int = 1 << 30, refuse: bool = False) -> None:
        self.store = MemoryStore()
        self.folder = folder
        self.registry = CollectorRegistry()
        metrics = LogMetrics(self.registry)
        self.backlog = Backlog(Spool(folder, most_bytes), metrics, refuse=refuse)
        self.link = Link(lambda: self.store, lambda: None, metrics)
        self.writer = Writer(self.link, self.backlog, Recorder(Redaction((), (), b"", 1000), metrics, form), metrics, commit=True)
        self.keys: list[str] = []
        self.writer.start()

    def put(self, requests: int = 1, rows: int = 1) -> None:
        for _ in range(requests):
            key = new_key()
            self.keys += [row_key(key[0], i) for i in range(rows)]
            self.writer.memory.put(
                (key, time.time_ns(), key[0], "/predict", None, MODEL, [[1.0]] * rows, [1] * rows, [None] * rows, 0.0), rows
            )

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


@pytest.fixture(params=[AS_RECORDS, PACKED, AS_VALUES], ids=["records", "packed", "values"])
async def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> AsyncIterator[Make]:
    """Makes rigs whose times are a tenth of the real ones."""
    for module, name in ((writer_module, "FLUSH_SECONDS"), (writer_module, "ADOPT_SECONDS"), (link_module, "WRITE_SECONDS")):
        monkeypatch.setattr(module, name, getattr(module, name) / 10)
    monkeypatch.setattr(link_module, "PAUSES", (0.0, 0.05))
    monkeypatch.setattr(backlog_module, "RETRY_SECONDS", 0.1)
    made: list[Rig] = []

    async def make(**options: Any) -> Rig:
        made.append(Rig(tmp_path / "spool", request.param, **options))
        return made[-1]

    yield make
    for each in made:
        await each.writer.close()


async def without_intervals(one: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the database at hand, and nothing written yet."""
    one.put()
    await one.until_stored()
    monkeypatch.setattr(writer_module, "FLUSH_SECONDS", 3600)
    await asyncio.sleep(0.1)
    del one.keys[:], one.store.order[:]
    one.store.stored.clear()


async def turns() -> None:
    """More of them than it takes to make the rows that are put at a time."""
    for _ in range(20):
        await asyncio.sleep(0)


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


async def test_the_database_begins_with_what_comes_in_before_the_interval_ends(rig: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    one = await rig()
    await without_intervals(one, monkeypatch)
    for begun in (0, 0, 0, 64, 64, 64, 128):  # once there are 64, in slices of 32
        one.put(20)
        await turns()
        assert [entry.key for entry in one.store.begun] == one.keys[:begun]
    assert one.writer.memory.rows == 140
    await one.writer.close()
    one.assert_each_once()
    assert one.writer.memory.rows == 0


async def test_few_rows_are_made_together_and_many_later_and_what_comes_after_them_waits(
    rig: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    row = Recorder.row

    def noted(recorder: Recorder, request: Answered, i: int) -> Row | None:
        made.append(row_key(request[0][0], i))
        return row(recorder, request, i)

    one = await rig()
    await without_intervals(one, monkeypatch)
    monkeypatch.setattr(Recorder, "row", noted)
    one.put(AHEAD_ROWS // SLICE_ROWS, rows=SLICE_ROWS)
    one.put()
    assert not made
    await one.until(lambda: one.store.begun)
    assert made == [entry.key for entry in one.store.begun] == one.keys[:AHEAD_ROWS]
    one.put(AHEAD_ROWS - 2)
    await turns()
    assert len(made) == AHEAD_ROWS
    one.put()
    await one.until(lambda: made == one.keys)
    one.put(1, rows=SLICE_ROWS + 1)
    one.put(AHEAD_ROWS)
    await turns()
    assert made == one.keys[: 2 * AHEAD_ROWS]
    assert one.writer.memory.rows == len(one.keys)
    await one.writer.close()
    one.assert_each_once()
    assert made == one.store.order == one.keys
    assert one.writer.memory.rows == 0


async def test_few_rows_before_a_request_of_many_are_begun_with(rig: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    one = await rig()
    await without_intervals(one, monkeypatch)
    one.put(SLICE_ROWS)
    one.put(1, rows=SLICE_ROWS + 1)
    await turns()
    assert [entry.key for entry in one.store.begun] == one.keys[:SLICE_ROWS]


async def test_at_the_end_what_a_slow_database_leaves_no_time_for_goes_to_the_spool(rig: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_module, "MOST_WRITTEN", SLICE_ROWS)
    monkeypatch.setattr(writer_module, "STOP_SECONDS", 0.4)
    one = await rig()
    one.store.does = ["slow"]  # 50 times longer than there is time, each time within what a write may take
    one.put(1000)
    await one.writer.close()
    lines = [json.loads(line) for path in one.folder.glob("*.jsonl") for line in path.read_text().splitlines()]
    assert one.count("stored") > 0 < one.count("spooled")
    assert {*one.store.stored, *(line[0] for line in lines)} == set(one.keys)


async def test_rows_that_go_to_the_spool_are_not_begun_with(rig: Make) -> None:
    one = await rig()
    one.store.does = ["refuse"]
    one.put(100)
    await one.until(lambda: one.count("spooled") == 100)
    one.store.does = ["wait"]
    await one.until(lambda: one.store.waits)
    one.put(100)
    await turns()
    assert not one.store.begun
    one.store.released.set()
    await one.until_stored()
    one.assert_each_once()


async def test_a_thousand_rows_do_not_wait_for_the_interval(rig: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "FLUSH_SECONDS", 3600)
    one = await rig()
    await asyncio.sleep(0.1)
    one.put(BATCH_ROWS - AHEAD_ROWS)
    await asyncio.sleep(0.1)
    assert not one.store.stored
    one.put(AHEAD_ROWS)
    await one.until_stored()


@pytest.mark.parametrize("does", [["fail"], ["commit and fail"], ["surprise"], ["hang"], ["refuse"], ["commit and fail", "fail", "hang"]])
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


async def test_rows_that_fill_the_memory_faster_than_the_database_takes_them_go_to_the_spool(
    rig: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "CROWDED", 3 * SLICE_ROWS)
    monkeypatch.setattr(memory_module, "MOST_WRITTEN", SLICE_ROWS)
    one = await rig()
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


async def test_after_a_database_has_hung_the_next_call_fails_at_once(rig: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link_module, "PAUSES", (0.0, 3600))
    one = await rig()
    one.store.does = ["hang", "work"]
    for call in (one.link.write, one.link.replay):
        with pytest.raises(StoreAway, match="does not answer in time"):
            await call([])
    assert one.store.does == ["work"]


async def test_an_outage_is_said_once_when_it_begins_and_once_when_it_ends(rig: Make, caplog: pytest.LogCaptureFixture) -> None:
    one = await rig()
    one.store.does = ["refuse"]
    for _ in range(10):
        one.put()
        await asyncio.sleep(0.05)
    await one.until(lambda: one.writer.trouble)
    assert one.registry.get_sample_value("slipway_log_database_up") == 0
    one.store.does = ["work"]
    await one.until_stored()
    await one.until(lambda: one.writer.trouble is None)
    assert [record.getMessage() for record in caplog.records] == [
        "The database refuses connections",
        "The prediction log's database is there again",
    ]
    assert one.registry.get_sample_value("slipway_log_database_up") == 1


async def test_a_database_that_took_no_write_is_there_again_when_it_takes_one(
    rig: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(link_module, "PAUSES", (0.0,))
    link = (one := await rig()).link
    one.store.does = ["full"]
    with pytest.raises(StoreAway):
        await link.write(())
    for _ in range(3):  # it opens, and is empty: nothing waits to be written
        with pytest.raises(StoreAway):
            await link.open_anew()
        assert await link.oldest() is None
        assert link.trouble is not None
    one.store.does = ["work"]
    await link.open_anew()
    assert link.trouble is None
    assert [record.levelname for record in caplog.records if record.name == "slipway.log"] == ["ERROR", "WARNING"]


@pytest.mark.parametrize(("does", "reads"), [("full", True), ("fail", False)])
async def test_a_database_that_takes_no_write_may_still_be_read(rig: Make, monkeypatch: pytest.MonkeyPatch, does: str, reads: bool) -> None:
    monkeypatch.setattr(link_module, "PAUSES", (3600.0,))
    link = (one := await rig()).link
    one.store.does = [does]
    with pytest.raises(StoreAway):
        await link.write(())
    if reads:
        assert await link.oldest() is None
    else:
        with pytest.raises(StoreAway):
            await link.oldest()
    assert link.trouble is not None


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


async def test_in_memory_there_is_a_bound_too(rig: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(backlog_module, "HELD_BYTES", 1000)
    one = await rig()
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
    assert time.monotonic() - began < writer_module.STOP_SECONDS + 1
    assert not one.store.stored
    await one.until(lambda: not any(thread.name.startswith("spool") for thread in __import__("threading").enumerate()))
    two = await rig()
    two.keys = one.keys
    await two.until_stored()
    two.assert_each_once()


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

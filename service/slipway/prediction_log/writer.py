"""The background task of a worker: what is in memory goes to the database, or to the spool and from there to the database."""

import asyncio
import contextlib
import contextvars
import logging
from collections import deque
from collections.abc import Sequence
from time import monotonic
from typing import NamedTuple

from ..telemetry.log_metrics import LogMetrics
from .backlog import Backlog
from .database import Link
from .outcomes import Outcomes
from .queue import BATCH_ROWS, MOST_ROWS, MOST_WRITTEN, Answered, Memory, Recorder, rows_in
from .record import Row
from .stores.store import StoreAway

FLUSH_SECONDS = 0.5  # what is in memory alone is no older, or is on its way to the database that long
CROWDED = MOST_ROWS // 2  # the database is too slow for them: on to the spool
ADOPT_SECONDS = 10.0  # between looks for files of workers that are gone
STOP_SECONDS = 2.0  # for the database to take what is left at the end

log = logging.getLogger("slipway.log")


class Waiting(NamedTuple):
    """A request that is answered once its rows are kept; the result: whether they are."""

    request: Answered
    kept: asyncio.Future[bool]


class Writer:
    """`memory` is where answers are put. `commit`: who waits, waits for the database, else for the disk if it works."""

    def __init__(self, link: Link, backlog: Backlog, recorder: Recorder, metrics: LogMetrics, *, commit: bool) -> None:
        self._link = link
        self._backlog = backlog
        self._metrics = metrics
        self._commit = commit
        self._waiting: deque[Waiting] = deque()
        self._wake = asyncio.Event()
        self.memory = Memory(recorder, self._wake.set, self._begin)
        self.outcomes = Outcomes(metrics)
        self._task: asyncio.Task[None] | None = None
        self._recovering: asyncio.Task[None] | None = None
        self._stopping = False
        self._straight_until = float("inf")  # from then on rows go to the spool, which takes more of them in the time before the end
        self._hurried = False  # somebody waits for rows: nothing is begun before their write, which it would hold up

    @property
    def trouble(self) -> str | None:
        """What is wrong with the database, as a sentence."""
        return self._link.trouble

    def _begin(self) -> None:
        memory = self.memory
        if memory.made and memory.rows < BATCH_ROWS and self._backlog.empty and not self._hurried:
            self._link.begin(memory.made)

    def keep(self, request: Answered, rows: int) -> asyncio.Future[bool]:
        """The future's result is there in bounded time, whatever becomes of the database."""
        kept: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append(Waiting(request, kept))
        self._hurried = True
        self.memory.rows += rows
        self._wake.set()
        return kept

    def start(self) -> None:
        """Again and again, to no effect. Not within the context of the request that may have been the first to need it."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run(), context=contextvars.Context())

    async def connect(self) -> None:
        """So that `trouble` is known; otherwise the first flush finds out."""
        with contextlib.suppress(StoreAway):
            await self._link.open()

    async def oldest(self) -> float | None:
        """When the oldest row in the database was answered; None without one. Raises StoreAway."""
        return await self._link.oldest()

    async def close(self) -> None:
        """After the last answer. What the database does not take within STOP_SECONDS goes to the spool."""
        task, self._task = self._task, None
        if task is None:
            return
        self._stopping = True
        self._straight_until = monotonic() + STOP_SECONDS / 2
        self._wake.set()
        await asyncio.wait({task}, timeout=STOP_SECONDS)
        for each in (running := [each for each in (task, self._recovering) if each is not None]):
            each.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await self._link.close()
        lost = await self._backlog.close()
        if lost:
            log.error("%d records of the prediction log are lost: neither database nor spool took them", lost)

    async def _run(self) -> None:
        await self._backlog.adopt()
        self._recovering = asyncio.create_task(self._replay())
        flush_at, adopt_at = monotonic() + FLUSH_SECONDS, monotonic() + ADOPT_SECONDS
        while not self._stopping:
            await self._sleep(flush_at - monotonic())
            try:
                if self._waiting:
                    await self._answer_waiting()
                if self.memory.rows >= BATCH_ROWS or monotonic() >= flush_at:
                    flush_at = monotonic() + FLUSH_SECONDS
                    await self._flush()
                    self._recover()
                if monotonic() >= adopt_at:
                    adopt_at = monotonic() + ADOPT_SECONDS
                    await self._backlog.adopt()
            except Exception:  # whatever it is, the next records are not to wait for ever
                log.exception("the prediction log's writer failed, and goes on")
        await self._flush()
        await self._recovering
        self._recover()
        await self._recovering

    async def _sleep(self, seconds: float) -> None:
        if seconds > 0 and not self._wake.is_set():
            timer = asyncio.get_running_loop().call_later(seconds, self._wake.set)
            await self._wake.wait()
            timer.cancel()
        self._wake.clear()

    async def _flush(self) -> None:
        """What is in memory now, and no younger."""
        self._metrics.queue(self.memory.rows + len(self.outcomes) + self._backlog.held)
        async with contextlib.aclosing(self.memory.take()) as taken:
            async for some in taken:
                await self._deliver(some)
        await self._flush_outcomes()
        if self._backlog.holding:
            await self._backlog.append(())

    async def _flush_outcomes(self) -> None:
        """After the rows of this worker, behind which they go to the spool, too: what is there is bounded, and cannot be looked up."""
        new, late = self.outcomes.take(last=self._stopping)
        rows = [*new, *late]
        if rows and self._backlog.empty:
            with contextlib.suppress(StoreAway):
                found = await self._link.find([row.prediction for row in rows])
                rows = self.outcomes.admitted(new, late, found)
        for start in range(0, len(rows), MOST_WRITTEN):
            await self._deliver(rows[start : start + MOST_WRITTEN])

    async def _deliver(self, rows: Sequence[Row]) -> None:
        """Straight to the database while nothing older waits, it answers at once, and memory does not fill; to the spool otherwise."""
        at_hand = self._link.trouble is None and not self._link.busy and monotonic() < self._straight_until
        if at_hand and self._backlog.empty and self.memory.rows < CROWDED:
            writing = asyncio.create_task(self._link.write(rows))
            await asyncio.wait({writing}, timeout=FLUSH_SECONDS)
            if writing.done() and writing.exception() is None:
                self._metrics.counted("stored", len(rows))
                return
            # It may be in the database, or be yet: what is replayed passes that over.
            writing.add_done_callback(lambda done: done.cancelled() or done.exception())
        await self._backlog.append(rows)

    async def _answer_waiting(self) -> None:
        """All that have come while the last were kept, at once."""
        group, count = list[Waiting](), 0
        while self._waiting and count < BATCH_ROWS:
            group.append(self._waiting.popleft())
            count += rows_in(group[-1].request)
        rows = [row async for some in self.memory.rows_of(deque(waiting.request for waiting in group)) for row in some]
        kept = False
        try:
            kept = (not self._commit and await self._backlog.append(rows, durable=True)) or await self._committed(rows)
            if not kept and not self._commit:
                await self._backlog.hold(rows)
        finally:
            for waiting in group:
                if not waiting.kept.done():  # its client may have gone
                    waiting.kept.set_result(kept)
            if self._waiting:
                self._wake.set()

    async def _committed(self, rows: Sequence[Row]) -> bool:
        try:
            await self._link.write(rows)
        except StoreAway:
            try:
                await self._link.replay(rows)  # the connection may have been closed while nobody asked
            except StoreAway:
                return False
        self._metrics.counted("stored", len(rows))
        return True

    def _recover(self) -> None:
        idle = self._recovering is None or self._recovering.done()
        # Readiness depends on the database where answers wait for it.
        needed = not self._backlog.empty or self._link.trouble is not None or (self._commit and self._link.idle)
        if idle and needed and self._link.usable:
            self._recovering = asyncio.create_task(self._replay())

    async def _replay(self) -> None:
        """The backlog, the oldest first, until it is short; what comes next waits for the next flush, so that it comes in batches."""
        try:
            if self._backlog.empty:
                await self._link.open_anew()
            read = BATCH_ROWS
            while read >= BATCH_ROWS or (self._stopping and not self._backlog.empty):
                entries = await self._backlog.read(BATCH_ROWS)
                if entries:
                    await self._link.replay(entries)
                await self._backlog.committed()
                self._metrics.counted("stored", len(entries))
                read = len(entries)
        except StoreAway:  # the link has said so
            return

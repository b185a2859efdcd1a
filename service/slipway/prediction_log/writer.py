"""The background task of a worker: what is in the queue goes to the database, or to the spool and from there to the
database.
"""

import asyncio
import contextlib
import contextvars
import logging
from collections import deque
from collections.abc import Coroutine, Sequence
from time import monotonic
from typing import Any, NamedTuple, TypeVar

from ..telemetry.log_metrics import LogMetrics
from .backlog import Backlog
from .bounds import BATCH_ROWS, BOUNDS, Bounds
from .database import Database
from .outcomes import Outcomes
from .queue import Answered, Queue, Recorder
from .record import Entry
from .stores.errors import StoreAway

T = TypeVar("T")
log = logging.getLogger("slipway.log")


class Waiting(NamedTuple):
    """A request that is answered once its rows are kept; the result: whether they are."""

    request: Answered
    kept: asyncio.Future[bool]


class Writer:
    """`queue` is where answers are put. `commit`: who waits, waits for the database, else for the disk if it works."""

    def __init__(
        self,
        database: Database,
        backlog: Backlog,
        recorder: Recorder,
        metrics: LogMetrics,
        *,
        commit: bool,
        bounds: Bounds = BOUNDS,
    ) -> None:
        self._database = database
        self._backlog = backlog
        self._metrics = metrics
        self._commit = commit
        self._bounds = bounds
        self._waiting: deque[Waiting] = deque()
        self._wake = asyncio.Event()
        self.queue = Queue(recorder, self._wake.set, bounds)
        self.outcomes = Outcomes(metrics)
        self._task: asyncio.Task[None] | None = None
        self._replaying: asyncio.Task[None] | None = None
        self._stopping = False
        # From then on rows go to the spool, which takes more of them in the time before the end.
        self._straight_until = float("inf")

    def keep(self, request: Answered) -> asyncio.Future[bool]:
        """The future's result is there in bounded time, whatever becomes of the database."""
        kept: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append(Waiting(request, kept))
        self.queue.rows += len(request.predictions)
        self._wake.set()
        return kept

    def start(self) -> None:
        """Again and again, to no effect. Not within the context of the request that may have been the first to need
        it.
        """
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run(), context=contextvars.Context())

    async def close(self) -> None:
        """After the last answer. What the database does not take in time goes to the spool."""
        task, self._task = self._task, None
        if task is None:
            return
        self._stopping = True
        self._straight_until = monotonic() + self._bounds.stop / 2
        self._wake.set()
        await asyncio.wait({task}, timeout=self._bounds.stop)
        for each in (running := [each for each in (task, self._replaying) if each is not None]):
            each.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await self._database.close()
        self._metrics.counted("dropped", self.queue.rows)  # more than could be made records and written in that time
        lost = await self._backlog.close() + self.queue.rows
        if lost:
            log.error("%d records of the prediction log are lost: neither database nor spool took them", lost)

    async def _run(self) -> None:
        await self._backlog.adopt()
        self._replaying = asyncio.create_task(self._replay())
        flush_at, adopt_at = monotonic() + self._bounds.flush, monotonic() + self._bounds.adopt
        while not self._stopping:
            await self._sleep(flush_at - monotonic())
            try:
                if self._waiting:
                    await self._answer_waiting()
                if self.queue.rows >= BATCH_ROWS or monotonic() >= flush_at:
                    flush_at = monotonic() + self._bounds.flush
                    await self._flush()
                    self._recover()
                if monotonic() >= adopt_at:
                    adopt_at = monotonic() + self._bounds.adopt
                    await self._backlog.adopt()
            except Exception:  # whatever it is, the next records are not to wait for ever
                log.exception("the prediction log's writer failed, and goes on")
        await self._flush()
        await self._replaying
        self._recover()
        await self._replaying

    async def _sleep(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        self._wake.clear()

    async def _flush(self) -> None:
        """What is in the queue now, and no younger."""
        self._metrics.queue(self.queue.rows + len(self.outcomes) + self._backlog.held)
        async for some in self.queue.take():
            await self._deliver(some)
        await self._flush_outcomes()
        if self._backlog.held:
            await self._backlog.append(())

    async def _flush_outcomes(self) -> None:
        """After the rows of this worker, behind which they go to the spool, too: what is there is bounded, and
        cannot be looked up.
        """
        new, late = self.outcomes.take(last=self._stopping)
        rows = [*new, *late]
        if rows and self._backlog.empty:
            finding = await self._soon(self._database.find([row.prediction for row in rows]))
            if _succeeded(finding):
                rows = self.outcomes.admitted(new, late, finding.result())
            elif not finding.done() and not self._stopping:  # what nobody has looked for would fill the spool
                self.outcomes.put(rows)
                return
        most = self._bounds.most_written
        for start in range(0, len(rows), most):
            await self._deliver(rows[start : start + most])

    async def _deliver(self, entries: Sequence[Entry]) -> None:
        """Straight to the database while nothing older waits, it answers at once, and the queue does not fill; to
        the spool otherwise.
        """
        at_hand = self._database.trouble is None and not self._database.busy and monotonic() < self._straight_until
        straight = at_hand and self._backlog.empty and self.queue.rows < self._bounds.crowded
        if straight and _succeeded(await self._soon(self._database.write(entries))):
            self._metrics.counted("stored", len(entries))
            return
        # What was tried may be in the database, or be yet: a key that is there is passed over when it comes again.
        await self._backlog.append(entries)

    async def _soon(self, call: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """The call, which has had the time between two flushes to end. It goes on, whatever comes of it."""
        calling = asyncio.create_task(call)
        await asyncio.wait({calling}, timeout=self._bounds.flush)
        calling.add_done_callback(lambda done: done.cancelled() or done.exception())
        return calling

    async def _answer_waiting(self) -> None:
        """All that have come while the last were kept, at once."""
        group, count = list[Waiting](), 0
        while self._waiting and count < BATCH_ROWS:
            group.append(self._waiting.popleft())
            count += len(group[-1].request.predictions)
        rows = [row async for some in self.queue.records(deque(waiting.request for waiting in group)) for row in some]
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

    async def _committed(self, entries: Sequence[Entry]) -> bool:
        """The second time because the connection may have been closed while nobody asked."""
        for _ in range(2):
            with contextlib.suppress(StoreAway):
                await self._database.write(entries)
                self._metrics.counted("stored", len(entries))
                return True
        return False

    def _recover(self) -> None:
        idle = self._replaying is None or self._replaying.done()
        # Readiness depends on the database where answers wait for it.
        needed = not self._backlog.empty or self._database.trouble is not None or (self._commit and self._database.idle)
        if idle and needed and self._database.usable:
            self._replaying = asyncio.create_task(self._replay())

    async def _replay(self) -> None:
        """The backlog, the oldest first, until it is short; what comes next waits for the next flush, so that it
        comes in batches.
        """
        try:
            if self._backlog.empty:
                await self._database.open_anew()
            read = BATCH_ROWS
            while read >= BATCH_ROWS or (self._stopping and not self._backlog.empty):
                entries = await self._backlog.read(BATCH_ROWS)
                if entries:
                    await self._database.write(entries)
                await self._backlog.committed()
                self._metrics.counted("stored", len(entries))
                read = len(entries)
        except StoreAway:  # the database has said so
            return


def _succeeded(calling: asyncio.Task[Any]) -> bool:
    return calling.done() and not calling.cancelled() and calling.exception() is None

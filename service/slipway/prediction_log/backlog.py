"""What waits for the database: on disk in the spool, and in memory where the spool takes nothing."""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from time import monotonic
from typing import Any, TypeVar

from pydantic_core import from_json

from ..telemetry.log_metrics import LogMetrics
from .bounds import BOUNDS, Bounds
from .pace import Pace
from .record import Entry, Feedback, Record
from .redaction import json_bytes
from .spool import Spool, SpoolFull

SLICE_ROWS = 20  # encoded at a time: some 100 microseconds

T = TypeVar("T")
log = logging.getLogger("slipway.log")


class Backlog:
    """In the order of arrival. `refuse`: nothing is dropped past the bounds, but `refusing` says that no more should
    come.
    """

    def __init__(self, spool: Spool, metrics: LogMetrics, *, refuse: bool, bounds: Bounds = BOUNDS) -> None:
        self._spool = spool
        self._metrics = metrics
        self._refuse = refuse
        self._bounds = bounds
        self._held: deque[bytes] = deque()  # younger than what is on disk
        self._held_bytes = 0
        self._read_held = 0
        self._failure: Exception = OSError()
        self._retry_at = 0.0
        self._disk: ThreadPoolExecutor | None = None  # a disk that hangs must not hold up requests
        self.dropping = False  # what comes is lost where the database does not take it
        self.refusing = False
        self.trouble: str | None = None  # why the spool takes nothing

    @property
    def empty(self) -> bool:
        return not self._held and self._spool.empty

    @property
    def held(self) -> int:
        """Entries in memory alone."""
        return len(self._held)

    async def append(self, entries: Sequence[Entry], *, durable: bool = False) -> bool:
        """Whether they are on disk. If not, and they were not to be `durable`, they are held in memory as far as
        that may be.
        """
        lines = await _lines(entries)
        held = list(self._held)
        try:
            if self.trouble is not None and monotonic() < self._retry_at:
                raise self._failure
            await self._on_disk(lambda: self._spool.append([*held, *lines], durable=durable))
        except (OSError, SpoolFull) as exc:
            if exc is not self._failure:
                self._failure, self._retry_at = exc, monotonic() + self._bounds.retry
            self._note(_refusal(exc))
            if not durable:
                self._hold(lines)
            return False
        self._note(None)
        self._held.clear()  # nobody else adds to it
        self._held_bytes = self._read_held = 0
        self._metrics.counted("spooled", len(held) + len(lines))
        await self.measure()
        return True

    async def hold(self, entries: Sequence[Entry]) -> None:
        """Those that were to be durable, and neither disk nor database took, unless their requests are refused."""
        if not self._refuse:
            self._hold(await _lines(entries))

    async def read(self, most: int) -> list[Entry]:
        """The oldest, which stay until `committed`."""
        lines: Sequence[bytes] = []
        if not self._spool.empty:
            try:
                lines = await self._on_disk(lambda: self._spool.read(most))
            except OSError as exc:
                self._note(f"the prediction log's spool cannot be read: {exc}")
        self._read_held = 0 if lines else min(most, len(self._held))
        return [entry for line in lines or list(self._held)[: self._read_held] if (entry := _entry(line)) is not None]

    async def committed(self) -> None:
        """What `read` gave last is in the database."""
        if not self._read_held:
            await self._on_disk(self._spool.committed)
        for _ in range(min(self._read_held, len(self._held))):
            self._held_bytes -= len(self._held.popleft())
        self._read_held = 0
        if self.empty:
            self.dropping = False
            if self.trouble is not None:
                await self._check()
        await self.measure()

    async def adopt(self) -> None:
        """Takes over what workers that are dead left on disk. Whether there is one that takes records is known
        afterwards.
        """
        await self._check()
        try:
            found = await self._on_disk(self._spool.adopt)
        except OSError:  # the same that was wrong above
            return
        if found:
            log.warning("%d files of the prediction log's spool are taken over from workers that are gone", found)
            await self.measure()

    async def measure(self) -> None:
        if not self._refuse or not self._held:
            self.refusing = False
        self._metrics.spool_bytes(await self._on_disk(self._spool.size))

    async def close(self) -> int:
        """What is on disk waits for whoever comes next, and past the bound what was in memory; answers how many
        entries are lost.
        """
        if self._held:
            with contextlib.suppress(OSError):  # TimeoutError is one
                async with asyncio.timeout(self._bounds.close):
                    lines = list(self._held)
                    await self._on_disk(lambda: self._spool.append(lines, durable=False, bounded=False))
                self._metrics.counted("spooled", len(lines))
                self._held.clear()
        if self._disk is not None:
            self._disk.submit(self._spool.close)
            self._disk.shutdown(wait=False)
        self._metrics.counted("dropped", len(self._held))
        return len(self._held)

    async def _check(self) -> None:
        try:
            await self._on_disk(self._spool.check)
        except (OSError, SpoolFull) as exc:
            self._note(_refusal(exc))
        else:
            if self.empty:  # else `append` and `read` know better
                self._note(None)

    def _hold(self, lines: Sequence[bytes]) -> None:
        """After the spool has taken nothing."""
        size = sum(map(len, lines))
        if isinstance(self._failure, SpoolFull) or self._held_bytes + size > self._bounds.held_bytes:
            if not self._refuse:
                if not self.dropping:
                    log.error(
                        "records of the prediction log are dropped from now on: neither its database nor its spool "
                        "takes them"
                    )
                self.dropping = True
                self._metrics.counted("dropped", len(lines))
                return
            self.refusing = True
        self._held.extend(lines)
        self._held_bytes += size

    def _note(self, trouble: str | None) -> None:
        if trouble is not None and self.trouble is None:
            log.error("%s", trouble)
        elif trouble is None and self.trouble is not None:
            log.warning("the prediction log's spool takes records now")
            self.dropping = False
        self.trouble = trouble

    async def _on_disk(self, work: Callable[[], T]) -> T:
        if self._disk is None:
            self._disk = ThreadPoolExecutor(1, "spool")
        return await asyncio.get_running_loop().run_in_executor(self._disk, work)


def _refusal(error: OSError | SpoolFull) -> str:
    remedy = (
        "mend the database, or allow more"
        if isinstance(error, SpoolFull)
        else ("mend it, or let SLIPWAY_LOG_SPOOL name another folder")
    )
    return f"the prediction log's spool takes no records: {error}: {remedy}"


async def _lines(entries: Sequence[Entry]) -> list[bytes]:
    lines, pace = [], Pace()
    for start in range(0, len(entries), SLICE_ROWS):
        if pace.due:
            await pace.rest()
        lines += [b"%s\n" % json_bytes(list(entry)) for entry in entries[start : start + SLICE_ROWS]]
    return lines


def _entry(line: bytes) -> Entry | None:
    """None for a line that no disk should have given back."""
    try:
        values: list[Any] = from_json(line)
        return Record(*values) if len(values) == len(Record._fields) else Feedback(*values)
    except (ValueError, TypeError):
        log.error("a line of the prediction log's spool cannot be read, and is passed over")
        return None

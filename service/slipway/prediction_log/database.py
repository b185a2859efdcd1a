"""A worker's connection to the database: every call bounded in time, opened again after a failure, and said once that it is away."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from time import monotonic

from ..telemetry.log_metrics import LogMetrics
from .record import Row
from .stores.store import Store, StoreAway

PREPARE_SECONDS = 30.0
OPEN_SECONDS = 3.0
WRITE_SECONDS = 5.0  # SQLite waits four for another process's lock
CLOSE_SECONDS = 1.0
# Kinds of trouble with which it still opens: only a write shows that they are over.
SHOWN_BY_WRITING = frozenset({"disk_full", "bound", "read_only", "file", "locked", "privilege"})
IDLE_SECONDS = 2.0  # after which nobody knows whether the database is still there
PAUSES = (0.0, 0.5, 1.0, 2.0, 4.0)  # seconds until the next attempt after so many failures; a broken connection is opened again at once

log = logging.getLogger("slipway.log")


class Link:
    """`prepare`, run in a thread before the store is opened, makes the file of an embedded database where there is none."""

    def __init__(self, connect: Callable[[], Store], prepare: Callable[[], None], metrics: LogMetrics) -> None:
        self._connect = connect
        self._prepare = prepare
        self._metrics = metrics
        self._store: Store | None = None
        self._calls = asyncio.Lock()
        self._failures = 0
        self._retry_at = 0.0
        self._used_at = 0.0
        self._kind = ""
        self.trouble: str | None = None  # why the database is away, as a sentence; None while it is not known to be

    @property
    def usable(self) -> bool:
        """Whether an attempt is worth while: it is there, or it is time to look."""
        return self.trouble is None or monotonic() >= self._retry_at

    @property
    def busy(self) -> bool:
        return self._calls.locked()

    @property
    def idle(self) -> bool:
        return monotonic() - self._used_at > IDLE_SECONDS

    async def open(self) -> None:
        """Raises StoreAway, as the other calls do."""
        await self._call(None)

    async def open_anew(self) -> None:
        """Finds out whether the database is there, and takes writes again where it did not."""
        async with self._calls:
            await self.close()
        await self._call((lambda store: store.try_write()) if self._kind in SHOWN_BY_WRITING else None)

    def begin(self, rows: Sequence[Row]) -> None:
        """A head start for `write` with these and more, where the database is at hand."""
        if self._store is not None and self.trouble is None and not self.busy:
            self._store.begin(rows)

    async def write(self, rows: Sequence[Row]) -> None:
        """After an error it is unknown whether the rows are in the database."""
        await self._call(lambda store: store.write(rows))

    async def replay(self, rows: Sequence[Row]) -> None:
        """The same for rows that may be in the database: those are passed over."""
        await self._call(lambda store: store.replay(rows))

    async def find(self, keys: Sequence[str]) -> set[str]:
        """Those of these keys that have a row."""
        found = set[str]()

        async def find(store: Store) -> None:
            found.update(await store.find(keys))

        await self._call(find, writes=False)
        return found

    async def oldest(self) -> float | None:
        """When the oldest row was answered; None without one."""
        found = list[float | None]()

        async def look(store: Store) -> None:
            found.append(await store.oldest())

        await self._call(look, writes=False)
        return found[0]

    async def close(self) -> None:
        store, self._store = self._store, None
        if store is not None:
            with contextlib.suppress(Exception):  # it is given up, whatever it says
                async with asyncio.timeout(CLOSE_SECONDS):
                    await store.close()

    async def _call(self, work: Callable[[Store], Awaitable[None]] | None, *, writes: bool = True) -> None:
        async with self._calls:
            if not self.usable and (writes or self._kind not in SHOWN_BY_WRITING):  # else it may still be read
                raise StoreAway("away", self.trouble or "")
            try:
                store = self._store or await self._open()
                if work is not None:
                    async with asyncio.timeout(WRITE_SECONDS):
                        await work(store)
            except StoreAway as exc:
                await self._away(exc)
                raise
            except TimeoutError:
                away = StoreAway(
                    "timeout",
                    "The prediction log's database does not answer in time: look at its load, and the network to it",
                )
                await self._away(away)
                raise away from None
            except Exception as exc:  # a driver's own, which the store has not foreseen
                away = StoreAway("error", f"The prediction log's database failed: {type(exc).__name__}: {exc}")
                await self._away(away)
                raise away from exc
            except BaseException:  # cancelled in the middle of a call: the connection cannot be used again
                await self.close()
                raise
            if (work is not None and writes) or self._kind not in SHOWN_BY_WRITING:
                self._back()

    async def _open(self) -> Store:
        async with asyncio.timeout(PREPARE_SECONDS):
            await asyncio.to_thread(self._prepare)
        async with asyncio.timeout(OPEN_SECONDS):
            self._store = store = self._connect()
            await store.open()
        return store

    async def _away(self, exc: StoreAway) -> None:
        if self.trouble is None or (self._kind == "replaced" and exc.kind != "replaced"):  # why the new file cannot be used, either
            log.error("%s", exc)
            self._metrics.database_up(False)
        self._metrics.failed(exc.kind)
        self.trouble, self._kind = str(exc), exc.kind
        if exc.kind == "timeout":  # who waits for a commit has waited long enough
            self._failures = max(self._failures, 1)
        self._retry_at = monotonic() + PAUSES[min(self._failures, len(PAUSES) - 1)]
        self._failures += 1
        await self.close()

    def _back(self) -> None:
        if self.trouble is not None:
            log.warning("The prediction log's database is there again")
            self._metrics.database_up(True)
        self.trouble, self._kind = None, ""
        self._failures = 0
        self._used_at = monotonic()

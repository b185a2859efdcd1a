"""A worker's connection to the database: every call bounded in time, opened again after a failure, and said once
that it is away.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from time import monotonic
from typing import TYPE_CHECKING, TypeVar

from ..telemetry.log_metrics import LogMetrics
from .bounds import BOUNDS, Bounds
from .record import Entry
from .stores.errors import StoreAway
from .stores.size_bound import SizeBound

if TYPE_CHECKING:  # a server whose log is off does without SQLAlchemy and the drivers, a third of a second
    from .stores.store import Store

# Kinds of trouble with which it still opens: only a write shows that they are over.
SHOWN_BY_WRITING = frozenset({"disk_full", "bound", "read_only", "file", "locked", "privilege"})
SLOW = "The prediction log's database does not answer in time: look at its load, and the network to it"

T = TypeVar("T")
log = logging.getLogger("slipway.log")


class Database:
    """`prepare`, run in a thread before the store is opened, makes the file of an embedded database where there is
    none.
    """

    def __init__(
        self, connect: Callable[[], "Store"], prepare: Callable[[], None], metrics: LogMetrics, bounds: Bounds = BOUNDS
    ) -> None:
        self._connect = connect
        self._prepare = prepare
        self._metrics = metrics
        self._bounds = bounds
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
        return monotonic() - self._used_at > self._bounds.idle

    async def open(self) -> None:
        """Raises StoreAway, as the other calls do."""
        await self._call(_nothing, writes=False)

    async def open_anew(self) -> None:
        """Finds out whether the database is there, and takes writes again where it did not."""
        async with self._calls:
            await self.close()
        shown_by_writing = self._kind in SHOWN_BY_WRITING
        await self._call((lambda store: store.try_write()) if shown_by_writing else _nothing, writes=shown_by_writing)

    async def write(self, entries: Sequence[Entry]) -> None:
        """After an error it is unknown whether they are in the database; written again they are there once."""
        await self._call(lambda store: store.write(entries))

    async def find(self, keys: Sequence[str]) -> set[str]:
        """Those of these keys that have a row."""
        return await self._call(lambda store: store.find(keys), writes=False)

    async def oldest(self) -> float | None:
        """When the oldest row was answered; None without one."""
        return await self._call(lambda store: store.oldest(), writes=False)

    async def close(self) -> None:
        store, self._store = self._store, None
        if store is not None:
            with contextlib.suppress(Exception):  # it is given up, whatever it says
                async with asyncio.timeout(self._bounds.close):
                    await store.close()

    async def _call(self, work: Callable[["Store"], Awaitable[T]], *, writes: bool = True) -> T:
        async with self._calls:
            shown = writes or self._kind not in SHOWN_BY_WRITING
            if not self.usable and shown:  # else it may still be read
                raise StoreAway("away", self.trouble or "")
            try:
                store = self._store or await self._open()
                async with asyncio.timeout(self._bounds.write):
                    result = await work(store)
            except BaseException as error:
                away = _away(error)
                if away is None:  # cancelled in the middle of a call: the connection cannot be used again
                    await self.close()
                    raise
                await self._note(away)
                if away is error:
                    raise
                raise away from error
            if shown:
                self._back()
            return result

    async def _open(self) -> "Store":
        async with asyncio.timeout(self._bounds.prepare):
            await asyncio.to_thread(self._prepare)
        async with asyncio.timeout(self._bounds.open):
            self._store = store = self._connect()
            await store.open()
        return store

    async def _note(self, away: StoreAway) -> None:
        # Why the new file cannot be used, either.
        if self.trouble is None or (self._kind == "replaced" and away.kind != "replaced"):
            log.error("%s", away)
            self._metrics.database_up(False)
        self._metrics.failed(away.kind)
        self.trouble, self._kind = str(away), away.kind
        if away.kind == "timeout":  # who waits for a commit has waited long enough
            self._failures = max(self._failures, 1)
        pauses = self._bounds.pauses
        self._retry_at = monotonic() + pauses[min(self._failures, len(pauses) - 1)]
        self._failures += 1
        await self.close()

    def _back(self) -> None:
        if self.trouble is not None:
            log.warning("The prediction log's database is there again")
            self._metrics.database_up(True)
        self.trouble, self._kind = None, ""
        self._failures = 0
        self._used_at = monotonic()


async def _nothing(_: "Store") -> None:
    """To open it is all."""


def _away(error: BaseException) -> StoreAway | None:
    if isinstance(error, StoreAway):
        return error
    if isinstance(error, TimeoutError):
        return StoreAway("timeout", SLOW)
    if isinstance(error, Exception):  # a driver's own, which the store has not foreseen
        return StoreAway("error", f"The prediction log's database failed: {type(error).__name__}: {error}")
    return None


def open_store(url: str, bound: SizeBound | None = None) -> "Store":
    """A store that is not connected yet. `bound`: of an SQLite file's size.

    Raises ValueError, in a sentence, where the address is of neither database.
    """
    from .stores.address import address
    from .stores.postgresql import PostgreSQLStore
    from .stores.sqlite import SQLiteStore

    where = address(url)
    return PostgreSQLStore(where) if where.path is None else SQLiteStore(where, bound)

"""The size that an SQLite log may have: near it the oldest days are deleted, some rows at each write, past it
nothing is taken.
"""

import contextlib
import os
import sqlite3
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

from ...telemetry.log_metrics import LogMetrics
from .errors import StoreAway

if TYPE_CHECKING:  # a server whose log is off does without
    from aiosqlite import Connection

# This part of the bound is left to the write-ahead log, and this part of the file free where days can be deleted.
PART = 16
# Rows that are deleted at a time, so that the other workers wait for a fraction of a second only; their room is used
# again.
STEP = 1_000
_TABLES = ("predictions", "feedback")
_OLDEST = f"SELECT min(time) FROM ({' UNION ALL '.join(f'SELECT min(time) AS time FROM {table}' for table in _TABLES)})"

_ALL_OF_TODAY = (
    "today's rows fill it, and it takes no more of them: raise SLIPWAY_LOG_DATABASE_BYTES, or lower SLIPWAY_LOG_RATE"
)
_LOG_IS_OFF = "with SLIPWAY_LOG off no more is kept: turn it on, or move the file away"


class SizeBound:
    """One for all connections that a worker makes. `deletes`: of a log that is off nothing is deleted for what a
    request leaves in it.
    """

    def __init__(self, most_bytes: int, metrics: LogMetrics, *, deletes: bool = True) -> None:
        self._most_bytes = most_bytes
        self._deletes = deletes
        self._metrics = metrics
        self._page_bytes = 4096
        self._most_pages = 0  # of the file
        self._before: str | None = None  # the end of the day that is being deleted

    async def claim(self, connection: "Connection") -> None:
        """SQLite itself sees to it that no write makes the file larger. One that is larger already does not shrink."""
        wal = self._most_bytes // PART
        self._page_bytes = await _number(connection, "PRAGMA page_size")
        self._most_pages = (self._most_bytes - wal) // self._page_bytes
        await connection.execute(f"PRAGMA max_page_count = {self._most_pages}")
        await connection.execute(f"PRAGMA journal_size_limit = {wal}")  # a large transaction's log is cut again
        await connection.execute(f"PRAGMA wal_autocheckpoint = {min(1000, wal // self._page_bytes // 2)}")

    async def keep(self, connection: "Connection", place: str, size: int, written: int) -> None:
        """After a write of so many rows to a file of this size, as the file system has it: deletes more than that
        where room runs out.
        """
        with contextlib.suppress(OSError):
            size += os.stat(f"{place}-wal").st_size
        self._metrics.database_bytes(size)
        # A file whose rows were deleted keeps its size.
        if size < self._most_pages * self._page_bytes * (PART - 1) // PART:
            return
        with contextlib.suppress(sqlite3.Error):  # what was written is; the next write tries again
            await self._delete(connection, STEP + 2 * written, least_pages=self._most_pages * (PART - 1) // PART)

    async def full(self, connection: "Connection", error: BaseException, place: str) -> StoreAway | None:
        """What a write that failed at the bound is to say, once some room is made if that can be; None for any other
        failure.
        """
        if getattr(error, "sqlite_errorname", None) != "SQLITE_FULL":
            return None
        try:
            if connection.in_transaction:
                await connection.execute("ROLLBACK")
            disk = os.statvfs(os.path.dirname(os.path.abspath(place)))
            missing = self._most_pages - await _number(connection, "PRAGMA page_count")
            if disk.f_bavail * disk.f_frsize < missing * self._page_bytes:
                return None  # it is the disk that is full
            deleted = await self._delete(connection, 10 * STEP, least_pages=0)
        except (OSError, sqlite3.Error):
            return None
        what = "older days make room" if deleted else _ALL_OF_TODAY if self._deletes else _LOG_IS_OFF
        return StoreAway(
            "bound",
            f"The file of the prediction log, {place}, has the {self._most_bytes:,} bytes that it may have: {what}",
        )

    async def _delete(self, connection: "Connection", most: int, least_pages: int) -> int:
        """Rows of the oldest day but today, which is begun with where so many pages are used, and then goes whole.
        Raises sqlite3.Error.
        """
        if not self._deletes:
            return 0
        async with connection.execute(_OLDEST) as cursor:
            [oldest] = await cursor.fetchone() or (None,)
        if self._before is not None and (oldest is None or oldest >= self._before):
            self._before = None
        if self._before is None:
            pages, free = [await _number(connection, f"PRAGMA {name}_count") for name in ("page", "freelist")]
            if pages - free < least_pages or oldest is None or oldest[:10] >= datetime.now(UTC).date().isoformat():
                return 0
            self._before = (date.fromisoformat(oldest[:10]) + timedelta(1)).isoformat()
        deleted = 0
        for table in _TABLES:
            some = f"SELECT rowid FROM {table} WHERE time < ? ORDER BY time LIMIT ?"
            async with connection.execute(
                f"DELETE FROM {table} WHERE rowid IN ({some})", (self._before, most)
            ) as cursor:
                deleted += cursor.rowcount
        self._metrics.deleted(deleted)
        return deleted


async def _number(connection: "Connection", statement: str) -> int:
    async with connection.execute(statement) as cursor:
        row = await cursor.fetchone()
    return int(row[0]) if row is not None else 0

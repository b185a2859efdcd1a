"""The prediction log in a SQLite file, which several workers write at once: WAL, and transactions that begin as
writers.
"""

import asyncio
import os
import sqlite3
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from itertools import chain
from typing import Any

from ..record import Entry, Feedback, Record
from .address import Address, engine
from .errors import StoreAway
from .size_bound import SizeBound
from .store import Store
from .tables import FIELDS, feedback, iso, predictions

# Rows in a statement. sqlite3 lets the interpreter's lock go for each statement: row by row the thread would have to
# win it back from a busy event loop each time, which takes a millisecond and more. Few sizes, so that all statements
# stay prepared; a write needs few.
SIZES = (128, 64, 32, 16, 8, 4, 2, 1)
LOOKED_FOR = 500  # keys in a statement
TRIAL_BYTES = 65_536  # as the largest record has by default
# Makes the file larger where no page of it is free, and writes to the disk: what a write may fail at.
TRIAL = ("BEGIN IMMEDIATE", f"CREATE TABLE trial AS SELECT zeroblob({TRIAL_BYTES})", "DROP TABLE trial", "COMMIT")


class SQLiteStore(Store):
    def __init__(self, where: Address, bound: SizeBound | None = None) -> None:
        super().__init__(where)
        self._bound = bound
        self._ending: asyncio.Future[Any] | None = None  # of a thread that has been told to end
        self._file: os.stat_result | None = None  # the file that is open

    async def write(self, entries: Sequence[Entry]) -> None:
        await super().write(entries)
        if self._bound is not None and self._file is not None:
            await self._bound.keep(self._connection, self._where.place, self._file.st_size, len(entries))

    async def close(self) -> None:
        self._stop()
        if self._ending is not None:
            await asyncio.wait([self._ending], timeout=1)  # longer only where the disk hangs
            self._ending = None

    async def _connect(self) -> None:
        self._file = self._found()
        pooled = await engine(self._where).raw_connection()
        self._connection = pooled.driver_connection
        pooled.detach()  # the pool would wait for the thread, and the disk may hang
        await self._connection.execute("PRAGMA synchronous = FULL")  # what is committed outlasts a loss of power
        if self._bound is not None:
            await self._bound.claim(self._connection)

    async def _abandon(self, *, wait: bool) -> None:
        """The thread ends when the disk lets it, which `close` and `open` give it time for."""
        if self._connection is not None:
            await self._connection.interrupt()
            self._stop()
        if wait:
            await self.close()

    def _stop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            self._ending = connection.stop()

    async def _rows(self, query: str, *values: Any) -> Sequence[Any]:
        return list(await self._connection.execute_fetchall(query, values))

    async def _put(self, entries: Sequence[Entry]) -> None:
        self._check_file()
        await self._connection.execute("BEGIN IMMEDIATE")
        for kind, table in ((Record, predictions.name), (Feedback, feedback.name)):
            stored = [
                (entry[0], iso(datetime.fromtimestamp(entry[1], UTC)), *entry[2:])
                for entry in entries
                if isinstance(entry, kind)
            ]
            start = 0
            for size in SIZES:
                while len(stored) - start >= size:  # not executemany: between two statements requests have their turn
                    await self._connection.execute(
                        _insert(table, size), list(chain.from_iterable(stored[start : start + size]))
                    )
                    start += size
        await self._connection.execute("COMMIT")
        self._check_file()

    async def _roll_back(self) -> None:
        if self._connection.in_transaction:
            await self._connection.execute("ROLLBACK")

    async def _try(self) -> None:
        self._check_file()
        for statement in TRIAL:
            await self._connection.execute(statement)
        self._check_file()

    async def _find(self, keys: Sequence[str]) -> set[str]:
        found = set[str]()
        for start in range(0, len(keys), LOOKED_FOR):
            some = keys[start : start + LOOKED_FOR]
            query = f"SELECT key FROM {predictions.name} WHERE key IN ({', '.join('?' * len(some))})"
            found.update(key for (key,) in await self._rows(query, *some))
        return found

    async def _told(self, error: BaseException) -> BaseException:
        full = None
        if self._bound is not None and self._connection is not None:
            full = await self._bound.full(self._connection, error, self._where.place)
        return full or await super()._told(error)

    def _check_file(self) -> None:
        """SQLite goes on writing into a file that nobody finds any more. Log files only grow: a shorter one is
        another's content.
        """
        opened, found = self._file, self._found()
        if opened is None or found is None or not os.path.samestat(opened, found) or found.st_size < opened.st_size:
            raise StoreAway(
                "replaced",
                f"The file of the prediction log, {self._where.place}, was deleted or replaced while it was open: it "
                "is opened anew",
            )
        self._file = found

    def _found(self) -> os.stat_result | None:
        """On the event loop: of a file that is open, or was a moment ago, no disk is asked."""
        try:
            return os.stat(self._where.place)
        except OSError:
            return None

    @staticmethod
    def _seconds(time: str) -> float:
        return datetime.fromisoformat(time).timestamp()

    @staticmethod
    def _lacks_table(error: Exception) -> bool:
        return isinstance(error, sqlite3.OperationalError) and str(error).startswith("no such table")

    @staticmethod
    def _may_be_mended(error: Exception) -> bool:
        return isinstance(error, OverflowError | ValueError)  # half characters, a time that no calendar has


@cache
def _insert(table: str, rows: int) -> str:
    fields = FIELDS[table]
    places = f"({', '.join('?' * len(fields))})"
    return f"INSERT INTO {table} ({', '.join(fields)}) VALUES {', '.join([places] * rows)} ON CONFLICT (key) DO NOTHING"

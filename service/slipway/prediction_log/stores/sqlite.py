"""The prediction log in a SQLite file, which several workers write at once: WAL, and transactions that begin as writers."""

import asyncio
import os
import sqlite3
from collections.abc import Sequence
from datetime import datetime
from functools import cache
from itertools import chain
from typing import Any

import aiosqlite

from ..record import Feedback, Row
from .address import Address, engine
from .errors import StoreAway, away, schema
from .forms import unpacked
from .repair import storable
from .room import Room
from .sqlite_format import values_of
from .tables import FIELDS, REVISION, REVISION_TABLE, feedback, predictions

# Rows in a statement. sqlite3 lets the interpreter's lock go for each statement: row by row the thread would have to win it back from
# a busy event loop each time, which takes a millisecond and more. Few sizes, so that all statements stay prepared; a write needs few.
SIZES = (128, 64, 32, 16, 8, 4, 2, 1)
LOOKED_FOR = 500  # keys in a statement
TRIAL_BYTES = 65_536  # as the largest record has by default


class SQLiteStore:
    def __init__(self, where: Address, room: Room | None = None) -> None:
        self._where = where
        self._room = room
        self._connection: aiosqlite.Connection | None = None
        self._ending: asyncio.Future[Any] | None = None  # of a thread that has been told to end
        self._file: os.stat_result | None = None  # the file that is open

    async def open(self) -> None:
        await self.close()
        file = engine(self._where)
        self._file = self._found()
        try:
            pooled = await file.raw_connection()
            connection: aiosqlite.Connection = pooled.driver_connection  # type: ignore[assignment]
            self._connection = connection
            pooled.detach()  # the pool would wait for the thread, and the disk may hang
            await connection.execute("PRAGMA synchronous = FULL")  # what is committed outlasts a loss of power
            if self._room is not None:
                await self._room.claim(connection)
            async with connection.execute(f"SELECT version_num FROM {REVISION_TABLE}") as cursor:
                row = await cursor.fetchone()
        except BaseException as error:
            await self._abandon(error)
            if isinstance(error, sqlite3.OperationalError) and str(error).startswith("no such table"):
                raise schema(self._where.place, None, REVISION) from None
            raise self._meaning(error) from error
        found = None if row is None else row[0]
        if found != REVISION:
            await self.close()
            raise schema(self._where.place, found, REVISION)

    def begin(self, rows: Sequence[Row]) -> None:
        """Nothing: the other workers would wait for the file."""

    async def write(self, rows: Sequence[Row]) -> None:
        await self._transact("", rows)

    async def replay(self, rows: Sequence[Row]) -> None:
        await self._transact("ON CONFLICT (key) DO NOTHING", rows)

    async def try_write(self) -> None:
        await self._transact("", None)

    async def find(self, keys: Sequence[str]) -> set[str]:
        found = set[str]()
        for start in range(0, len(keys), LOOKED_FOR):
            some = keys[start : start + LOOKED_FOR]
            places = ", ".join("?" * len(some))
            found.update([key for (key,) in await self._ask(f"SELECT key FROM {predictions.name} WHERE key IN ({places})", some)])
        return found

    async def oldest(self) -> float | None:
        [(time,)] = await self._ask(f"SELECT min(time) FROM {predictions.name}")
        return None if time is None else datetime.fromisoformat(time).timestamp()

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            self._ending = connection.stop()
        if self._ending is not None:
            await asyncio.wait([self._ending], timeout=1)  # longer only where the disk hangs
            self._ending = None

    async def _ask(self, query: str, values: Sequence[str] = ()) -> list[Any]:
        connection = self._connected()
        try:
            async with connection.execute(query, values) as cursor:
                return list(await cursor.fetchall())
        except BaseException as error:
            await self._abandon(error)
            raise self._meaning(error) from error

    def _connected(self) -> aiosqlite.Connection:
        if self._connection is None:
            raise StoreAway("gone", f"The database of the prediction log, {self._where.place}, is not connected")
        return self._connection

    async def _transact(self, ending: str, rows: Sequence[Row] | None) -> None:
        """`rows`: None for a trial."""
        connection = self._connected()
        await self._check_file()
        try:
            try:
                await (_try(connection) if rows is None else _put(connection, ending, rows))
            except (UnicodeEncodeError, OverflowError, ValueError):  # half characters, a time that no calendar has
                if connection.in_transaction:
                    await connection.execute("ROLLBACK")
                await _put(connection, ending, [storable(unpacked(row)) for row in rows or ()])
        except BaseException as error:
            full = None if self._room is None else await self._room.full(connection, error, self._where.place)
            await self._abandon(error)
            raise full or self._meaning(error) from error
        await self._check_file()
        if self._room is not None and self._file is not None:
            await self._room.keep(connection, self._where.place, self._file.st_size, len(rows or ()))

    async def _check_file(self) -> None:
        """SQLite goes on writing into a file that nobody finds any more. Log files only grow: a shorter one is another's content."""
        opened, found = self._file, self._found()
        if opened is None or found is None or not os.path.samestat(opened, found) or found.st_size < opened.st_size:
            await self.close()
            raise StoreAway(
                "replaced",
                f"The file of the prediction log, {self._where.place}, was deleted or replaced while it was open: it is opened anew",
            )
        self._file = found

    def _found(self) -> os.stat_result | None:
        """On the event loop: of a file that is open, or was a moment ago, no disk is asked."""
        try:
            return os.stat(self._where.place)
        except OSError:
            return None

    async def _abandon(self, error: BaseException) -> None:
        """When cancelled without waiting: the thread ends when the disk lets it, which `close` and `open` give it time for."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.interrupt()
            self._ending = connection.stop()
        if isinstance(error, Exception):
            await self.close()

    def _meaning(self, error: BaseException) -> BaseException:
        return away(error, self._where.place) if isinstance(error, Exception) else error


async def _try(connection: aiosqlite.Connection) -> None:
    """Makes the file larger where no page of it is free, and writes to the disk: what a write may fail at."""
    for statement in ("BEGIN IMMEDIATE", f"CREATE TABLE trial AS SELECT zeroblob({TRIAL_BYTES})", "DROP TABLE trial", "COMMIT"):
        await connection.execute(statement)


async def _put(connection: aiosqlite.Connection, ending: str, rows: Sequence[Row]) -> None:
    await connection.execute("BEGIN IMMEDIATE")
    records = [row if type(row) is tuple else values_of(unpacked(row)) for row in rows if type(row) is not Feedback]
    outcomes = [values_of(row) for row in rows if isinstance(row, Feedback)]
    for table, stored in ((predictions.name, records), (feedback.name, outcomes)):
        start = 0
        for size in SIZES:
            while len(stored) - start >= size:  # not executemany: between two statements requests have their turn
                await connection.execute(_insert(table, size, ending), list(chain.from_iterable(stored[start : start + size])))
                start += size
    await connection.execute("COMMIT")


@cache
def _insert(table: str, rows: int, ending: str) -> str:
    fields = FIELDS[table]
    places = f"({', '.join('?' * len(fields))})"
    return f"INSERT INTO {table} ({', '.join(fields)}) VALUES {', '.join([places] * rows)} {ending}"

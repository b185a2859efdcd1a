"""The prediction log in PostgreSQL: COPY for what is new, INSERT … ON CONFLICT DO NOTHING for what may be there already."""

import asyncio
import contextlib
import gc
import struct
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from datetime import UTC, datetime
from time import monotonic
from typing import Any

import asyncpg

from .away import StoreAway, away, schema
from .copy_format import HEADER, TRAILER, row
from .engines import Address, engine
from .pace import Pace
from .record import Entry, Feedback, Record
from .repair import storable
from .tables import FIELDS, REVISION, REVISION_TABLE, feedback, predictions

COPIED = 2_000  # rows in a statement: as a rule all, so that no transaction need be begun
PIECE_ROWS = 50  # encoded at a time
# Between statements, where there is time. The server keeps what COPY brings until its end, or a thousand rows; what it does then takes it
# eight microseconds a row, which on a shared machine requests wait for.
STATEMENT_SECONDS = 0.006
FEWEST_COPIED = 30  # rows in a statement: with fewer its two round trips cost more than they spare the requests
REPLAYED = 200  # fewer: the arrays of their columns are encoded at a stretch, which holds the event loop for a millisecond
# The server looks after 5 s of silence whether the client is there, and gives up on it, or on what it does not acknowledge, after 20 s,
# not hours: rows of a transaction that the network cut in two would keep their replay waiting. Not at connecting: a pooler would refuse it.
PRESENCE = "SET tcp_keepalives_idle = 5; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3; SET tcp_user_timeout = 20000"
MOVED = "23514"  # a row was on its way into the default partition when its day got one of its own
_TYPES = {"key": "uuid", "prediction": "uuid", "time": "timestamptz", "position": "integer", "confidence": "float8", "latency_ms": "float8"}
_TYPES |= dict.fromkeys(("features", "answer", "outcome"), "jsonb")

Put = Callable[[asyncpg.Connection, str, Sequence[Entry]], Awaitable[None]]


class PostgreSQLStore:
    def __init__(self, where: Address) -> None:
        self._where = where
        self._connection: asyncpg.Connection | None = None

    async def open(self) -> None:
        await self.close()
        try:
            pooled = await engine(self._where).raw_connection()
            connection: asyncpg.Connection = pooled.driver_connection
            self._connection = connection
            pooled.detach()  # the pool would await it when it is to go, and the network may be cut
            await connection.execute(PRESENCE)
            await connection.reset_type_codec("jsonb", schema="pg_catalog")  # SQLAlchemy's is in Python
            found = await connection.fetchval(f"SELECT version_num FROM {REVISION_TABLE}")
        except BaseException as error:
            self._abandon()
            if getattr(error, "sqlstate", None) == "42P01":
                raise schema(self._where.place, None, REVISION) from None
            raise self._meaning(error) from error
        if found != REVISION:
            self._abandon()
            raise schema(self._where.place, found, REVISION)

    async def write(self, entries: Sequence[Entry], seconds: float = 0.0) -> None:
        statements = max(1, int(seconds / STATEMENT_SECONDS))
        await self._transact(_copy, min(COPIED, max(FEWEST_COPIED, len(entries) // statements + 1)), entries, seconds)

    async def replay(self, entries: Sequence[Entry]) -> None:
        await self._transact(_insert_missing, REPLAYED, entries)

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                await connection.close(timeout=1)

    async def _transact(self, put: Put, size: int, entries: Sequence[Entry], seconds: float = 0.0) -> None:
        connection = self._connection
        if connection is None:
            raise StoreAway("gone", f"The database of the prediction log, {self._where.place}, is not connected")
        try:
            try:
                await _put(connection, put, size, entries, seconds)
            except Exception as error:
                about_data = _is_about_data(error)
                if not about_data and getattr(error, "sqlstate", None) != MOVED:
                    raise
                if connection.is_in_transaction():
                    await connection.execute("ROLLBACK")
                await _put(connection, put, size, [storable(entry) for entry in entries] if about_data else entries, 0.0)
        except BaseException as error:
            # Also when cancelled: to end the transaction in good order would be to wait for a server that does not answer.
            self._abandon()
            raise self._meaning(error) from error

    def _abandon(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            # A COPY that begins between a server's last word and the end of the connection leaves a future that nobody awaits:
            # asyncio would log its failure, with a traceback.
            futures = [found for found in gc.get_referents(connection._protocol) if asyncio.isfuture(found)]
            connection.terminate()
            for future in futures:
                if future.done() and not future.cancelled():
                    future.exception()

    def _meaning(self, error: BaseException) -> BaseException:
        return away(error, self._where.place) if isinstance(error, Exception) else error


async def _put(connection: asyncpg.Connection, put: Put, size: int, entries: Sequence[Entry], seconds: float) -> None:
    slices = list(_slices(entries, size))
    began = monotonic()
    if len(slices) > 1:  # one statement is a transaction by itself
        await connection.execute("BEGIN")
    for i, (table, rows) in enumerate(slices):
        early = began + seconds * i / len(slices) - monotonic()
        if early > 0.0:
            await asyncio.sleep(early)
        await put(connection, table, rows)
    if len(slices) > 1:
        await connection.execute("COMMIT")


def _slices(entries: Sequence[Entry], size: int) -> Iterator[tuple[str, Sequence[Entry]]]:
    for table, kind in ((predictions.name, Record), (feedback.name, Feedback)):
        some = [entry for entry in entries if type(entry) is kind]
        for start in range(0, len(some), size):
            yield table, some[start : start + size]


async def _copy(connection: asyncpg.Connection, table: str, entries: Sequence[Entry]) -> None:
    async with contextlib.aclosing(_pieces(entries)) as pieces:
        await connection.copy_to_table(table, source=pieces, columns=FIELDS[table], format="binary")


async def _pieces(entries: Sequence[Entry]) -> AsyncGenerator[bytes, None]:
    pace = Pace()
    last = len(entries) - PIECE_ROWS
    for start in range(0, len(entries), PIECE_ROWS):
        if pace.due:
            await pace.rest()
        piece = b"".join(map(row, entries[start : start + PIECE_ROWS]))
        yield b"".join((HEADER if start == 0 else b"", piece, TRAILER if start >= last else b""))


async def _insert_missing(connection: asyncpg.Connection, table: str, entries: Sequence[Entry]) -> None:
    """A parameter per column, each an array: no temporary table, so that no more than INSERT need be granted."""
    await connection.execute(_INSERTS[table], *map(list, zip(*map(_row, entries), strict=True)))


def _row(entry: Entry) -> tuple[Any, ...]:
    return (entry[0], datetime.fromtimestamp(entry[1], UTC), *entry[2:])


def _insert(table: str) -> str:
    arrays = ", ".join(f"${number}::{_TYPES.get(name, 'text')}[]" for number, name in enumerate(FIELDS[table], 1))
    return f"INSERT INTO {table} ({', '.join(FIELDS[table])}) SELECT * FROM unnest({arrays}) ON CONFLICT DO NOTHING"


_INSERTS = {table: _insert(table) for table in FIELDS}


def _is_about_data(error: Exception) -> bool:
    """A value that the client cannot encode or the server cannot hold; nothing else was wrong."""
    state = getattr(error, "sqlstate", None)
    if state is not None:
        return state[:2] in ("22", "54")
    return isinstance(error, asyncpg.DataError | ValueError | OverflowError | struct.error) and not isinstance(error, OSError)

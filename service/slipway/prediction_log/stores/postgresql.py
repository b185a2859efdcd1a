"""The prediction log in PostgreSQL: COPY for what is new, INSERT … ON CONFLICT DO NOTHING for what may be there already."""

import contextlib
import struct
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from itertools import takewhile
from typing import Any

import asyncpg

from ...telemetry.request_id import new_key
from ..record import Feedback, Row
from .address import Address, engine
from .copy_stream import CopyStream, awaited
from .errors import StoreAway, away, schema
from .forms import unpacked
from .repair import storable
from .tables import FIELDS, REVISION, REVISION_TABLE, feedback, predictions

REPLAYED = 200  # at a time: the arrays of their columns are encoded at a stretch, which holds the event loop for a millisecond
# The server looks after 5 s of silence whether the client is there, and gives up on it, or on what it does not acknowledge, after 20 s,
# not hours: rows of a transaction that the network cut in two would keep their replay waiting. Not at connecting: a pooler would refuse it.
PRESENCE = "SET tcp_keepalives_idle = 5; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3; SET tcp_user_timeout = 20000"
MOVED = "23514"  # a row was on its way into the default partition when its day got one of its own
_TYPES = {"key": "uuid", "prediction": "uuid", "time": "timestamptz", "position": "integer", "confidence": "float8", "latency_ms": "float8"}
_TYPES |= dict.fromkeys(("features", "answer", "outcome"), "jsonb")

Put = Callable[[asyncpg.Connection, Sequence[Row]], Awaitable[None]]
PutSome = Callable[[asyncpg.Connection, str, Sequence[Row]], Awaitable[None]]


class PostgreSQLStore:
    def __init__(self, where: Address) -> None:
        self._where = where
        self._connection: asyncpg.Connection | None = None
        self._stream: CopyStream | None = None  # of predictions, begun with

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

    def begin(self, rows: Sequence[Row]) -> None:
        stream = self._stream
        if stream is None and self._connection is not None:
            stream = self._stream = CopyStream(self._connection, predictions.name, at_once=True)
        if stream is not None and stream.begins(rows):
            stream.feed(_leading_records(rows[len(stream.rows) :]))

    async def write(self, rows: Sequence[Row]) -> None:
        stream = self._stream
        if stream is not None and not stream.ended and stream.leads(rows):
            stream.feed(_leading_records(rows[len(stream.rows) :]))
        await self._transact(_copy, rows)

    async def replay(self, rows: Sequence[Row]) -> None:
        await self._transact(_insert_missing, rows)
        begun = self._stream.rows if self._stream is not None else []
        if not begun or unpacked(begun[0]).key in {unpacked(row).key for row in rows}:
            self._stream = None  # else what was begun with is stored, too, and the write that brings it is to know

    async def try_write(self) -> None:
        await self._transact(_try, ())

    async def find(self, keys: Sequence[str]) -> set[str]:
        query = f"SELECT key::text AS key FROM {predictions.name} WHERE key = ANY($1::uuid[])"
        return {row["key"] for row in await self._ask(query, keys)}

    async def oldest(self) -> float | None:
        [(time,)] = await self._ask(f"SELECT min(time) FROM {predictions.name}")
        return None if time is None else float(time.timestamp())

    async def close(self) -> None:
        if self._stream is not None:
            self._abandon()
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                await connection.close(timeout=1)

    async def _ask(self, query: str, *values: Any) -> list[asyncpg.Record]:
        connection = self._connected()
        try:
            try:
                await self._end_stream(())
            except Exception as error:
                if not _is_about_data(error) and getattr(error, "sqlstate", None) != MOVED:
                    raise  # else the write that brings these rows sees to it
            return list(await connection.fetch(query, *values))
        except BaseException as error:
            self._abandon()
            raise self._meaning(error) from error

    def _connected(self) -> asyncpg.Connection:
        if self._connection is None:
            raise StoreAway("gone", f"The database of the prediction log, {self._where.place}, is not connected")
        return self._connection

    async def _transact(self, put: Put, rows: Sequence[Row]) -> None:
        connection = self._connected()
        try:
            try:
                rows = await self._end_stream(rows)
                await put(connection, rows)
            except Exception as error:
                about_data = _is_about_data(error)
                if not about_data and getattr(error, "sqlstate", None) != MOVED:
                    raise
                if connection.is_in_transaction():
                    await connection.execute("ROLLBACK")
                await put(connection, [storable(unpacked(row)) for row in rows] if about_data else rows)
        except BaseException as error:
            # Also when cancelled: to end the transaction in good order would be to wait for a server that does not answer.
            self._abandon()
            raise self._meaning(error) from error

    async def _end_stream(self, rows: Sequence[Row]) -> Sequence[Row]:
        """Those of the rows that did not come with it."""
        stream = self._stream
        if stream is None:
            return rows
        try:
            await stream.finish()
        except Exception:  # nothing that came with it is stored
            self._stream = None
            raise
        if not stream.leads(rows):
            return rows  # a write that brings what is stored with it may come yet
        self._stream = None
        return rows[len(stream.rows) :]

    def _abandon(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            awaited(connection)  # a COPY may begin between a server's last word and the end of the connection
            connection.terminate()
            if self._stream is not None:
                self._stream.drop()
                self._stream = None

    def _meaning(self, error: BaseException) -> BaseException:
        return away(error, self._where.place) if isinstance(error, Exception) else error


async def _copy(connection: asyncpg.Connection, rows: Sequence[Row]) -> None:
    await _each(connection, rows, max(1, len(rows)), _copy_some)


async def _insert_missing(connection: asyncpg.Connection, rows: Sequence[Row]) -> None:
    """A parameter per column, each an array: no temporary table, so that no more than INSERT need be granted."""
    await _each(connection, rows, REPLAYED, _insert_some)


async def _try(connection: asyncpg.Connection, _: Sequence[Row]) -> None:
    """A row of feedback that is taken back; of predictions, whether any may be written."""
    await connection.execute("BEGIN")
    await connection.execute(f"INSERT INTO {predictions.name} SELECT * FROM {predictions.name} LIMIT 0")
    await _insert_some(connection, feedback.name, [Feedback(new_key()[0], time.time(), new_key()[0], "0", None)])
    await connection.execute("ROLLBACK")


async def _each(connection: asyncpg.Connection, rows: Sequence[Row], size: int, put: PutSome) -> None:
    """So many rows of a table at a time."""
    slices: list[tuple[str, Sequence[Row]]] = []
    outcomes = [row for row in rows if isinstance(row, Feedback)]
    records = [row for row in rows if not isinstance(row, Feedback)] if outcomes else rows
    for table, some in ((predictions.name, records), (feedback.name, outcomes)):
        slices += [(table, some[start : start + size]) for start in range(0, len(some), size)]
    if len(slices) > 1:  # one statement is a transaction by itself
        await connection.execute("BEGIN")
    for table, some in slices:
        await put(connection, table, some)
    if len(slices) > 1:
        await connection.execute("COMMIT")


async def _copy_some(connection: asyncpg.Connection, table: str, rows: Sequence[Row]) -> None:
    stream = CopyStream(connection, table)
    stream.feed(rows)
    await stream.finish()


async def _insert_some(connection: asyncpg.Connection, table: str, rows: Sequence[Row]) -> None:
    await connection.execute(_INSERTS[table], *map(list, zip(*map(_values, rows), strict=True)))


def _leading_records(rows: Sequence[Row]) -> Sequence[Row]:
    return rows if Feedback not in map(type, rows) else list(takewhile(lambda row: not isinstance(row, Feedback), rows))


def _values(row: Row) -> tuple[Any, ...]:
    entry = unpacked(row)
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

"""The prediction log in PostgreSQL: multi-row INSERTs, an array for each column, which pass over keys that are
there.
"""

import contextlib
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import asyncpg

from ...telemetry.request_id import new_key
from ..record import Entry, Feedback, Record
from .address import CONNECT_SECONDS
from .store import Store
from .tables import FIELDS, feedback, predictions

AT_ONCE = 200  # rows in a statement: its arrays are encoded at a stretch, which holds the event loop for a millisecond
# The server looks after 5 s of silence whether the client is there, and gives up on it, or on what it does not
# acknowledge, after 20 s, not hours: rows of a transaction that the network cut in two would keep their repetition
# waiting. A pooler would refuse it at connecting.
PRESENCE = (
    "SET tcp_keepalives_idle = 5; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3;"
    " SET tcp_user_timeout = 20000"
)
MOVED = "23514"  # a row was on its way into the default partition when its day got one of its own
_TYPES = {
    "key": "uuid",
    "prediction": "uuid",
    "time": "timestamptz",
    "position": "integer",
    "confidence": "float8",
    "latency_ms": "float8",
}
_TYPES |= dict.fromkeys(("features", "answer", "outcome"), "jsonb")


class PostgreSQLStore(Store):
    async def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                await connection.close(timeout=1)

    async def _connect(self) -> None:
        self._connection = await asyncpg.connect(self._where.dsn, timeout=CONNECT_SECONDS)
        await self._connection.execute(PRESENCE)

    async def _abandon(self, *, wait: bool) -> None:  # noqa: ARG002 - there is no thread
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()

    async def _rows(self, query: str, *values: Any) -> Sequence[Any]:
        return list(await self._connection.fetch(query, *values))

    async def _put(self, entries: Sequence[Entry]) -> None:
        statements = []
        for kind, table in ((Record, predictions.name), (Feedback, feedback.name)):
            some = [entry for entry in entries if isinstance(entry, kind)]
            statements += [(_INSERTS[table], some[start : start + AT_ONCE]) for start in range(0, len(some), AT_ONCE)]
        if len(statements) > 1:  # one is a transaction by itself
            await self._connection.execute("BEGIN")
        for statement, some in statements:
            await self._connection.execute(statement, *_arrays(some))
        if len(statements) > 1:
            await self._connection.execute("COMMIT")

    async def _roll_back(self) -> None:
        if self._connection.is_in_transaction():
            await self._connection.execute("ROLLBACK")

    async def _try(self) -> None:
        """A row of feedback that is taken back; of predictions, whether any may be written."""
        row = Feedback(new_key(), time.time(), new_key(), "0", None)
        await self._connection.execute("BEGIN")
        await self._connection.execute(f"INSERT INTO {predictions.name} SELECT * FROM {predictions.name} LIMIT 0")
        await self._connection.execute(_INSERTS[feedback.name], *_arrays([row]))
        await self._connection.execute("ROLLBACK")

    async def _find(self, keys: Sequence[str]) -> set[str]:
        query = f"SELECT key::text FROM {predictions.name} WHERE key = ANY($1::uuid[])"
        return {key for (key,) in await self._rows(query, keys)}

    @staticmethod
    def _seconds(time: datetime) -> float:
        return time.timestamp()

    @staticmethod
    def _lacks_table(error: Exception) -> bool:
        return getattr(error, "sqlstate", None) == "42P01"

    @staticmethod
    def _may_be_mended(error: Exception) -> bool:
        state = getattr(error, "sqlstate", None)
        if state is not None:
            return state == MOVED or state[:2] in ("22", "54")
        return isinstance(error, asyncpg.DataError | ValueError | OverflowError) and not isinstance(error, OSError)


def _arrays(entries: Sequence[Entry]) -> list[Sequence[Any]]:
    """The entries' columns."""
    key, times, *others = zip(*entries, strict=True)
    return [key, [datetime.fromtimestamp(time, UTC) for time in times], *others]


def _insert(table: str) -> str:
    arrays = ", ".join(f"${number}::{_TYPES.get(name, 'text')}[]" for number, name in enumerate(FIELDS[table], 1))
    return f"INSERT INTO {table} ({', '.join(FIELDS[table])}) SELECT * FROM unnest({arrays}) ON CONFLICT DO NOTHING"


_INSERTS = {table: _insert(table) for table in FIELDS}

"""A COPY that stays open while its rows come in, so that its end has little left to do."""

import asyncio
import contextlib
import gc
from collections.abc import AsyncGenerator, Sequence
from struct import Struct
from typing import Any

import asyncpg

from ..pace import Pace
from ..record import Row
from .copy_format import HEADER, RECORD_COLUMNS, TRAILER, packed
from .forms import unpacked
from .tables import FIELDS, predictions

PIECE_ROWS = 64  # sent at a time, at most
# The server keeps rows until there are a thousand of them, and then stores all at a stretch, ten milliseconds of work. But where each row
# may change what a condition says, it stores each as it comes.
AT_ONCE = "random() >= 0"

_copy_data = Struct(">ci").pack  # what the message begins with


class CopyStream:
    """`feed` hands rows on without waiting; `finish` waits for the server's word. What goes wrong before that, it raises."""

    def __init__(self, connection: asyncpg.Connection, table: str, *, at_once: bool = False) -> None:
        self.rows: list[Row] = []  # handed on
        self.ended = False
        self._waiting: asyncio.Queue[Sequence[Row]] = asyncio.Queue()
        self._connection = connection
        self._idle = False  # asyncpg waits for more, and all that it has been given is on its way
        self._server: list[asyncio.Future[Any]] = []  # what it will have said
        self._copy = asyncio.create_task(self._run(table, AT_ONCE if at_once else None))
        self._copy.add_done_callback(_failure)  # told by `finish`, if anybody still asks

    def begins(self, rows: Sequence[Row]) -> bool:
        """Whether these rows begin with those that were sent: then only the rest is sent."""
        return not self.ended and (not self.rows or (bool(rows) and self.rows[0] is rows[0]))

    def leads(self, rows: Sequence[Row]) -> bool:
        """Whether what was handed on is what these begin with."""
        return self.rows == list(rows[: len(self.rows)])

    def feed(self, rows: Sequence[Row]) -> None:
        if not rows:
            return
        self.rows += rows
        if self._idle and len(rows) <= PIECE_ROWS and self._sent(rows):
            return
        self._idle = False
        self._waiting.put_nowait(rows)

    async def finish(self) -> None:
        """Raises what asyncpg does, and ValueError, OverflowError or struct.error for what no column could hold."""
        if not self.ended:
            self.ended = True
            self._waiting.put_nowait(())
        await self._copy

    def drop(self) -> None:
        """Of a connection that is given up."""
        self._copy.cancel()

    def _sent(self, rows: Sequence[Row]) -> bool:
        """Straight to the transport, unless that holds some already. By way of asyncpg it is a task's turn through ten awaits."""
        transport = self._connection._transport
        if self._copy.done() or transport.is_closing() or transport.get_write_buffer_size() or set(map(type, rows)) != {bytes}:
            return False
        piece = b"".join(rows)  # type: ignore[arg-type]
        transport.write(_copy_data(b"d", 4 + len(piece)) + piece)
        return True

    async def _run(self, table: str, condition: str | None) -> None:
        async with contextlib.aclosing(self._pieces()) as pieces:
            try:
                columns = RECORD_COLUMNS if table == predictions.name else FIELDS[table]
                await self._connection.copy_to_table(table, source=pieces, columns=columns, format="binary", where=condition)
            except Exception as error:  # asyncpg says only that it can no longer write, where the connection ended in between
                self._server = self._server or awaited(self._connection)
                raise next(filter(None, map(_failure, self._server)), error) from None

    async def _pieces(self) -> AsyncGenerator[bytes, None]:
        self._server = awaited(self._connection)
        yield HEADER
        while rows := await self._next():
            pace = Pace()
            for start in range(0, len(rows), PIECE_ROWS):
                if pace.due:
                    await pace.rest()
                yield b"".join([row if type(row) is bytes else packed(unpacked(row)) for row in rows[start : start + PIECE_ROWS]])
        yield TRAILER

    async def _next(self) -> Sequence[Row]:
        self._idle = self._waiting.empty()
        return await self._waiting.get()


def awaited(connection: asyncpg.Connection) -> list[asyncio.Future[Any]]:
    """What asyncpg waits for; not always with an `await`: asyncio would log a failure that nobody asks for, with the traceback."""
    futures = [found for found in gc.get_referents(connection._protocol) if asyncio.isfuture(found)]
    for future in futures:
        future.add_done_callback(_failure)
    return futures


def _failure(future: asyncio.Future[Any]) -> BaseException | None:
    return future.exception() if future.done() and not future.cancelled() else None

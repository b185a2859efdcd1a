"""Where the prediction log is kept in the end: an embedded SQLite file, or PostgreSQL. The address says which."""

from collections.abc import Sequence
from typing import Protocol

from ..record import Row
from .errors import StoreAway as StoreAway
from .room import Room


class Store(Protocol):
    """One connection to the log's database, for one writer. Before `open` there is no thread and no connection.

    A call that fails or is cancelled leaves the store closed, and it may be opened again; what it wrote is then unknown.
    """

    async def open(self) -> None:
        """Connects anew and checks the schema. Raises StoreAway."""

    def begin(self, rows: Sequence[Row]) -> None:
        """Sends rows before their `write`, which must begin with the same ones. Errors are kept for that `write` to raise."""

    async def write(self, rows: Sequence[Row]) -> None:
        """All of them in one transaction, the quickest way; feedback may have one of its own.

        Raises StoreAway, also where a key is there already.
        """

    async def replay(self, rows: Sequence[Row]) -> None:
        """All of them in one transaction; those whose key is there are passed over. Raises StoreAway."""

    async def try_write(self) -> None:
        """A write that leaves nothing behind. Raises StoreAway."""

    async def find(self, keys: Sequence[str]) -> set[str]:
        """Those of these keys that have a row. Raises StoreAway."""

    async def oldest(self) -> float | None:
        """The time of the oldest row, in seconds since 1970; None where there is none. Raises StoreAway."""

    async def close(self) -> None:
        """Lets the connection go; without one nothing happens."""


def open_store(url: str, room: Room | None = None) -> Store:
    """A store that is not connected yet. `room` bounds an SQLite file.

    Raises ValueError, in a sentence, where the address is of neither database.
    """
    # Here: a server whose log is off does without SQLAlchemy and the drivers, a third of a second.
    from .address import address
    from .postgresql import PostgreSQLStore
    from .sqlite import SQLiteStore

    where = address(url)
    return PostgreSQLStore(where) if where.path is None else SQLiteStore(where, room)

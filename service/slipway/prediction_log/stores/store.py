"""What both databases of the prediction log have in common: one connection, whose failures are told as StoreAway and
close it.
"""

import contextlib
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Sequence
from typing import Any

from ..record import Entry
from .address import Address
from .errors import StoreAway, away, schema
from .repair import storable
from .tables import REVISION, REVISION_TABLE, predictions


class Store(ABC):
    """For one writer. Before `open` there is no thread and no connection.

    A call that fails or is cancelled leaves the store closed, and it may be opened again. Every call may raise
    StoreAway.
    """

    def __init__(self, where: Address) -> None:
        self._where = where
        self._connection: Any = None

    async def open(self) -> None:
        """Connects anew and checks the schema."""
        await self.close()
        try:
            await self._connect()
            [(found,)] = await self._rows(f"SELECT version_num FROM {REVISION_TABLE}") or [(None,)]
        except BaseException as error:
            await self._abandon(wait=isinstance(error, Exception))
            if isinstance(error, Exception) and self._lacks_table(error):
                raise schema(self._where.place, None, REVISION) from None
            if (told := await self._told(error)) is error:
                raise
            raise told from error
        if found != REVISION:
            await self.close()
            raise schema(self._where.place, found, REVISION)

    async def write(self, entries: Sequence[Entry]) -> None:
        """All of them in one transaction. A key that is there is passed over: what an error has left unknown is
        written again.
        """
        async with self._call():
            try:
                await self._put(entries)
            except Exception as error:
                if not self._may_be_mended(error):
                    raise
                await self._roll_back()
                await self._put([storable(entry) for entry in entries])

    async def try_write(self) -> None:
        """A write that leaves nothing behind."""
        async with self._call():
            await self._try()

    async def find(self, keys: Sequence[str]) -> set[str]:
        """Those of these keys that have a row."""
        async with self._call():
            return await self._find(keys)

    async def oldest(self) -> float | None:
        """The time of the oldest row, in seconds since 1970; None where there is none."""
        async with self._call():
            [(time,)] = await self._rows(f"SELECT min(time) FROM {predictions.name}")
        return None if time is None else self._seconds(time)

    @contextlib.asynccontextmanager
    async def _call(self) -> AsyncGenerator[None, None]:
        if self._connection is None:
            raise StoreAway("gone", f"The database of the prediction log, {self._where.place}, is not connected")
        try:
            yield
        except BaseException as error:
            told = await self._told(error)
            # Cancelled, too: to end the transaction in good order would be to wait for a database that does not answer.
            await self._abandon(wait=isinstance(error, Exception))
            if told is error:
                raise
            raise told from error

    async def _told(self, error: BaseException) -> BaseException:
        known = isinstance(error, StoreAway) or not isinstance(error, Exception)
        return error if known else away(error, self._where.place)

    @abstractmethod
    async def close(self) -> None:
        """Lets the connection go; without one nothing happens."""

    @abstractmethod
    async def _connect(self) -> None: ...

    @abstractmethod
    async def _abandon(self, *, wait: bool) -> None:
        """Closes; `wait`: for a thread that is at work."""

    @abstractmethod
    async def _rows(self, query: str, *values: Any) -> Sequence[Any]: ...

    @abstractmethod
    async def _put(self, entries: Sequence[Entry]) -> None: ...

    @abstractmethod
    async def _roll_back(self) -> None: ...

    @abstractmethod
    async def _try(self) -> None: ...

    @abstractmethod
    async def _find(self, keys: Sequence[str]) -> set[str]: ...

    @staticmethod
    @abstractmethod
    def _seconds(time: Any) -> float: ...

    @staticmethod
    @abstractmethod
    def _lacks_table(error: Exception) -> bool: ...

    @staticmethod
    @abstractmethod
    def _may_be_mended(error: Exception) -> bool:
        """Whether nothing but a value that no column holds, or what a second attempt overcomes, was wrong."""

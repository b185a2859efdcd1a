"""The client behind a request: how long it waits, and whether it is still there."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from .errors import ClientGone, DeadlineExceeded

Receive = Callable[[], Awaitable[Any]]
T = TypeVar("T")


class MustWait(Exception):
    """The answer cannot be given at once, and nothing has been done yet."""


@dataclass(slots=True)
class Caller:
    """`deadline` and `arrival` are times of time.monotonic(); `receive` is the request's ASGI receive, its body already read.

    `waits` False: it takes an answer at once or none; whoever would let it wait raises MustWait before anything is done.
    `dialect`: the template of the path that it asked; `client`: its id, where keys are asked for. `key`: the request's id, if no other
    request has it, for what is first logged of it.
    """

    deadline: float
    receive: Receive | None = None
    waits: bool = True
    arrival: float = 0.0
    dialect: str = ""
    client: str | None = None
    key: tuple[str, bytes] | None = None

    async def wait(self, future: asyncio.Future[T]) -> T:
        """The future's result. On DeadlineExceeded and ClientGone the future runs on: its owner decides what becomes of it."""
        waiting: set[asyncio.Future[Any]] = {future}
        gone = asyncio.ensure_future(self._gone()) if self.receive else None
        if gone is not None:
            waiting.add(gone)
        try:
            done, _ = await asyncio.wait(waiting, timeout=max(0.0, self.deadline - time.monotonic()), return_when=asyncio.FIRST_COMPLETED)
        finally:
            if gone is not None:
                gone.cancel()
        if future in done:
            return future.result()
        if done:
            raise ClientGone("The client closed the connection before its answer was there")
        raise DeadlineExceeded("The request's deadline passed before the answer was there")

    async def _gone(self) -> None:
        assert self.receive is not None
        while (await self.receive())["type"] != "http.disconnect":
            pass

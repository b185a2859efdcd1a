"""A request on its way to a model: what it asks, how long it waits, and whether its client is still there."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import parse_qsl

from ..errors import ClientGone, DeadlineExceeded
from ..telemetry.model_metrics import Observe

Receive = Callable[[], Awaitable[Any]]
T = TypeVar("T")


class MustWait(Exception):
    """The answer cannot be given at once, and nothing has been done yet."""


class Call:
    """`path`: the route's template; `name` and `version` of the model where it names them; `headers` by lower-case
    name.

    `receive`: ASGI's. `body`: all of it is there, and the answer must not wait: whoever would let it wait raises
    MustWait before anything
    is done. `arrival` and `deadline` are times of time.monotonic(). `client`: who asks, where keys are set. `key`: the
    request's id, if no other request has it, for what is first logged of it.
    """

    __slots__ = (
        "arrival",
        "body",
        "client",
        "deadline",
        "headers",
        "key",
        "name",
        "observe",
        "path",
        "query",
        "receive",
        "version",
        "waits",
    )

    def __init__(
        self,
        headers: Mapping[bytes, bytes],
        path: str,
        *,
        query: bytes = b"",
        receive: Receive | None = None,
        body: bytes | None = None,
        name: str | None = None,
        version: str | None = None,
        key: str | None = None,
    ) -> None:
        self.headers = headers
        self.path = path
        self.query = dict(parse_qsl(query.decode("latin-1"), keep_blank_values=True)) if query else {}
        self.receive = receive
        self.body = body
        self.waits = body is None
        self.name = name
        self.version = version
        self.key = key
        self.client: str | None = None
        self.observe: Observe | None = None  # counts its answer, once its model is known
        self.arrival = time.monotonic()
        self.deadline = float("inf")

    @classmethod
    def of_our_own(cls, seconds: float) -> "Call":
        """Of no client: to try a model out, for so many seconds at most."""
        call = cls({}, "")
        call.deadline = call.arrival + seconds
        return call

    def header(self, name: bytes) -> str | None:
        value = self.headers.get(name)
        return None if value is None else value.decode("latin-1")

    async def wait(self, future: asyncio.Future[T]) -> T:
        """The future's result. On DeadlineExceeded and ClientGone the future runs on: its owner decides what becomes
        of it.
        """
        waiting: set[asyncio.Future[Any]] = {future}
        gone = asyncio.ensure_future(self._gone()) if self.receive else None
        if gone is not None:
            waiting.add(gone)
        try:
            done, _ = await asyncio.wait(
                waiting, timeout=max(0.0, self.deadline - time.monotonic()), return_when=asyncio.FIRST_COMPLETED
            )
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

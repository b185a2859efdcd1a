"""A load of kept-alive HTTP connections that behave well: they leave when an answer says `Connection: close`, and
connect again.
"""

import asyncio
import contextlib
import json
import ssl
import time
from collections import Counter
from typing import Any, NamedTuple, Self

RECONNECT_DELAY = 0.01  # seconds after a failure, so that a dead server does not make the client spin
TIMEOUT = 60.0  # seconds for one answer


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


class Connection:
    """One HTTP/1.1 connection. Raises OSError and EOFError, both of which mean that the request has failed."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, host: str, port: int, tls: ssl.SSLContext | None = None) -> Self:
        return cls(*await asyncio.open_connection(host, port, ssl=tls))

    async def ask(self, request: bytes) -> Answer:
        self._writer.write(request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        status, *lines = head.decode("latin-1").split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines if line)
        body = await self._reader.readexactly(int(headers.get("content-length", 0)))
        return Answer(int(status.split()[1]), headers, body)

    def left_by_server(self) -> bool:
        return self._reader.at_eof()

    def close(self) -> None:
        """Of TLS without a farewell, whose answer would have to be waited for."""
        if self._writer.get_extra_info("ssl_object") is None:
            self._writer.close()
        else:
            self._writer.transport.abort()

    async def closed(self) -> None:
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: slipway\r\n\r\n".encode()


def post(path: str, content: Any, **headers: str) -> bytes:
    """A request with a JSON body; `headers` are written with underscores for hyphens."""
    body = json.dumps(content).encode()
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    head = (
        f"POST {path} HTTP/1.1\r\nHost: slipway\r\nContent-Type: application/json\r\nContent-Length: "
        f"{len(body)}\r\n{lines}\r\n"
    )
    return head.encode() + body


class Load:
    """`async with Load(...)`: each connection sends the request again and again; leaving the block waits for the
    answers in hand.

    `answers` counts by status, `failures` by what went wrong: a request that was sent and got no answer, or a
    connection refused; `keys` under which the answers say that they are logged, with the time.time() of each answer;
    `slowest`: seconds for an answer; `failed`: the time.monotonic() of each failure.
    """

    def __init__(
        self,
        host: str,
        port: int,
        request: bytes,
        *,
        connections: int,
        pause: float = 0.0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.answers: Counter[int] = Counter()
        self.failures: Counter[str] = Counter()
        self.failed: list[float] = []
        self.keys: dict[str, float] = {}
        self.slowest = 0.0
        self.told_to_close = 0
        self._target = (host, port)
        self._request = request
        self._connections = connections
        self._pause = pause
        self._tls = tls
        self._leaving = asyncio.Event()
        self._away = False
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def total(self) -> int:
        return self.answers.total()

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self._keep_asking()) for _ in range(self._connections)]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._leaving.set()
        await asyncio.gather(*self._tasks)

    def move_away(self) -> None:
        """From now on a client that is told to go does not come back, as if the service led it to another pod."""
        self._away = True

    async def until(self, answers: int, seconds: float = 100.0) -> None:
        """Waits until there have been so many answers; raises TimeoutError."""
        async with asyncio.timeout(seconds):
            while self.total < answers:
                await asyncio.sleep(0.01)

    async def _keep_asking(self) -> None:
        connection: Connection | None = None
        while not self._leaving.is_set():
            try:
                async with asyncio.timeout(TIMEOUT):
                    if connection is None:
                        connection = await Connection.open(*self._target, self._tls)
                    asked = time.monotonic()
                    answer = await connection.ask(self._request)
            except (OSError, EOFError) as exc:  # TimeoutError is an OSError
                self.failures[type(exc).__name__] += 1
                self.failed.append(time.monotonic())
                gone = True
                await asyncio.sleep(RECONNECT_DELAY)
            else:
                self.slowest = max(self.slowest, time.monotonic() - asked)
                self.answers[answer.status] += 1
                if "x-prediction-id" in answer.headers:
                    self.keys[answer.headers["x-prediction-id"]] = time.time()
                gone = answer.headers.get("connection") == "close"
                self.told_to_close += gone
                if self._pause and not gone:
                    await asyncio.sleep(self._pause)
                    gone = connection.left_by_server()  # it was idle for too long: no request was lost
            if connection is not None and gone:
                connection.close()
                await connection.closed()
                connection = None
            if gone and self._away:
                return
        if connection is not None:
            connection.close()
            await connection.closed()

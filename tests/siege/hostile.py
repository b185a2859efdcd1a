"""Clients that mean harm, each kind at a rate of its own, against one server: `python -m tests.siege.hostile PORT
SECONDS`.
"""

import asyncio
import contextlib
import random
import socket
import struct
import sys
from collections.abc import Awaitable, Callable

from tests.support.load import get, post

FLOWER = {"features": [5.1, 3.5, 1.4, 0.2]}
PREDICT = post("/predict", FLOWER)
BROKEN = [
    post("/predict", {"features": [1, 2, 3]}),
    post("/predict", {"features": ["x"] * 1000}),
    post("/feedback", {"prediction_id": "nobody", "outcome": [{}] * 100}),
    post("/models/nobody/predict", {}),
    b"POST /predict HTTP/1.1\r\nHost: slipway\r\nContent-Length: 3\r\n\r\n{{{",
]

Reader, Writer = asyncio.StreamReader, asyncio.StreamWriter


async def slow_head(_: Reader, writer: Writer) -> None:
    writer.write(b"GET /health HTTP/1.1\r\nHost: slipway\r\nX-Slow: ")
    await _drip(writer)


async def slow_body(_: Reader, writer: Writer) -> None:
    writer.write(b"POST /predict HTTP/1.1\r\nHost: slipway\r\nContent-Length: 1000\r\n\r\n")
    await _drip(writer)


async def _drip(writer: Writer) -> None:
    while True:
        writer.write(b"1")
        await writer.drain()
        await asyncio.sleep(0.5)


async def unread(_: Reader, writer: Writer) -> None:
    """Answers pile up until the server does not read on."""
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    while True:
        writer.write(get("/openapi.json") * 5)
        await writer.drain()
        await asyncio.sleep(1)


async def flood(reader: Reader, writer: Writer) -> None:
    while True:
        writer.write(PREDICT * 20)
        await writer.drain()
        await reader.read(65536)
        await asyncio.sleep(0.5)


async def leave(_: Reader, writer: Writer) -> None:
    """In the middle of a request or right behind it, with a reset."""
    writer.write(PREDICT[: random.randint(1, len(PREDICT))])
    await writer.drain()
    connection = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
    await asyncio.sleep(0.5)


async def mistake(reader: Reader, writer: Writer) -> None:
    while True:
        writer.write(random.choice(BROKEN))
        await reader.read(65536)
        await asyncio.sleep(0.25)


KINDS: dict[Callable[[Reader, Writer], Awaitable[None]], int] = {
    slow_head: 20,
    slow_body: 20,
    unread: 4,
    flood: 4,
    leave: 8,
    mistake: 8,
}


async def again_and_again(kind: Callable[[Reader, Writer], Awaitable[None]], port: int) -> None:
    while True:
        with contextlib.suppress(OSError, EOFError):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                await kind(reader, writer)
            finally:
                writer.transport.abort()
        await asyncio.sleep(0.5)


async def besiege(port: int, seconds: float) -> None:
    clients = [asyncio.create_task(again_and_again(kind, port)) for kind, count in KINDS.items() for _ in range(count)]
    await asyncio.wait(clients, timeout=seconds)
    for client in clients:
        client.cancel()
    await asyncio.gather(*clients, return_exceptions=True)


if __name__ == "__main__":
    asyncio.run(besiege(int(sys.argv[1]), float(sys.argv[2])))

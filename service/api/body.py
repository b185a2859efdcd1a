"""Reads a request's body: bounded in size and in time."""

import asyncio
from collections.abc import Coroutine, Generator
from typing import Any

from ..errors import BodyTimeout, BodyTooLarge, ClientGone
from .call import Call


async def read_body(call: Call, most: int, timeout: float) -> bytes:
    """At most `most` bytes, within `timeout` seconds. Raises BodyTooLarge, BodyTimeout, ClientGone when the client left in mid-body."""
    if call.body is not None:
        if len(call.body) > most:
            raise _too_large(most)
        return call.body
    receiving = call.receive()
    message = waits_for = None
    try:
        waits_for = receiving.send(None)  # as far as it comes without waiting: a timeout would cost as much as a prediction
    except StopIteration as done:
        message = done.value
        if message["type"] == "http.request" and not message.get("more_body"):
            body: bytes = message.get("body", b"")
            if len(body) > most:
                raise _too_large(most) from None
            return body
    declared = call.headers.get(b"content-length", b"")
    if declared.isdigit() and float(declared) > most:  # int raises for thousands of digits
        receiving.close()
        raise _too_large(most)
    try:
        async with asyncio.timeout(timeout):
            return await _chunks(call, message or await _Begun(receiving, waits_for), most)
    except TimeoutError:
        raise BodyTimeout(f"The request body did not arrive within {timeout:g} s") from None


async def _chunks(call: Call, message: Any, most: int) -> bytes:
    chunks: list[bytes] = []
    size = 0
    while True:
        if message["type"] == "http.disconnect":
            raise ClientGone("The client closed the connection in the middle of its request")
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        if size > most:
            raise _too_large(most)
        if not message.get("more_body"):
            return b"".join(chunks)
        message = await call.receive()


class _Begun:
    """The rest of a coroutine whose first step has been taken, and which then waited for something."""

    __slots__ = ("_coroutine", "_waits_for")

    def __init__(self, coroutine: Coroutine[Any, Any, Any], waits_for: Any) -> None:
        self._coroutine = coroutine
        self._waits_for = waits_for

    def __await__(self) -> Generator[Any, Any, Any]:
        try:
            yield self._waits_for
            return (yield from self._coroutine.__await__())
        finally:
            self._coroutine.close()


def _too_large(most: int) -> BodyTooLarge:
    return BodyTooLarge(f"The body is larger than {most} bytes; send fewer rows per request")

"""Reads a request's body: bounded in size and in time."""

import asyncio

from ..engine.call import Call
from ..errors import BodyTimeout, BodyTooLarge, ClientGone, FieldError, InvalidParameter, UnsupportedMediaType
from ..prediction.entry import Entry
from ..prediction.repository import Repository
from ..settings import Settings

SHORTEST_TIMEOUT = 0.001  # seconds; less than this only spells a mistake


async def read_body(call: Call, most: int, timeout: float) -> bytes:
    """At most `most` bytes, within `timeout` seconds. Raises BodyTooLarge, BodyTimeout, ClientGone when the client
    left in mid-body.
    """
    if call.body is not None:
        if len(call.body) > most:
            raise _too_large(most)
        return call.body
    declared = call.headers.get(b"content-length", b"")
    if declared.isdigit() and float(declared) > most:  # int raises for thousands of digits
        raise _too_large(most)
    try:
        async with asyncio.timeout(timeout):
            return await _received(call, most)
    except TimeoutError:
        raise BodyTimeout(f"The request body did not arrive within {timeout:g} s") from None


async def _received(call: Call, most: int) -> bytes:
    assert call.receive is not None, "there is no body yet"
    chunks: list[bytes] = []
    size = 0
    more = True
    while more:
        message = await call.receive()
        if message["type"] == "http.disconnect":
            raise ClientGone("The client closed the connection in the middle of its request")
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        if size > most:
            raise _too_large(most)
        more = message.get("more_body", False)
    return b"".join(chunks)


def _too_large(most: int) -> BodyTooLarge:
    return BodyTooLarge(f"The body is larger than {most} bytes; send fewer rows per request")


class Exchange:
    """Built once per application; holds the limits that every request is read under."""

    def __init__(self, settings: Settings, repository: Repository) -> None:
        self._timeout = settings.request_timeout
        self._max_body_bytes = settings.max_body_bytes
        self._repository = repository

    def entry(self, call: Call) -> Entry:
        """The model asked for: by the path, else the query, else the headers, else the default. Raises UnknownModel."""
        if not (call.name or call.query) and b"x-model" not in call.headers and b"x-model-version" not in call.headers:
            entry = self._repository.default()
            call.observe = entry.observe
            return entry
        name = call.name or call.query.get("model") or call.header(b"x-model")
        version = call.version or call.query.get("version") or call.header(b"x-model-version")
        entry = self._repository.find(name, version)
        call.observe = entry.observe
        return entry

    async def read(self, call: Call) -> bytes:
        """The body; from now on the call has a deadline. Raises 4xx problems, ClientGone when the client left in
        mid-body.
        """
        timeout = self._timeout
        if b"x-request-timeout" in call.headers:
            timeout = min(timeout, _seconds(call.headers[b"x-request-timeout"]))
        content_type = call.headers.get(b"content-type")
        # None named is taken as JSON: many a client sends none.
        if content_type and content_type != b"application/json":
            _require_json(content_type)
        if b"content-encoding" in call.headers and call.headers[b"content-encoding"].lower() != b"identity":
            raise UnsupportedMediaType("The body must not be compressed: send it without Content-Encoding")
        call.deadline = call.arrival + timeout
        return await read_body(call, self._max_body_bytes, timeout)


def _seconds(asked: bytes) -> float:
    try:
        seconds = 0.0 if b"_" in asked else float(asked)  # Python's own way to group digits, and nobody else's
    except ValueError:
        seconds = 0.0
    if not SHORTEST_TIMEOUT <= seconds < float("inf"):
        remedy = f"Send a number of seconds from {SHORTEST_TIMEOUT} on, or leave the header out"
        raise InvalidParameter(
            "X-Request-Timeout is no usable number of seconds", [FieldError("X-Request-Timeout", remedy)]
        )
    return seconds


def _require_json(content_type: bytes) -> None:
    media_type = content_type.partition(b";")[0].strip().lower()
    if media_type != b"application/json" and not (
        media_type.startswith(b"application/") and media_type.endswith(b"+json")
    ):
        raise UnsupportedMediaType("The body must be JSON: send it with Content-Type: application/json")

"""The transport under a connection: answers leave as one piece, and reading goes on only when all agree."""

import asyncio
from collections.abc import Iterable
from itertools import chain
from typing import Any

from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from ..http.operation import Reply
from .timeouts import Timeouts

UNREAD_BYTES = 65_536  # that a client must take within Timeouts.unread, if it has been sent so many


class OneWrite:
    """A transport that sends what is written in one turn of the event loop as one piece, at the end of the turn.

    uvloop would send the head and the body of an answer as they come: two system calls, and one that is answered is not
    counted yet.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop, timeouts: Timeouts) -> None:
        self._transport = transport
        self._loop = loop
        self._call_soon = loop.call_soon
        self._timeouts = timeouts
        self._held: list[bytes] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        if not self._held:
            self._call_soon(self.flush)
        self._held.append(data)

    def write_whole(self, data: bytes) -> None:
        """An answer that is complete and counted: at once, unless another is before it."""
        if self._held:
            self._held.append(data)
        else:
            self._transport.write(data)

    def flush(self) -> None:
        held, self._held = self._held, []
        if held and not self._transport.is_closing():
            self._transport.write(b"".join(held))

    def close(self) -> None:
        """As every transport: what has been written is sent first. A client that takes none of it does not keep the
        connection open.
        """
        self.flush()
        if not self._transport.is_closing():
            self._transport.close()
            self._see_off()

    def _see_off(self) -> None:
        unsent = self._transport.get_write_buffer_size()
        if unsent or self._transport.get_extra_info("sslcontext"):  # TLS waits for the client's last word, too
            self._loop.call_later(
                self._timeouts.unread if unsent else self._timeouts.goodbye, self._cut_unless_read, unsent
            )

    def _cut_unless_read(self, unsent: int) -> None:
        if takes_its_answers(unsent, self._transport.get_write_buffer_size()):
            self._see_off()
        else:
            self._transport.abort()


def takes_its_answers(before: int, now: int) -> bool:
    """Whether a client has gone on reading: the bytes that waited for it before, and do now."""
    return 0 < now <= before - UNREAD_BYTES


def as_sent(answer: Reply, default_headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The bytes of a whole answer."""
    content = [STATUS_LINE[answer.status]]
    for name, value in chain(default_headers, answer.headers):
        content += (name, b": ", value, b"\r\n")
    content += (b"\r\n", answer.body)
    return b"".join(content)


def tell_gone(cycle: RequestResponseCycle) -> None:
    """Nobody waits for its answer any longer."""
    cycle.disconnected = True
    cycle.message_event.set()


class Flow(FlowControl):
    """Uvicorn's, whose requests let reading go on whenever they want more: not while the connection holds it, and
    the other way about.
    """

    _held = False
    _full = False  # as Uvicorn has it

    def hold(self) -> None:
        self._held = True
        super().pause_reading()

    def release(self) -> None:
        if self._held:
            self._held = False
            if not self._full:
                super().resume_reading()

    def pause_reading(self) -> None:
        self._full = True
        super().pause_reading()

    def resume_reading(self) -> None:
        self._full = False
        if not self._held:
            super().resume_reading()

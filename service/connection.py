"""A client's connection: Uvicorn's, but a prediction that takes no waiting for is answered as soon as its request is read."""

import asyncio
from itertools import chain
from typing import Any, cast

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser
from uvicorn import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

from .api.call import Reply
from .api.dispatch import HotPath
from .api.envelope import Envelope
from .errors import HeadTooLarge, MalformedRequest, Problem

MOST_HEAD_BYTES = 65_536  # of a request line and headers, or of trailers, not counting the piece that they begin in


class OneWrite:
    """A transport that sends what is written in one turn of the event loop as one piece, at the end of the turn.

    uvloop would send the head and the body of an answer as they come: two system calls, and one that is answered is not counted yet.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._call_soon = loop.call_soon
        self._held: list[bytes] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        if not self._held:
            self._call_soon(self._flush)
        self._held.append(data)

    def write_whole(self, data: bytes) -> None:
        """An answer that is complete and counted: at once, unless another is before it."""
        if self._held:
            self._held.append(data)
        else:
            self._transport.write(data)

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        held, self._held = self._held, []
        if held and not self._transport.is_closing():
            self._transport.write(b"".join(held))


class Connection(HttpToolsProtocol):
    """Can be asked to close after its next answer, and is closed when it never asks anything.

    Uvicorn makes a scope, a cycle and a task of each request, which cost more than a cheap prediction. A request to a prediction path that
    comes in one piece is shown to the application first; only if it cannot answer at once does the request go Uvicorn's way.
    """

    _leaving = False
    _refused = False

    def __init__(self, config: Config, server_state: ServerState, app_state: dict[str, Any], application: Envelope) -> None:
        super().__init__(config, server_state, app_state)
        self._application = application
        self._output: OneWrite
        self._hot: HotPath | None = None  # of the request that is being read, as long as Uvicorn does not know of it
        self._head: list[tuple[bytes, bytes]]  # its headers
        self._chunks: list[bytes] = []  # of its body
        self._piece = 0  # bytes of what has been received last
        self._head_bytes: int | None = None  # since the piece in which a request began or its body went on; None between requests
        self._is_first = True  # in what has been received at a time; a client that sends many ahead must not hold the loop
        self._active_at: float  # when something was received, or an answer of Uvicorn's was complete
        self._clock: asyncio.TimerHandle

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._output = OneWrite(transport, self.loop)
        super().connection_made(cast(asyncio.Transport, self._output))
        # Uvicorn starts a clock after each answer, and none before the first: it would keep a silent connection for ever.
        self._active_at = self.loop.time()
        self._watch(self.timeout_keep_alive)

    def connection_lost(self, exc: Exception | None) -> None:
        self._clock.cancel()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        self._active_at = self.loop.time()
        super().on_response_complete()
        self._unset_keepalive_if_required()  # Uvicorn's clock: ours runs

    def leave(self) -> None:
        """The next answer says `Connection: close`: the one in hand, or that to the next request."""
        self._leaving = True
        if self.cycle is not None and not self.cycle.response_started:
            self.cycle.keep_alive = False

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return  # thrown away, until the client closes or the clock does
        self._is_first = True
        self._active_at = self.loop.time()
        self._piece = len(data)
        while data:
            try:
                self.parser.feed_data(data)
                break
            except HttpParserUpgrade as offer:
                if self.parser.get_method() == b"CONNECT":
                    self._refuse(MalformedRequest("CONNECT is for proxies, and this is none"))
                    return
                data = self._without_offer(data[offer.args[0] :])
            except HttpParserError:
                self._refuse(MalformedRequest("This is no HTTP request: send one as RFC 9112 has it"))
                return
        if self._head_bytes is not None:
            self._head_bytes += self._piece
            if self._head_bytes > MOST_HEAD_BYTES:
                self._refuse(HeadTooLarge(f"The request's headers take more than {MOST_HEAD_BYTES} bytes: send fewer, or shorter ones"))
                return
        if self._hot is not None:
            self._hot = None
            self._hand_over()

    def on_message_begin(self) -> None:
        self.url = b""
        self.headers = []
        self.expect_100_continue = False
        self._head_bytes = -self._piece

    def on_headers_complete(self) -> None:
        if self.parser.should_upgrade():
            return  # it is read once more, without the offer
        self._head, self.headers = self.headers, []  # what comes from now on are trailers, which must not stand in for headers
        hot = self._application.hot_path(self.url) if self._is_plain() else None
        if hot is None:
            self._hand_over()
        else:
            self._hot = hot
            self._chunks = []

    def on_body(self, body: bytes) -> None:
        self._head_bytes = -self._piece
        if self._hot is None:
            super().on_body(body)
        else:
            self._chunks.append(body)

    def on_message_complete(self) -> None:
        self._head_bytes = None
        if self.parser.should_upgrade():
            return
        hot, self._hot = self._hot, None
        self._is_first = False
        if hot is not None:
            answer = self._application.answer_at_once(hot, self.url, dict(self._head), b"".join(self._chunks))
            if answer is not None:
                self._send(answer)
                return
            self._hand_over()
        super().on_message_complete()

    def _is_plain(self) -> bool:
        """Whether the answer to this request can leave at once, and the connection stays open after it."""
        parser = self.parser
        return (
            self._is_first
            and parser.get_method() == b"POST"
            and parser.get_http_version() == "1.1"
            and parser.should_keep_alive()
            and not (self.expect_100_continue or self._leaving or self.flow.write_paused)
            and self._is_quiet()
        )

    def _without_offer(self, rest: bytes) -> bytes:
        """The request that offers another protocol, as if it did not: nobody has to take an offer. The parser stops behind its head."""
        parser, self.parser = self.parser, HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as Uvicorn does
        head = [parser.get_method(), b" ", self.url, b" HTTP/", parser.get_http_version().encode(), b"\r\n"]
        for name, value in self.headers:
            if name != b"upgrade":
                head += (name, b": ", value, b"\r\n")
        return b"".join((*head, b"\r\n", rest))

    def _refuse(self, problem: Problem) -> None:
        self._hot = None
        self._send(self._application.refuse(problem))
        self._refused = True
        if self._is_quiet() and self.transport.can_write_eof():  # TLS cannot
            self.transport.write_eof()  # not close(): what the client still sends would reset the connection, and take the answer with it
        else:
            self.transport.close()

    def _is_quiet(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _hand_over(self) -> None:
        """Lets Uvicorn take the request as far as it has been read."""
        url, expect = self.url, self.expect_100_continue
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expect
        self.headers.extend(self._head)
        super().on_headers_complete()
        self.headers = []
        if self._leaving:
            self.cycle.keep_alive = False
        for chunk in self._chunks:
            super().on_body(chunk)
        self._chunks = []

    def _send(self, answer: Reply) -> None:
        self._chunks = []
        content = [STATUS_LINE[answer.status]]
        for name, value in chain(self.server_state.default_headers, answer.headers):
            content += (name, b": ", value, b"\r\n")
        content += (b"\r\n", answer.body)
        self._output.write_whole(b"".join(content))
        self.server_state.total_requests += 1

    def _watch(self, seconds: float) -> None:
        self._clock = self.loop.call_later(seconds, self._close_if_idle)

    def _close_if_idle(self) -> None:
        """One clock for the whole connection: to set one anew for every request costs as much as a small model."""
        left = self._active_at + self.timeout_keep_alive - self.loop.time()
        if self.cycle is not None and not self.cycle.response_complete:
            left = self.timeout_keep_alive  # an answer is on its way
        if left > 0:
            self._watch(left)
        elif not self.transport.is_closing():
            self.transport.close()

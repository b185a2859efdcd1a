"""A client's connection: Uvicorn's, but a prediction that takes no waiting for is answered as soon as its request is
read.
"""

import asyncio
from typing import Any, cast

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser
from uvicorn import Config
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle
from uvicorn.server import ServerState

from ..errors import MalformedRequest, Problem, RequestTimeout
from ..http.envelope import Envelope
from ..http.fast_path import HotPath
from ..http.operation import Reply
from .deadlines import Deadlines
from .request_body import SLICE, Body, comes_alone, line_ends, part_end
from .request_head import (
    MOST_BETWEEN,
    MOST_HEAD_BYTES,
    check_trailers,
    checked_fields,
    problem_of,
    too_large,
    without_offer,
)
from .timeouts import Timeouts
from .transport import Flow, OneWrite, as_sent, tell_gone

# Requests that a connection may send ahead: each takes kilobytes until those before it are answered.
MOST_UNANSWERED = 16
_PART = 256  # bytes of a SLICE that a part takes at least: small requests cost by their number


class Connection(Deadlines):
    """Can be asked to close after its next answer, and is closed when its client asks nothing, never ends asking, or
    reads no answer.

    Uvicorn makes a scope, a cycle and a task of each request, which cost more than a cheap prediction. A request to a
    prediction path that comes in one piece is shown to the application first; only if it cannot answer at once does the
    request go Uvicorn's way.
    """

    __slots__ = (  # Uvicorn's own are more than Python finds quickly in a dictionary
        "_application",
        "_blank",
        "_body",
        "_chunks",
        "_fields",
        "_head",
        "_hot",
        "_is_first",
        "_leaving",
        "_now",
        "_output",
        "_piece",
        "_refusal",
        "_rest",
        "_rest_at",
        "_running",
    )

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        application: Envelope,
        timeouts: Timeouts,
    ) -> None:
        super().__init__(config, server_state, app_state, timeouts)
        self._application = application
        self._leaving = False
        self._refusal: Problem | None = None  # is answered after the requests before it
        self._output: OneWrite
        # The request that Uvicorn answers, or answered last; `cycle` is the newest.
        self._running: RequestResponseCycle | None = None
        self._hot: HotPath | None = None  # of the request that is being read, as long as Uvicorn does not know of it
        self._head: list[tuple[bytes, bytes]]  # its headers
        self._fields: dict[bytes, bytes]  # by name
        self._chunks: list[bytes] = []  # of its body, since Uvicorn was last given some
        self._body = Body()  # what of it Uvicorn has been given
        self._blank = 0  # bytes of line ends before it
        self._piece = 0  # bytes of what has been read last
        # In what has been received at a time; a client that sends many ahead must not hold the loop.
        self._is_first = True
        self._rest, self._rest_at = b"", 0  # received and not read yet, from there on
        self._now: float  # when something was received

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._output = OneWrite(transport, self.loop, self._timeouts)
        super().connection_made(cast(asyncio.Transport, self._output))
        self.flow: Flow = Flow(self.transport)
        # Uvicorn starts a clock after each answer, and none before the first: it would keep a silent connection for
        # ever.
        self._now = self._idle_since = self.loop.time()
        self._look_at(self._now + self.timeout_keep_alive)

    def connection_lost(self, exc: Exception | None) -> None:
        self._clock.cancel()
        self._rest = b""
        self.pipeline.clear()
        if self._running is not None and not self._running.response_complete:  # Uvicorn tells the newest request alone
            tell_gone(self._running)
        super().connection_lost(exc)

    def eof_received(self) -> None:
        """The client is taken as gone, but what has been answered is sent, so that it does not matter in how many
        pieces it was asked.
        """
        self._output.flush()

    def on_response_complete(self) -> None:
        self._idle_since = self.loop.time()
        super().on_response_complete()
        self._unset_keepalive_if_required()  # Uvicorn's clock: ours runs
        if self._rest and not self.pipeline:
            self.loop.call_soon(self._go_on)
        elif self._refused and self._is_quiet():
            self.loop.call_soon(self._end)  # the answer before it is counted first

    def leave(self) -> None:
        """The next answer says `Connection: close`: the one in hand, or that to the next request."""
        self._leaving = True
        if self.cycle is not None and not self.cycle.response_started:
            self.cycle.keep_alive = False

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return  # until the client closes or the clock does
        self._now = self.loop.time()
        if self._head_bytes is None and not self._rest and comes_alone(data):
            self._is_first = True
            self._read(data)
            if self._hot is not None:
                self._hand_over()
        else:  # in mid-request, or several at a time
            self._rest = self._rest[self._rest_at :] + data
            self._rest_at = 0
            self._read_rest()

    def _read_rest(self) -> None:
        """As far as may be at a time: each part ends where a request's head or body does, so that none is read
        beyond the last allowed.
        """
        self._is_first = True
        data, at, room = self._rest, self._rest_at, SLICE
        while at < len(data) and room > 0 and self._unanswered() < MOST_UNANSWERED and not self._refused:
            if self._head_bytes is None and (blank := line_ends(data, at)):
                self._blank += blank
                at += blank
                if self._blank > MOST_BETWEEN:
                    self._refuse(
                        MalformedRequest("These line ends are no HTTP request: one line end may come before a request")
                    )
                continue
            left = (
                self._body.left(self._fields, self._chunks)
                if self._head_bytes is not None and self._head_complete
                else None
            )
            until = part_end(data, at, left)
            self._read(data[at:until])
            room -= _PART if left is not None else max(until - at, _PART)
            at = until
        if self._hot is not None:
            self._hand_over()
        if at == len(data) or self._refused or self.transport.is_closing():
            self._rest = b""
            self.flow.release()
            return
        self._rest_at = at
        self.flow.hold()
        if room <= 0:
            self.loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        if self._rest:
            self._now = self.loop.time()
            self._read_rest()

    def _unanswered(self) -> int:
        return len(self.pipeline) + (not self._is_quiet())

    def _read(self, data: bytes) -> None:
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
            except HttpParserError as exc:
                self._refuse(problem_of(exc))
                return
        if self._head_bytes is not None:
            self._head_bytes += self._piece
            if self._hot is None and self._chunks:
                self._pass_on()
            problem = too_large() if self._head_bytes > MOST_HEAD_BYTES else self._body.problem()
            if problem is not None:
                self._refuse(problem)
            else:
                self._look_by(self._begun_at + self._reading_time())

    def on_message_begin(self) -> None:
        self.url = b""
        self.headers = []
        self.expect_100_continue = False
        self._head_bytes = -self._piece
        self._head_complete = False
        self._blank = 0
        self._begun_at = self._now

    def on_headers_complete(self) -> None:
        if self.parser.should_upgrade():
            return  # it is read once more, without the offer
        # What comes from now on are trailers, which must not stand in for headers.
        self._head, self.headers = self.headers, []
        self._fields = dict(self._head)
        if b"host" not in self._fields or b"transfer-encoding" in self._fields or len(self._fields) < len(self._head):
            self._fields = checked_fields(self._head, self.parser.get_http_version())
        hot = self._application.hot_path(self.url) if self._is_plain() else None
        if hot is None:
            self._hand_over()
        else:
            self._hot = hot
            self._chunks = []
        self._head_complete = True

    def on_body(self, body: bytes) -> None:
        self._head_bytes = -self._piece
        self._chunks.append(body)

    def _pass_on(self) -> None:
        chunks, self._chunks = self._chunks, []
        body = self._body.taken(chunks)
        if self.cycle.response_complete:
            self._body.unwanted += self._piece
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        if self.headers:
            check_trailers(self.headers)
        self._head_bytes = None
        if self.parser.should_upgrade():
            return
        self._idle_since = self._now
        hot, self._hot = self._hot, None
        self._is_first = False
        if hot is not None:
            answer = self._application.answer_at_once(hot, self.url, self._fields, b"".join(self._chunks))
            if answer is not None:
                self._send(answer)
                return
            self._hand_over()
        if self._chunks:
            self._pass_on()
        self._body.begin()
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
        """The request that offers another protocol, as if it did not: nobody has to take an offer. The parser stops
        behind its head.
        """
        parser, self.parser = self.parser, HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as Uvicorn does
        return without_offer(parser.get_method(), self.url, parser.get_http_version(), self.headers) + rest

    def _refuse(self, problem: Problem) -> None:
        """Nothing more is read. The requests before are answered first; one that broke off in its body is answered
        by this alone.
        """
        self._refused = True
        self._ended_at = self.loop.time()
        self._rest = b""
        self._refusal = problem
        if self._hot is None and self._head_bytes is not None and self._head_complete and self.cycle is not None:
            self._forget_newest()
        self._hot = None
        self._head_bytes = None
        if self._is_quiet():
            self._end()

    def _forget_newest(self) -> None:
        cycle = self.cycle
        if cycle.response_started:  # one answer is all that a request gets
            self._refusal = None
        elif self.pipeline:
            self.pipeline.popleft()
            self.cycle = self.pipeline[0][0] if self.pipeline else cast(RequestResponseCycle, self._running)
        else:
            tell_gone(cycle)
            self.cycle = self._running = None  # type: ignore[assignment]  # as they are before the first request

    def _end(self) -> None:
        refusal, self._refusal = self._refusal, None
        if self.transport.is_closing():
            return
        if refusal is not None:
            self._send(self._application.refuse(refusal))
        if self.transport.can_write_eof():  # TLS cannot
            self._output.flush()
            # Not close(): what the client still sends would reset the connection, and take the answer with it.
            self.transport.write_eof()
            self._ended_at = self.loop.time()
            self._look_by(self._ended_at + self._timeouts.goodbye)
        else:
            self.transport.close()

    def _hand_over(self) -> None:
        """Lets Uvicorn take the request as far as it has been read."""
        self._hot = None
        url, expect, trailers = self.url, self.expect_100_continue, self.headers
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expect
        self.headers.extend(self._head)
        super().on_headers_complete()
        self.headers = trailers
        if self._leaving:
            self.cycle.keep_alive = False
        if self._chunks:
            self._pass_on()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def _send(self, answer: Reply) -> None:
        self._chunks = []
        self._output.write_whole(as_sent(answer, self.server_state.default_headers))
        self.server_state.total_requests += 1

    def _give_up(self) -> None:
        self._refuse(
            RequestTimeout(f"The request did not arrive within {self._reading_time()} s: send it at a stretch")
        )
        if not self.transport.is_closing():
            self._look_by(self.loop.time() + self.timeout_keep_alive)

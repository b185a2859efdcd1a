"""Around every request: its id, its duration in the metrics, the access line, and `Connection: close` while
draining.
"""

import logging
from time import perf_counter

from fastapi import FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..errors import Problem
from ..settings import Settings
from ..system.board import Board, Lifecycle
from ..telemetry.metrics import Metrics
from ..telemetry.request_id import identity_of, new_key, request_id
from . import probes
from .fast_path import Dispatch, HotPath
from .operation import Reply, fields_of
from .problems import problem_response

access_log = logging.getLogger("slipway.access")

CLOSE = (b"connection", b"close")
_NOWHERE = "*"  # no route has this path


class Envelope:
    """The outermost ASGI application, outside even of the handler of unexpected errors, so that no answer goes without
    it.

    `hot`: answers the paths that it knows by itself, without a layer of ASGI between; None: `app` answers all.
    `beside`: what the metrics' own port answers; None: there is none.
    """

    def __init__(
        self,
        app: ASGIApp,
        hot: Dispatch | None,
        fastapi: FastAPI,
        settings: Settings,
        lifecycle: Lifecycle,
        metrics: Metrics,
        beside: "Envelope | None" = None,
    ) -> None:
        self.app = app
        self.beside = beside
        self.fastapi = fastapi
        self._hot = hot
        self._board = lifecycle.board
        self._metrics = metrics
        self._log_access = settings.access_log
        self._prefix = settings.root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = perf_counter()
        # For the addresses in the documentation; routes match with it and without, as the Ingress leaves it.
        if self._prefix:
            scope["root_path"] = self._prefix
        headers = fields_of(scope["headers"])
        identity, key = identity_of(headers)
        token = request_id.set(identity)
        answer = Answer(send, identity.encode(), self._board)
        try:
            if self._hot is None or scope["method"] != "POST" or (hot := self._hot.find(scope["raw_path"])) is None:
                # Every path that answers GET answers HEAD; the server leaves the body out.
                asked = {**scope, "method": "GET", "head": True} if scope["method"] == "HEAD" else scope
                # A second spelling of a path, which a proxy in front may let pass: there is none.
                if b"%2f" in scope["raw_path"].lower():
                    asked = {**asked, "path": _NOWHERE}
                await self.app(asked, receive, answer.send)
                answer.route = getattr(asked.get("route"), "path", answer.route)
            else:
                answer.route = hot.path
                reply = await self._hot.answer(hot, scope, headers, receive, key)
                answer.begin(reply.status, reply.headers)
                await send({"type": "http.response.start", "status": reply.status, "headers": reply.headers})
                await send({"type": "http.response.body", "body": reply.body})
        except Exception:
            # Starlette's outermost middleware answers, then raises again for the server to log; ours has been logged.
            if not answer.status:
                raise
        finally:
            seconds = perf_counter() - started
            self._metrics.request(scope["method"], answer.route, answer.status or 499, seconds)
            if self._board.draining and answer.route not in probes.PATHS:
                self._board.answered()  # the drain outlasts the scrape after this
            if self._log_access:
                log_access(scope["method"], scope["path"], answer.route, answer.status, answer.headers, seconds)
            request_id.reset(token)

    def hot_path(self, url: bytes) -> HotPath | None:
        """What may answer a POST to this address at once; None where it has a query, and while draining."""
        return None if self._hot is None or self._board.draining else self._hot.find(url)

    def answer_at_once(self, hot: HotPath, path: bytes, headers: dict[bytes, bytes], body: bytes) -> Reply | None:
        """The answer to a request that is there in whole; None where it must be waited for: then it has to come as
        ASGI, and is new.
        """
        assert self._hot is not None, "it knew the path"
        started = perf_counter()
        identity, key = identity_of(headers)
        token = request_id.set(identity)
        try:
            reply = self._hot.answer_at_once(hot, headers, body, key)
            if reply is not None:
                reply.headers.append((b"x-request-id", identity.encode()))
                seconds = perf_counter() - started
                self._metrics.request("POST", hot.path, reply.status, seconds)
                if self._log_access:
                    log_access("POST", path.decode("latin-1"), hot.path, reply.status, reply.headers, seconds)
            return reply
        finally:
            request_id.reset(token)

    def refuse(self, problem: Problem) -> Reply:
        """The answer to what is no request that anything could be asked with; the connection ends with it."""
        response = problem_response(problem)
        self._metrics.request("other", "unmatched", problem.status, 0.0)
        return Reply(
            problem.status, [*response.raw_headers, (b"x-request-id", new_key().encode()), CLOSE], bytes(response.body)
        )


class Answer:
    """The answer to a request as metrics and the access line need it.

    `route`: the template, not the path: a client can make up paths without end. `status`: 0 until the answer begins.
    """

    __slots__ = ("_board", "_identity", "_send", "headers", "route", "status")

    def __init__(self, send: Send, identity: bytes, board: Board) -> None:
        self.route = "unmatched"
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self._send = send
        self._identity = identity
        self._board = board

    def begin(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        self.status = status
        self.headers = headers
        headers.append((b"x-request-id", self._identity))
        if self._board.draining:
            headers.append(CLOSE)

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.begin(message["status"], message["headers"])
        await self._send(message)


def log_access(
    method: str, path: str, route: str, status: int, headers: list[tuple[bytes, bytes]], seconds: float
) -> None:
    # Probes come every few seconds, and say nothing new.
    level = logging.DEBUG if route in probes.PATHS else logging.INFO
    if not access_log.isEnabledFor(level):
        return
    extra = {
        "method": method,
        "path": path,
        "route": route,
        "status": status or 499,
        "duration_ms": round(seconds * 1000, 3),
    }
    for name, value in headers:
        if name == b"x-model":
            extra["model"] = value.decode()
    access_log.log(level, "request", extra=extra)

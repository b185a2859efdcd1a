"""Around every request: its id, its duration in the metrics, the access line, and `Connection: close` while draining."""

import logging
import re
import uuid
from time import perf_counter

from fastapi import FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..lifecycle import Lifecycle
from ..logs import request_id
from ..metrics import Metrics
from ..settings import Settings
from . import probes

access_log = logging.getLogger("slipway.access")

HARMLESS_ID = re.compile(rb"[A-Za-z0-9._~+/=:@-]{1,128}")


class Envelope:
    """The outermost ASGI application, outside even of the handler of unexpected errors, so that no answer goes without it."""

    def __init__(self, app: ASGIApp, fastapi: FastAPI, settings: Settings, lifecycle: Lifecycle, metrics: Metrics) -> None:
        self.app = app
        self.fastapi = fastapi
        self._lifecycle = lifecycle
        self._metrics = metrics
        self._log_access = settings.access_log
        self._prefix = settings.root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = perf_counter()
        if self._prefix:  # for the addresses in the documentation; routes match with it and without, as the Ingress leaves it
            scope["root_path"] = self._prefix
        identity = _request_id(scope)
        token = request_id.set(identity.decode())
        status = 0
        model: str | None = None

        async def send_with_headers(message: Message) -> None:
            nonlocal status, model
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = message["headers"]
                for name, value in headers:
                    if name == b"x-model":
                        model = value.decode()
                headers.append((b"x-request-id", identity))
                if self._lifecycle.draining:
                    headers.append((b"connection", b"close"))
            await send(message)

        try:
            await self.app(scope, receive, send_with_headers)
        except Exception:
            # Starlette's outermost middleware answers, then raises again for the server to log; ours has been logged.
            if not status:
                raise
        finally:
            seconds = perf_counter() - started
            route = _route_template(scope)
            is_probe = route in probes.PATHS
            self._metrics.request(scope["method"], route, status or 499, seconds)
            if self._lifecycle.draining and not is_probe:
                self._lifecycle.board.answered()  # the drain outlasts the scrape after this
            level = logging.DEBUG if is_probe else logging.INFO  # they come every few seconds, and say nothing new
            if self._log_access and access_log.isEnabledFor(level):
                extra = {
                    "method": scope["method"],
                    "path": scope["path"],
                    "route": route,
                    "status": status or 499,
                    "duration_ms": round(seconds * 1000, 3),
                }
                if model is not None:
                    extra["model"] = model
                access_log.log(level, "request", extra=extra)
            request_id.reset(token)


def _request_id(scope: Scope) -> bytes:
    """The client's, when it can do no harm in a header or a log line; else a new one."""
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            if HARMLESS_ID.fullmatch(value):
                return bytes(value)
            break
    return uuid.uuid4().hex.encode()


def _route_template(scope: Scope) -> str:
    """Never the raw path: a scanner would make a metric series of each path that it tries."""
    return getattr(scope.get("route"), "path", "unmatched")

"""A worker process: Uvicorn under Gunicorn, which lets its clients go before it stops."""

import asyncio
import logging
import math
import os
import signal
import socket
import sys
from types import FrameType
from typing import Any, NamedTuple, cast

from gunicorn.arbiter import Arbiter
from uvicorn import Config, Server
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn_worker import UvicornWorker  # type: ignore[import-untyped]

from .accept import Acceptor
from .lifecycle import Board
from .settings import Settings

_TICKS_PER_SECOND = 10  # of Uvicorn's main loop
_SMALLEST_LEAD = 8  # connections that are not worth a move


class Timeouts(NamedTuple):
    """Seconds. request_timeout < drain, linger + drain < graceful < hang; the pod's grace period must exceed `slipway drain` + graceful."""

    linger: int  # for clients with a kept-alive connection to send one more request, and to be told to go
    drain: int  # for requests in hand to end
    graceful: int  # from SIGTERM until the master kills the worker
    hang: int  # without a sign of life, of which there are none after SIGTERM

    @classmethod
    def of(cls, settings: Settings) -> "Timeouts":
        linger = 2
        drain = math.ceil(settings.request_timeout) + 1
        graceful = linger + drain + 3  # the lifespan's end: thread and process pools close
        return cls(linger, drain, graceful, graceful + 2)


class Worker(UvicornWorker):  # type: ignore[misc]
    """`app` is the server's Application: its settings, lifecycle and metrics are at hand before the fork and after."""

    CONFIG_KWARGS: dict[str, Any] = {  # noqa: RUF012 - the base class declares it so
        "loop": "uvloop",
        "http": "httptools",
        "ws": "none",
        "interface": "asgi3",
        "lifespan": "on",
        "access_log": False,
        "server_header": False,
        "proxy_headers": False,  # nothing here reads the client's address or scheme
        "timeout_notify": 1,
    }

    slot: int  # on the board and in the metrics' file names
    generation: int  # of models
    retired = False  # others have taken over: it was told to finish

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.config.timeout_graceful_shutdown = Timeouts.of(self.app.settings).drain
        uvicorn = logging.getLogger("uvicorn.error")
        uvicorn.propagate = True
        if logging.root.level == logging.INFO:
            uvicorn.setLevel(logging.WARNING)  # the master says which workers start and stop

    def run(self) -> None:
        try:
            super().run()
        except SystemExit as exc:
            if exc.code == Arbiter.WORKER_BOOT_ERROR and self.age > self.cfg.workers:
                sys.exit(1)  # that code would end the whole server, for one successor that could not start
            raise

    async def _serve(self) -> None:
        self.config.app = self.wsgi
        server = LeavingServer(self.config, self.app.lifecycle.board, self.slot, Timeouts.of(self.app.settings).linger)
        # The master's quick stop, after Ctrl-C: waits for nobody. The base class's handler would not end the process.
        signal.signal(signal.SIGQUIT, lambda *_: os._exit(0))
        await server.serve(sockets=[listener.sock for listener in self.sockets])


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

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        held, self._held = self._held, []
        if held and not self._transport.is_closing():
            self._transport.write(b"".join(held))


class Connection(HttpToolsProtocol):
    """A client's connection, which can be asked to close after its next answer, and is closed when it never asks anything."""

    _leaving = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(cast(asyncio.Transport, OneWrite(transport, self.loop)))
        # Uvicorn starts this clock after an answer only, and would keep a silent connection for ever.
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def leave(self) -> None:
        """The next answer says `Connection: close`: the one in hand, or that to the next request."""
        self._leaving = True
        if self.cycle is not None and not self.cycle.response_started:
            self.cycle.keep_alive = False

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        if self._leaving:
            self.cycle.keep_alive = False


class LeavingServer(Server):
    """Counts its connections on the board, and closes them where their clients expect it: after an answer that says so."""

    def __init__(self, config: Config, board: Board, slot: int, linger: float) -> None:
        super().__init__(config)
        self._board = board
        self._slot = slot
        self._linger = linger

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=[])
        acceptors = [Acceptor(listener, self._connect, self._board, self._slot, self._count, self.config.ssl) for listener in sockets or []]
        self.servers = cast(list[asyncio.Server], acceptors)  # closed and waited for in shutdown, nothing else

    def _count(self) -> int:
        return len(self.server_state.connections)

    def _connections(self) -> set["Connection"]:
        return cast(set[Connection], self.server_state.connections)  # _connect makes no others

    def _connect(self) -> "Connection":
        return Connection(self.config, self.server_state, self.lifespan.state)

    async def on_tick(self, counter: int) -> bool:
        self._board.connections(self._slot, self._count())
        if counter % _TICKS_PER_SECOND == 0:
            self._share()
        return await super().on_tick(counter)

    def _share(self) -> None:
        """Kept-alive connections never leave by themselves: after a restart the others would hold all, and the new worker none."""
        fewest = self._board.fewest_connections(besides=self._slot)
        lead = 0 if fewest is None else self._count() - fewest
        if lead > max(_SMALLEST_LEAD, self._count() // 4):
            for connection in list(self._connections())[: lead // 2]:
                connection.leave()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if not self.started:
            os._exit(0)  # nobody is served yet, and a model may be stuck in its warm-up
        super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
            await server.wait_closed()
        # Uvicorn would now close all connections that are between two requests, and fail each request that is on its way.
        for connection in self._connections():
            connection.leave()
        deadline = asyncio.get_running_loop().time() + self._linger
        while self.server_state.connections and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.05)
        await super().shutdown(sockets)

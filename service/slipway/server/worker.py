"""A worker process: Uvicorn under Gunicorn, which lets its clients go before it stops."""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import Any, cast

from uvicorn import Config, Server
from uvicorn.config import STARTUP_FAILURE
from uvicorn_worker import UvicornWorker  # type: ignore[import-untyped]

from ..http.envelope import Envelope
from ..system.board import Board
from ..telemetry.metrics import Metrics
from .accept import Acceptor, Idle, most_connections
from .certificate import CannotRenew, Certificate
from .connection import Connection
from .forks import keep_from_forks
from .timeouts import Timeouts

_TICKS_PER_SECOND = 10  # of Uvicorn's main loop
_SMALLEST_LEAD = 8  # connections that are not worth a move


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

    ended: "os.waitid_result | None" = None  # how, once it has

    def init_process(self) -> None:
        try:
            super().init_process()
        except Exception:
            if not self.booted:
                self.app.lifecycle.board.fail_to_start(self.slot)
            raise

    def run(self) -> None:
        try:
            super().run()
        except SystemExit as exc:
            if exc.code == STARTUP_FAILURE:  # out of Uvicorn: whatever a model raises is contained
                self.app.lifecycle.board.fail_to_start(self.slot)
                sys.exit(1)
            raise

    async def _serve(self) -> None:
        self.config.app = self.wsgi
        board, timeouts = self.app.lifecycle.board, Timeouts.of(self.app.settings)
        port = self.app.settings.metrics_port
        server = LeavingServer(self.config, self.wsgi, board, self.slot, timeouts, self._certificate(), port)
        # The master's quick stop, after Ctrl-C: waits for nobody. The base class's handler would not end the process.
        signal.signal(signal.SIGQUIT, lambda *_: os._exit(0))
        settings = self.app.settings
        keep_from_forks((settings.port, settings.metrics_port), [self.app.directory, settings.log_spool], self.SIGNALS)
        starting = asyncio.create_task(self._notify_until_started(server))
        try:
            await server.serve(sockets=[listener.sock for listener in self.sockets])
        finally:
            starting.cancel()

    def _certificate(self) -> "ServedCertificate | None":
        certificate = self.app.certificate
        return None if certificate is None else ServedCertificate(certificate, self.app.metrics)

    async def _notify_until_started(self, server: "LeavingServer") -> None:
        """Each warm-up has a deadline of its own, and there may be many: the master is not to take them together for
        a hang.
        """
        while not server.started:
            self.notify()
            await asyncio.sleep(1)


class LeavingServer(Server):
    """Counts its connections on the board, and closes them where their clients expect it: after an answer that says
    so.
    """

    def __init__(
        self,
        config: Config,
        application: Envelope,
        board: Board,
        slot: int,
        timeouts: Timeouts,
        certificate: "ServedCertificate | None",
        metrics_port: int | None,
    ) -> None:
        super().__init__(config)
        self._certificate = certificate
        self._metrics_port = metrics_port
        self._application = application
        self._board = board
        self._slot = slot
        self._timeouts = timeouts

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=[])
        most = most_connections()  # not before: what the application keeps open is open now
        tls = None if self._certificate is None else self._certificate.certificate
        handshake = self._timeouts.handshake
        acceptors = []
        for listener in sockets or []:
            connect = self._connecting(listener)
            acceptors.append(
                Acceptor(listener, connect, self._board, self._slot, self._count, tls, handshake, self._idle, most)
            )
        self.servers = cast(list[asyncio.Server], acceptors)  # closed and waited for in shutdown, nothing else

    def _count(self) -> int:
        return len(self.server_state.connections)

    def _connections(self) -> set[Connection]:
        return cast(set[Connection], self.server_state.connections)  # _connect makes no others

    def _idle(self) -> Idle:
        for connection in self._connections():
            if (since := connection.idle_since()) is not None:
                yield since, connection.transport.abort

    def _connecting(self, listener: socket.socket) -> Callable[[], Connection]:
        """What is made of a connection to it: of the metrics' own port, one that reaches nothing else."""
        beside = self._application.beside
        is_beside = beside is not None and listener.getsockname()[1] == self._metrics_port
        application = beside if beside is not None and is_beside else self._application

        def connect() -> Connection:
            connection = Connection(self.config, self.server_state, self.lifespan.state, application, self._timeouts)
            connection.app = application
            return connection

        return connect

    async def on_tick(self, counter: int) -> bool:
        self._board.connections(self._slot, self._count())
        if counter % _TICKS_PER_SECOND == 0:
            self._share()
            if self._certificate is not None:
                self._certificate.look()
        if self._board.draining:
            self._drain()
        return await super().on_tick(counter)

    def _share(self) -> None:
        """Kept-alive connections never leave by themselves: after a restart the others would hold all, and the new
        worker none.
        """
        fewest = self._board.fewest_connections(besides=self._slot)
        lead = 0 if fewest is None else self._count() - fewest
        if lead > max(_SMALLEST_LEAD, self._count() // 4):
            for connection in list(self._connections())[: lead // 2]:
                connection.leave()

    def _drain(self) -> None:
        """A client that asks is told to go by the answer; one that keeps its connection for later would hold the drain
        until its end.
        """
        self._board.asking(self._slot, sum(connection.is_asking() for connection in self._connections()))
        idle = self._timeouts.idle
        if time.monotonic() - self._board.draining_since >= idle:
            for connection in list(self._connections()):
                connection.close_if_idle(asyncio.get_running_loop().time() - idle)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if not self.started:
            os._exit(0)  # nobody is served yet, and a model may be stuck in its warm-up
        super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
            await server.wait_closed()
        # Uvicorn would now close all connections that are between two requests, and fail each request that is on its
        # way.
        for connection in self._connections():
            connection.leave()
        deadline = asyncio.get_running_loop().time() + self._timeouts.linger
        while self.server_state.connections and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.05)
        await super().shutdown(sockets)


class ServedCertificate:
    """A worker's certificate and its time in the metrics. What is wrong with a new one the master says, once."""

    def __init__(self, certificate: Certificate, metrics: Metrics) -> None:
        self.certificate = certificate
        self._metrics = metrics
        metrics.certificate_expires(certificate.expires)

    def look(self) -> None:
        with contextlib.suppress(CannotRenew):
            if self.certificate.renew():
                self._metrics.certificate_expires(self.certificate.expires)

"""Takes connections from the listening socket that all workers share, so that each worker holds about as many as the others."""

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable

from .lifecycle import Board

log = logging.getLogger("slipway.accept")

# Whichever worker wakes first could take a whole burst: of 64 kept-alive connections, one of two workers got all, in one run of six.
# SO_REUSEPORT would share out by chance, and lose what waits for a worker that is killed or hangs.
_AHEAD = 2  # connections by which a worker may lead before it lets another go first
_PATIENCE = 0.002  # seconds that the other has; it may be busy, or hang
_BURST = 4  # connections taken when it did not come
_HANDSHAKE = 0.5  # seconds for those that are connecting when the worker stops
_NO_DESCRIPTORS = 1.0  # seconds until the next try when the process has too many files open


class Acceptor:
    """The listening side of one worker, in the shape of an asyncio server. `count` answers the connections that are open."""

    def __init__(
        self,
        listener: socket.socket,
        protocol_factory: Callable[[], asyncio.Protocol],
        board: Board,
        slot: int,
        count: Callable[[], int],
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._listener = listener
        self._protocol_factory = protocol_factory
        self._board = board
        self._slot = slot
        self._count = count
        self._tls = tls
        self._opening: set[asyncio.Task[object]] = set()
        self._pause: asyncio.TimerHandle | None = None
        self._resume()

    def close(self) -> None:
        if self._listener.fileno() == -1:
            return
        if self._pause is None:
            self._loop.remove_reader(self._listener)
        else:
            self._pause.cancel()
        self._listener.close()

    async def wait_closed(self) -> None:
        if self._opening:  # a client may be slow to speak TLS: the others do not wait for it
            await asyncio.wait(self._opening, timeout=_HANDSHAKE)

    def _resume(self) -> None:
        self._pause = None
        self._loop.add_reader(self._listener, self._connection_waits)

    def _stand_back(self, seconds: float, then: Callable[[], None]) -> None:
        self._loop.remove_reader(self._listener)
        self._pause = self._loop.call_later(seconds, then)

    def _connection_waits(self) -> None:
        fewest = self._board.fewest_connections(besides=self._slot)
        if fewest is not None and self._count() + len(self._opening) >= fewest + _AHEAD:
            self._stand_back(_PATIENCE, self._nobody_came)
        else:
            self._accept()

    def _nobody_came(self) -> None:
        self._resume()
        for _ in range(_BURST):
            if not self._accept():
                break

    def _accept(self) -> bool:
        try:
            connection, _ = self._listener.accept()
        except (BlockingIOError, ConnectionAbortedError):  # another worker has it, or the client has left
            return False
        except OSError as exc:
            log.error("cannot accept connections: %s", exc)
            self._stand_back(_NO_DESCRIPTORS, self._resume)
            return False
        connection.setblocking(False)
        opening = self._loop.create_task(self._loop.connect_accepted_socket(self._protocol_factory, connection, ssl=self._tls))
        self._opening.add(opening)
        opening.add_done_callback(self._opened)
        self._board.connections(self._slot, self._count() + len(self._opening))
        return True

    def _opened(self, opening: "asyncio.Task[object]") -> None:
        self._opening.discard(opening)
        if not opening.cancelled() and (error := opening.exception()) is not None:  # a client that speaks no TLS, or another one
            log.debug("a connection was not opened: %s", error)

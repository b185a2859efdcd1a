"""Takes connections from the listening socket that all workers share, so that each worker holds about as many as the
others.
"""

import asyncio
import heapq
import logging
import os
import resource
import socket
import sys
import time
from collections.abc import Callable, Iterable
from operator import itemgetter
from typing import Any

from ..system.board import Board
from .certificate import Certificate

log = logging.getLogger("slipway.accept")

# Whichever worker wakes first could take a whole burst: of 64 kept-alive connections, one of two workers got all, in
# one run of six. SO_REUSEPORT would share out by chance, and lose what waits for a worker that is killed or hangs.
_AHEAD = 2  # connections by which a worker may lead before it lets another go first
_PATIENCE = 0.002  # seconds that the other has; it may be busy, or hang
_BURST = 4  # connections taken when it did not come
_HANDSHAKE = 0.5  # seconds for those that are connecting when the worker stops
_NO_DESCRIPTORS = 1.0  # seconds until the next try when the process has too many files open
# For what a worker opens besides: metrics, the prediction log and its spool, pipes to its children.
_SPARE_DESCRIPTORS = 32
_FEWEST = 8  # connections that a worker takes, however few descriptors it has
_SHARE = 16  # of all connections one in so many is closed at a time: to find the longest idle takes a look at each
_ALL_BUSY = 0.05  # seconds until the next try when nobody is idle
_SAID_AGAIN = 10.0  # seconds until the log says once more that connections run short

Idle = Iterable[tuple[float, Callable[[], object]]]  # since when a connection has been idle, and what closes it


class Acceptor:
    """The listening side of one worker, in the shape of an asyncio server. `count` answers the connections that are
    open.

    It keeps to `most` of them: for a new one the longest idle go. `handshake`: seconds for a client to begin TLS.
    """

    def __init__(
        self,
        listener: socket.socket,
        protocol_factory: Callable[[], asyncio.Protocol],
        board: Board,
        slot: int,
        count: Callable[[], int],
        tls: Certificate | None = None,
        handshake: float = 10.0,
        idle: Callable[[], Idle] = tuple,
        most: int = sys.maxsize,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._listener = listener
        self._protocol_factory = protocol_factory
        self._board = board
        self._slot = slot
        self._count = count
        self._tls = tls
        self._handshake = handshake
        self._idle = idle
        self._most = most
        self._opening: dict[asyncio.Task[object], float] = {}  # since when
        self._said_at = float("-inf")
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
        if self._count() + len(self._opening) >= self._most:
            self._say(
                f"{self._most} connections are open, as many as there are file descriptors for: the longest idle are "
                "closed"
            )
            if not self._make_room():
                self._stand_back(_ALL_BUSY, self._resume)
            return False  # it is accepted in the next turn of the loop, when they have closed
        try:
            connection, _ = self._listener.accept()
        except (BlockingIOError, ConnectionAbortedError):  # another worker has it, or the client has left
            return False
        except OSError as exc:
            self._say(f"cannot accept connections: {exc}")
            self._stand_back(_ALL_BUSY if self._make_room() else _NO_DESCRIPTORS, self._resume)
            return False
        connection.setblocking(False)
        tls: dict[str, Any] = {}
        if self._tls is not None:
            tls = {"ssl": self._tls.context, "ssl_handshake_timeout": self._handshake}
        opening = self._loop.create_task(self._loop.connect_accepted_socket(self._protocol_factory, connection, **tls))
        self._opening[opening] = self._loop.time()
        opening.add_done_callback(self._opened)
        self._board.connections(self._slot, self._count() + len(self._opening))
        return True

    def _make_room(self) -> bool:
        """Whether there was anybody to close."""
        idle = [*self._idle(), *((since, opening.cancel) for opening, since in self._opening.items())]
        for _, close in heapq.nsmallest(len(idle) // _SHARE + 1, idle, key=itemgetter(0)):
            close()
        return bool(idle)

    def _say(self, sentence: str) -> None:
        if time.monotonic() - self._said_at > _SAID_AGAIN:
            self._said_at = time.monotonic()
            log.error(sentence)

    def _opened(self, opening: "asyncio.Task[object]") -> None:
        del self._opening[opening]
        # A client that speaks no TLS, or another one.
        if not opening.cancelled() and (error := opening.exception()) is not None:
            log.debug("a connection was not opened: %s", error)


def most_connections() -> int:
    """That this process has file descriptors for, besides those that it has open and will need."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return sys.maxsize
    return max(_FEWEST, soft - len(os.listdir("/dev/fd")) - _SPARE_DESCRIPTORS)

"""`slipway drain`: asks the clients of the server on this machine to leave, and waits for them. For a preStop hook,
so quick to import.
"""

import logging
import time
from typing import TYPE_CHECKING

from ..system.board import Board
from ..system.runtime_dir import board_path, in_use, runtime_dir

if TYPE_CHECKING:  # the caller has read the settings
    from ..settings import Settings

# Kubernetes takes a moment to tell every node that this pod is leaving; until then new connections keep coming.
_SHORTEST = 5.0
_POLL = 0.1
_SCRAPED_LATELY = 300.0  # the longest interval at which Prometheus keeps a series alive
_SAID_AGAIN = 5.0  # seconds until the server's log says once more what its drain waits for

log = logging.getLogger("slipway.drain")


def drain(settings: "Settings") -> None:
    """Returns when no client is connected and Prometheus, if it scrapes here, has seen their last answers; or after the
    drain timeout.

    Raises SystemExit with a sentence where no server runs.
    """
    directory = runtime_dir(settings.runtime_dir, settings.port)
    try:
        board = Board.attach(board_path(directory))
    except FileNotFoundError:
        board = None
    if board is None or not in_use(directory):
        raise SystemExit(f"No Slipway server of this user runs on port {settings.port}.")
    board.answered()  # what was answered until now may not have been scraped yet
    board.draining = True
    started = time.monotonic()
    waits = Waits(board)
    while True:
        elapsed, left = time.monotonic() - started, waits.left()
        if elapsed >= _SHORTEST and left is None:
            print(f"Drained in {elapsed:.1f} s: no client connection is left.")
            return
        if elapsed >= settings.drain_timeout:
            print(f"Stopped waiting after {elapsed:.1f} s: {left}.")
            return
        time.sleep(_POLL)


class Waits:
    """What a drain that has begun waits for."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._is_scraped = time.monotonic() - board.scraped_at < _SCRAPED_LATELY

    def left(self) -> str | None:
        """The words of a sentence; None: nothing."""
        board = self._board
        if connections := board.total_connections():
            asking = min(connections, board.total_asking())
            return f"{connections} client connections are left, {asking} of them with a request in hand"
        unseen = self._is_scraped and board.scraped_at <= board.answered_at
        return "the last answers have not been scraped" if unseen else None


class DrainLog:
    """The hook's own words reach no log: the master of the server that drains says what it waits for."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._waits: Waits | None = None
        self._said_at = 0.0
        self._done = False

    def look(self) -> None:
        """Call it about once a second."""
        if self._waits is None:
            if not self._board.draining:
                return
            self._waits, self._said_at = Waits(self._board), time.monotonic()
            log.info("draining: /ready answers 503, and every answer asks its client to leave")
        left, now = self._waits.left(), time.monotonic()
        elapsed = now - self._board.draining_since
        if left is not None and now - self._said_at >= _SAID_AGAIN:
            self._said_at, self._done = now, False
            log.info("draining for %.0f s: %s", elapsed, left)
        elif left is None and elapsed >= _SHORTEST and not self._done:
            self._done = True
            log.info("drained in %.1f s: no client connection is left", elapsed)

    def end(self) -> None:
        """The server stops."""
        left = None if self._waits is None else self._waits.left()
        if left is not None:
            log.warning("stopping after a drain of %.0f s: %s", time.monotonic() - self._board.draining_since, left)

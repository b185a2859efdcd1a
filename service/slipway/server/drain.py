"""`slipway drain`: asks the clients of the server on this machine to leave, and waits for them. For a preStop hook,
so quick to import.
"""

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
    is_scraped = started - board.scraped_at < _SCRAPED_LATELY
    while True:
        elapsed, connections = time.monotonic() - started, board.total_connections()
        unseen = is_scraped and board.scraped_at <= board.answered_at
        if elapsed >= _SHORTEST and connections == 0 and not unseen:
            print(f"Drained in {elapsed:.1f} s: no client connection is left.")
            return
        if elapsed >= settings.drain_timeout:
            left = (
                "the last answers have not been scraped"
                if connections == 0
                else (f"{connections} client connections are left")
            )
            print(f"Stopped waiting after {elapsed:.1f} s: {left}.")
            return
        time.sleep(_POLL)

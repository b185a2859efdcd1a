"""What a process that a model's code forks from a worker does not keep: the worker's clients, its port and its event
loop.
"""

import logging
import os
import signal
import socket
from collections.abc import Collection, Iterable
from pathlib import Path

from ..model.contained import end_when_it_returns

log = logging.getLogger("slipway.forks")

_LOOP = "anon_inode:[eventpoll]"  # what is taken off it in a fork is off in the worker, too, which then hears nobody


def keep_from_forks(ports: Collection[int | None], folders: Iterable[Path], signals: Iterable[int]) -> None:
    """From now on. `folders`: ours, with locks that last as long as anybody has their files; `signals`: those that the
    worker handles.

    For a worker, after its start: workers themselves are forked. What a model starts with another program keeps nothing
    anyway.
    """
    ours = tuple(f"{folder.resolve()}/" for folder in folders)
    nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)  # now: there may be no room for it later

    def in_child() -> None:
        signal.set_wakeup_fd(-1)  # or the worker would take the child's signals for its own
        for number in signals:
            signal.signal(number, signal.SIG_DFL)  # multiprocessing ends its children so
        _replace(nothing, ports, ours)

    os.register_at_fork(after_in_child=in_child)
    end_when_it_returns(
        lambda: log.error("a model's code has forked its worker, and came back in the copy, too: the copy is ended")
    )


def _replace(nothing: int, ports: Collection[int | None], folders: tuple[str, ...]) -> None:
    """Not closed: whoever holds such a number would next close, or write to, what had got it anew."""
    for name in os.listdir("/dev/fd"):
        descriptor = int(name)
        if _is_ours(descriptor, ports, folders):
            os.dup2(nothing, descriptor, inheritable=False)


def _is_ours(descriptor: int, ports: Collection[int | None], folders: tuple[str, ...]) -> bool:
    try:
        what = os.readlink(f"/dev/fd/{descriptor}")
        return (
            what == _LOOP
            or f"{what}/".startswith(folders)
            or (what.startswith("socket:") and _port(descriptor) in ports)
        )
    except OSError:  # the one that listed them
        return False


def _port(descriptor: int) -> int:
    """The port that it listens on, or was accepted at; 0 for what is not of the Internet."""
    end = socket.socket(fileno=descriptor)
    try:
        name = end.getsockname()
    finally:
        end.detach()
    return int(name[1]) if isinstance(name, tuple) else 0

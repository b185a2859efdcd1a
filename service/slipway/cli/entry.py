"""The `slipway` command. Signals are heard before anything heavy is imported: that takes seconds on a busy machine."""

import os
import signal
import sys
from types import FrameType

from ..errors import Stopped

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def main() -> None:
    """Runs the command line. A stop signal ends it without a word: `slipway serve` with 0, anything else as a shell
    has it.
    """
    for number in _SIGNALS:  # the first process of a container has no default: what it does not handle is lost
        signal.signal(number, _end)
    from . import main as cli  # not at the top: this is what takes long

    if not _serves():  # a server handles them by itself, and has nothing to clear away before it does
        for number in _SIGNALS:
            signal.signal(number, _stop)
    cli.main()


def _serves() -> bool:
    return sys.argv[1:2] == ["serve"]


def _end(number: int, _: FrameType | None) -> None:
    os._exit(0 if _serves() else 128 + number)  # an exception could come out in the middle of an import


def _stop(number: int, _: FrameType | None) -> None:
    raise Stopped(128 + number)

"""Before a reload: a child of the master loads the new models first and asks them, while the master hears signals and
replaces workers as ever.
"""

import contextlib
import json
import logging
import os
import signal
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

from ..system.process import die_with

Tell = Callable[[str], object]
Judge = Callable[[Tell], dict[str, str]]

_DONE = "done "  # no model is called so


class Verdict(NamedTuple):
    """`refused`: which models are not to be loaded, and why. `culprit`: the one that nothing came after; the others are
    unknown.
    """

    refused: dict[str, str]
    culprit: str | None = None
    wrong: str | None = None  # with the folder as a whole


class Rehearsing:
    """`judge` is called in the child, with what tells the name of each model before it is loaded; it answers which
    ones are refused. What it raises does not matter here.
    """

    def __init__(self, judge: Judge, seconds: float, signals: Iterable[signal.Signals]) -> None:
        """`seconds`: for each model. `signals`: those that the master handles. Raises OSError where there can be no
        child.
        """
        self._seconds = seconds
        self._model = ""
        self._since = time.monotonic()
        self._refused: dict[str, str] | None = None
        self._heard = b""
        self._ended: str | None = None  # how, once it has
        self._news, there = os.pipe()
        os.set_blocking(self._news, False)
        parent = os.getpid()
        # The child is not to handle one as the master would.
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
        try:
            self._pid = os.fork()
            if self._pid == 0:
                _judge(judge, there, parent, signals)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
            os.close(there)

    def reap(self) -> None:
        """Before anybody else does."""
        if self._ended is None:
            try:
                pid, status = os.waitpid(self._pid, os.WNOHANG)
            except ChildProcessError:
                self._ended = "unseen"
                return
            if pid:
                code = os.waitstatus_to_exitcode(status)
                self._ended = f"exit code {code}" if code >= 0 else f"signal {-code}"

    def verdict(self) -> Verdict | None:
        """None as long as there is none. Ask again and again."""
        self.reap()
        self._listen()
        if self._refused is not None:
            return Verdict(self._refused)
        if self._ended is not None:
            why = f"it ended the process that tried it ({self._ended})"
        elif time.monotonic() - self._since > self._seconds:
            why = f"it has not been loaded and asked within {self._seconds:.0f} s"
        else:
            return None
        return Verdict({self._model: why}, self._model) if self._model else Verdict({}, wrong=f"the folder: {why}")

    def end(self) -> None:
        self.reap()
        if self._ended is None:
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
        os.close(self._news)

    def _listen(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while news := os.read(self._news, 65_536):
                self._since = time.monotonic()
                *lines, self._heard = (self._heard + news).split(b"\n")
                for line in map(bytes.decode, lines):
                    if line.startswith(_DONE):
                        self._refused = json.loads(line.removeprefix(_DONE))
                    else:
                        self._model = line


def _judge(judge: Judge, there: int, parent: int, signals: Iterable[signal.Signals]) -> None:
    """In the child, which ends here."""
    try:
        for number in signals:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, signals)
        die_with(parent)
        logging.disable()  # the master says the same when it loads them
        refused: dict[str, str] = {}
        with contextlib.suppress(BaseException):
            refused = judge(lambda model: os.write(there, f"{model}\n".encode()))
        with open(there, "wb") as pipe:
            pipe.write(f"{_DONE}{json.dumps(refused)}\n".encode())
    finally:
        os._exit(0)

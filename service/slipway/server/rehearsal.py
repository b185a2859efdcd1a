"""Before a reload: a child of the master loads the new models first, while the master hears signals and replaces
workers as ever.
"""

import contextlib
import logging
import os
import signal
import time
from collections.abc import Callable, Iterable

from ..system.process import die_with

Tell = Callable[[str], object]

_DONE = "done"


class Rehearsing:
    """`load` is called in the child, with what tells the name of each model before it is loaded; what it raises does
    not matter here.
    """

    def __init__(self, load: Callable[[Tell], None], seconds: float, signals: Iterable[signal.Signals]) -> None:
        """`seconds`: for each model. `signals`: those that the master handles. Raises OSError where there can be no
        child.
        """
        self._seconds = seconds
        self._model = ""
        self._since = time.monotonic()
        self._done = False
        self._ended: str | None = None  # how, once it has
        self._news, there = os.pipe()
        os.set_blocking(self._news, False)
        parent = os.getpid()
        # The child is not to handle one as the master would.
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
        try:
            self._pid = os.fork()
            if self._pid == 0:
                _load(load, there, parent, signals)
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

    def verdict(self) -> str | None:
        """None as long as there is none; empty: they can be loaded; else what keeps them from it. Ask again and
        again.
        """
        self.reap()
        self._listen()
        which = f"model {self._model}" if self._model else "the folder"
        if self._done:
            return ""
        if self._ended is not None:
            return f"{which} ended the process that tried to load it ({self._ended})"
        if time.monotonic() - self._since > self._seconds:
            return f"{which} has not been loaded within {self._seconds:.0f} s"
        return None

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
                *_, last, _ = ("\n" + news.decode(errors="replace")).split("\n")
                self._done = last == _DONE
                self._model = self._model if self._done else last


def _load(load: Callable[[Tell], None], there: int, parent: int, signals: Iterable[signal.Signals]) -> None:
    """In the child, which ends here."""
    try:
        for number in signals:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, signals)
        die_with(parent)
        logging.disable()  # the master says the same when it loads them
        with contextlib.suppress(BaseException):
            load(lambda model: os.write(there, f"{model}\n".encode()))
        os.write(there, f"{_DONE}\n".encode())
    finally:
        os._exit(0)

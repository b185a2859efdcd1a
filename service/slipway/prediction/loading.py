"""Which model is being loaded, where it can be read when the process has ended of it: in the log, the termination
message and a file.
"""

import contextlib
import json
import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ..errors import Stopped
from ..system import termination
from ..system.memory import megabytes

log = logging.getLogger("slipway.models")


class Loading:
    """Of the process that loads before the fork. `directory`: the runtime folder, which outlives the container; None:
    nothing is kept.

    `seconds`: what takes longer is said to, and is remembered like what ends the process if the server is stopped
    meanwhile.
    """

    def __init__(self, directory: Path | None, seconds: float = 60.0) -> None:
        self._seconds = seconds
        self._mark = None if directory is None else directory / "loading"
        self._list = None if directory is None else directory / "ended"
        self._ended: list[list[str]] = _read(self._list) or []
        last = _read(self._mark)
        if last is not None and last not in self._ended:
            log.warning("the last start ended while model %s was loaded", last[0])
            self._ended.append(last)
            _write(self._list, self._ended)
        self._forget()

    def ended(self, model: str, path: Path) -> bool:
        """Whether this very file, of the model of that name and version, has ended an earlier start, or held it up
        until it was stopped.
        """
        return [model, _fingerprint(path)] in self._ended

    @contextlib.contextmanager
    def of(self, model: str, path: Path, size: int) -> Iterator[None]:
        """While the file of that model is loaded. `size`: its bytes."""
        log.info("loading model %s (%s)", model, megabytes(size))  # the last line, if it crashes
        termination.record(f"the process ended while model {model} ({megabytes(size)}) was loaded")
        _write(self._mark, [model, _fingerprint(path)])
        late = threading.Event()
        watch = threading.Timer(self._seconds, self._late, (model, late))
        watch.daemon = True
        watch.start()
        try:
            with _last_words(model):
                yield
        except Stopped:
            if not late.is_set():
                self._done()
                raise
            sentence = (
                "stopped while model %s was loaded for more than %.0f s: the next start leaves it out if it is "
                "optional, else tries again"
            )
            log.error(sentence, model, self._seconds)
            raise
        except BaseException:
            self._done()
            raise
        else:
            self._done()
        finally:
            watch.cancel()
            watch.join()  # a fork comes next, and must find no thread

    def _late(self, model: str, late: threading.Event) -> None:
        late.set()
        sentence = f"still loading model {model} after {self._seconds:.0f} s"
        log.warning("%s", sentence)
        termination.record(sentence)

    def _done(self) -> None:
        self._forget()
        termination.record("")

    def _forget(self) -> None:
        if self._mark is not None:
            self._mark.unlink(missing_ok=True)


class Rehearsal(Loading):
    """Of a process that loads only to see whether it can: tells another one which model it is at, and leaves no
    trace.
    """

    def __init__(self, real: Loading, tell: Callable[[str], object]) -> None:
        super().__init__(None)
        self._ended = real._ended
        self._tell = tell

    @contextlib.contextmanager
    def of(self, model: str, _: Path, __: int) -> Iterator[None]:
        self._tell(model)
        yield


@contextlib.contextmanager
def _last_words(model: str) -> Iterator[None]:
    """An os._exit of this process says so, and never with 0, which would read as a stop that was asked for; nor may it
    be replaced.

    A signal to itself would read as such a stop, too.
    """
    end, process, kill = os._exit, os.getpid(), os.kill

    def end_with_a_word(status: int) -> None:
        if os.getpid() == process:
            sentence = f"model {model} ended the process with os._exit({status}) while it was loaded"
            log.critical("%s", sentence)
            termination.record(sentence)
            status = status or 1
        end(status)

    def kill_others(pid: int, number: int) -> None:
        if os.getpid() == process and pid in (process, 0) and number:
            raise RuntimeError(f"it sent signal {number} to the process that loads it")
        kill(pid, number)

    def unless_here(replace: Callable[..., Any]) -> Callable[..., Any]:
        def replace_others(*args: Any) -> Any:
            if os.getpid() == process:
                raise RuntimeError("it would replace the process that loads it by another program")
            return replace(*args)

        return replace_others

    with contextlib.ExitStack() as stack:
        _replace(stack, "_exit", end_with_a_word)
        _replace(stack, "kill", kill_others)
        for name in ("execv", "execve"):  # all others call these
            _replace(stack, name, unless_here(getattr(os, name)))
        yield


def _replace(stack: contextlib.ExitStack, name: str, function: Callable[..., Any]) -> None:
    for module in (os, sys.modules[os.name]):  # a pickle names it by the second
        stack.callback(setattr, module, name, getattr(module, name))
        setattr(module, name, function)


def _fingerprint(path: Path) -> str:
    try:
        stat = path.stat()
    except OSError:
        return ""
    return f"{stat.st_size} {stat.st_mtime_ns}"


def _read(path: Path | None) -> Any:
    try:
        return None if path is None else json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None


def _write(path: Path | None, content: Any) -> None:
    if path is not None:
        try:
            path.write_text(json.dumps(content))
        except OSError as exc:  # no room: the next start will know nothing of it
            log.warning("%s cannot be written: %s", path, exc.strerror)

"""Which model is being loaded, where it can be read when the process has ended of it: in the log, the termination message and a file."""

import contextlib
import json
import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ..system import termination

log = logging.getLogger("slipway.models")


class Loading:
    """Of the process that loads before the fork. `directory`: the runtime folder, which outlives the container; None: nothing is kept."""

    def __init__(self, directory: Path | None) -> None:
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
        """Whether this very file, of the model of that name and version, has ended an earlier start."""
        return [model, _fingerprint(path)] in self._ended

    @contextlib.contextmanager
    def of(self, model: str, path: Path) -> Iterator[None]:
        """While the file of that model is loaded."""
        log.info("loading model %s", model)  # the last line, if it crashes
        termination.record(f"the process ended while model {model} was loaded")
        _write(self._mark, [model, _fingerprint(path)])
        try:
            with _last_words(model):
                yield
        finally:
            self._forget()
            termination.record("")

    def _forget(self) -> None:
        if self._mark is not None:
            self._mark.unlink(missing_ok=True)


@contextlib.contextmanager
def _last_words(model: str) -> Iterator[None]:
    """An os._exit of this thread says so, and never with 0, which would read as a stop that was asked for."""
    end, process, thread = os._exit, os.getpid(), threading.get_ident()

    def end_with_a_word(status: int) -> None:
        if (os.getpid(), threading.get_ident()) == (process, thread):
            sentence = f"model {model} ended the process with os._exit({status}) while it was loaded"
            log.critical("%s", sentence)
            termination.record(sentence)
            status = status or 1
        end(status)

    _replace(end_with_a_word)
    try:
        yield
    finally:
        _replace(end)


def _replace(end: Callable[[int], Any]) -> None:
    for module in (os, sys.modules[os.name]):  # a pickle names it by the second
        module._exit = end  # type: ignore[attr-defined]


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

"""Estimators that are slow, stuck or held, importable by the server that unpickles them."""

import asyncio
import atexit
import ctypes
import multiprocessing
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import joblib
import numpy as np
from joblib.externals.loky import get_reusable_executor

from tests.support.estimators import Stub


class Own(BaseException):
    """As a Rust extension's panic is, and unlike it cannot be made of one argument, which pickle would need."""

    def __init__(self, one: str, two: str) -> None:
        super().__init__(one, two, "and more")

    def __str__(self) -> str:
        raise SystemExit("it cannot even be printed")


class Opaque(Exception):
    """Whose attributes cannot be read, its class among them."""

    def __getattribute__(self, name: str) -> Any:
        raise SystemExit("it cannot even be looked at")


def throw(error: BaseException) -> None:
    raise error


def crash() -> None:
    ctypes.string_at(0)


RAISES: dict[str, Callable[[], None]] = {
    "SystemExit": lambda: throw(SystemExit(0)),
    "KeyboardInterrupt": lambda: throw(KeyboardInterrupt()),
    "CancelledError": lambda: throw(asyncio.CancelledError()),
    "GeneratorExit": lambda: throw(GeneratorExit()),
    "StopIteration": lambda: throw(StopIteration()),
    "Own": lambda: throw(Own("one", "two")),
    "Opaque": lambda: throw(Opaque()),
    "half": lambda: throw(ValueError("half \ud800 a character")),
    "huge": lambda: throw(ValueError(f"huge {'x' * 5_000_000} huge")),
}
ENDS: dict[str, Callable[[], None]] = {
    "exit 0": lambda: os._exit(0),
    "exit 3": lambda: os._exit(3),
    "exit 4": lambda: os._exit(4),
    "crash": crash,
}
HANGS: dict[str, Callable[[], None]] = {"sleep": lambda: time.sleep(600)}
STOPS: dict[str, Callable[[], None]] = {
    "SIGTERM": lambda: os.kill(os.getpid(), signal.SIGTERM),
    "SIGKILL": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "exec": lambda: os.execv("/bin/true", ["true"]),
}


def exit_in_a_thread() -> None:
    thread = threading.Thread(target=lambda: os._exit(0))
    thread.start()
    thread.join()


def fork_and_stay() -> None:
    """The child neither ends nor comes back."""
    if os.fork() == 0:
        time.sleep(600)
        os._exit(0)


def fork_a_pool() -> None:
    """Is ended by SIGTERM."""
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.map(abs, [-1, -2]) == [1, 2]


def in_parallel(backend: str) -> None:
    assert joblib.Parallel(n_jobs=2, backend=backend)(joblib.delayed(abs)(value) for value in (-1, -2)) == [1, 2]
    if backend == "loky":
        get_reusable_executor().shutdown(wait=True)  # its processes would outlast the test


FORKS: dict[str, Callable[[], object]] = {"fork": os.fork, "fork and stay": fork_and_stay}
PARALLEL: dict[str, Callable[[], object]] = {
    "a pool": fork_a_pool,
    "loky": lambda: in_parallel("loky"),
    "multiprocessing": lambda: in_parallel("multiprocessing"),
}
DOES = {**RAISES, **ENDS, **HANGS, **STOPS, "exit in a thread": exit_in_a_thread, **FORKS, **PARALLEL}


def row(does: str) -> list[float]:
    """What makes a Wicked model do that; [0, 0] is harmless."""
    return [float(list(DOES).index(does) + 1), 0.0]


class Heavy(Stub):
    """Of so many bytes."""

    def __init__(self, size: int = 0) -> None:
        self.size = size

    def fit(self, *_: Any) -> Self:
        self.ballast_ = np.arange(self.size // 8)
        self.n_features_in_ = 1
        return self


class Wicked(Stub):
    """Answers 0 for every harmless row, and at others does what they say."""

    def predict(self, X: Any) -> Any:
        worst = int(np.max(X[:, 0]))
        if worst > 0:
            list(DOES.values())[worst - 1]()
        return super().predict(X)


class WickedToLoad(Stub):
    """Does so when it is loaded, as long as there is no file of that name: `mended`."""

    def __init__(self, does: str = "", mended: str = "") -> None:
        self.does = does
        self.mended = mended

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if not state["mended"] or not Path(state["mended"]).exists():
            DOES[state["does"]]()


class SlowToLoad(Stub):
    """Touches the file `began` when its loading begins, and takes `seconds` for it."""

    def __init__(self, began: str = "", seconds: float = 0.0) -> None:
        self.began = began
        self.seconds = seconds

    def __setstate__(self, state: dict[str, Any]) -> None:
        Path(state["began"]).touch()
        time.sleep(state["seconds"])
        super().__setstate__(state)


class SlowTheSecondTime(Stub):
    """Touches the file `seen` when it is loaded; where there is one already, it takes ten minutes."""

    def __init__(self, seen: str = "") -> None:
        self.seen = seen

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if Path(state["seen"]).exists():
            Path(state["seen"] + "-again").touch()
            time.sleep(600)
        Path(state["seen"]).touch()


class Lingering(Stub):
    """Starts a thread that does not end, and leaves an exit code to be set at exit: when it is loaded."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        threading.Thread(target=time.sleep, args=(600,)).start()
        atexit.register(os._exit, 3)


class Prolific(Stub):
    """For rows whose first feature is above 0 starts a thread and a process that do not end; `file` has the latter's
    id.
    """

    def __init__(self, file: str = "") -> None:
        self.file = file

    def predict(self, X: Any) -> Any:
        if X[0, 0] > 0:
            threading.Thread(target=time.sleep, args=(600,)).start()
            Path(self.file).write_text(str(subprocess.Popen(["sleep", "600"]).pid))
        return super().predict(X)


class Deaf(Stub):
    """Has signals ignored and blocked when it is loaded, as long as there is a file `deaf`."""

    def __init__(self, deaf: str = "") -> None:
        self.deaf = deaf

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if Path(state["deaf"]).exists():
            numbers = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD}
            for number in numbers:
                signal.signal(number, signal.SIG_IGN)
            signal.pthread_sigmask(signal.SIG_BLOCK, numbers)


class Held(Stub):
    """Waits while the file `closed` exists: in the first call of a process, and for rows whose first feature is
    above 0.
    """

    calls = 0

    def __init__(self, closed: str = "") -> None:
        self.closed = closed

    def predict(self, X: Any) -> Any:
        Held.calls += 1
        while (Held.calls == 1 or X[0, 0] > 0) and Path(self.closed).exists():
            time.sleep(0.01)
        return super().predict(X)


class HeldInAWorker(Stub):
    """The first process that asks it is answered, others wait while the file `closed` exists."""

    def __init__(self, closed: str = "") -> None:
        self.closed = closed

    def predict(self, X: Any) -> Any:
        first = Path(self.closed + "-first")
        if not first.exists():
            first.write_text(str(os.getpid()))
        while first.read_text() != str(os.getpid()) and Path(self.closed).exists():
            time.sleep(0.01)
        return super().predict(X)


class StuckInAWorker(Stub):
    """Loads well, and never answers: as OpenMP does after a fork in the wrong moment."""

    def predict(self, X: Any) -> Any:
        time.sleep(600)
        return super().predict(X)


class StuckInAChild(Stub):
    """Loads well in a server's worker, and never in a child process of it."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if multiprocessing.parent_process() is not None:
            time.sleep(600)


class Echo(Stub):
    """Answers the first feature, at once."""

    def fit(self, *_: Any) -> Self:
        self.n_features_in_ = 2
        return self

    def predict(self, X: Any) -> Any:
        return X[:, 0].copy()

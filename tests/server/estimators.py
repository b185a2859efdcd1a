"""Estimators that are slow, stuck or held, importable by the server that unpickles them."""

import asyncio
import ctypes
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import numpy as np

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
DOES = {**RAISES, **ENDS, **HANGS}


def row(does: str) -> list[float]:
    """What makes a Wicked model do that; [0, 0] is harmless."""
    return [float(list(DOES).index(does) + 1), 0.0]


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


class Held(Stub):
    """Waits while the file `closed` exists: in the first call of a process, and for rows whose first feature is above 0."""

    calls = 0

    def __init__(self, closed: str = "") -> None:
        self.closed = closed

    def predict(self, X: Any) -> Any:
        Held.calls += 1
        while (Held.calls == 1 or X[0, 0] > 0) and Path(self.closed).exists():
            time.sleep(0.01)
        return super().predict(X)


class StuckInAWorker(Stub):
    """Loads well, and never answers: as OpenMP does after a fork in the wrong moment."""

    def predict(self, X: Any) -> Any:
        time.sleep(600)
        return super().predict(X)


class Echo(Stub):
    """Answers the first feature, at once."""

    def fit(self, *_: Any) -> Self:
        self.n_features_in_ = 2
        return self

    def predict(self, X: Any) -> Any:
        return X[:, 0].copy()

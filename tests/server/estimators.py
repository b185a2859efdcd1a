"""Estimators that are slow, stuck or held, importable by the server that unpickles them."""

import time
from pathlib import Path
from typing import Any, Self

from tests.estimators import Stub


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

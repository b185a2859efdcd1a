"""Estimators that are slow or stuck, importable by the server that unpickles them."""

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

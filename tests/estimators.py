"""Estimators that misbehave on purpose: importable by name, so that a server process can unpickle them."""

import os
import threading
import time
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin


class Stub(ClassifierMixin, BaseEstimator):
    """Answers 0 for every row of two features."""

    def fit(self, *_: Any) -> Self:
        self.n_features_in_ = 2
        self.classes_ = np.array([0, 1])
        return self

    def predict(self, X: Any) -> Any:
        return np.zeros(len(X), dtype=int)


class Slow(Stub):
    """Takes `seconds` for a call, and the first feature in seconds on top, so that a test can choose."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds

    def predict(self, X: Any) -> Any:
        time.sleep(self.seconds + max(0.0, float(np.max(X[:, 0]))))
        return super().predict(X)


class Gated(Stub):
    """Counts its calls and waits in each until the test opens the gate; one gate and one count per process."""

    gate = threading.Event()
    calls = 0
    rows = 0

    def predict(self, X: Any) -> Any:
        Gated.calls += 1
        Gated.rows += len(X)
        if not Gated.gate.wait(20):
            raise RuntimeError("nobody opened the gate")
        return super().predict(X)

    @classmethod
    def close(cls) -> None:
        cls.gate, cls.calls, cls.rows = threading.Event(), 0, 0


class Raising(Stub):
    """Raises on rows whose first feature is above 0; its message must never leave the server."""

    def predict(self, X: Any) -> Any:
        if np.max(X[:, 0]) > 0:
            raise RuntimeError("secret cause")
        return super().predict(X)


class Dying(Stub):
    """Ends its process on rows whose first feature is above 0, as a crash in native code would."""

    def predict(self, X: Any) -> Any:
        if np.max(X[:, 0]) > 0:
            os._exit(9)
        return super().predict(X)

"""Estimators that misbehave on purpose: importable by name, so that a server process can unpickle them."""

import gc
import os
import threading
import time
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin


def codes(frame: Any) -> Any:
    """For a FunctionTransformer: what code of the user's own makes of categories."""
    return frame.apply(lambda column: column.cat.codes)


def months(frame: Any) -> Any:
    """The same of dates."""
    return frame.apply(lambda column: column.dt.month)


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


class Held(Stub):
    """Answers the first feature, notes the rows of each call, and waits in each until the test opens the gate.

    A row whose second feature is above 0 fails the call: with RuntimeError, and above 1 as no exception of Python's
    should.
    """

    gate = threading.Event()
    calls: ClassVar[list[list[float]]] = []

    def fit(self, *_: Any) -> Self:
        self.n_features_in_ = 2
        return self

    def predict(self, X: Any) -> Any:
        Held.calls.append(X[:, 0].tolist())
        if not Held.gate.wait(20):
            raise RuntimeError("nobody opened the gate")
        worst = np.max(X[:, 1])
        if worst > 0:
            raise {1: RuntimeError, 2: StopIteration, 3: SystemExit}[int(worst)]
        return X[:, 0].copy()

    @classmethod
    def close(cls) -> None:
        cls.gate = threading.Event()
        cls.calls = []


class Spelled(BaseEstimator):
    """Answers each row as text, with the types that it came in: what must not change by the rows beside it."""

    def __init__(self, columns: tuple[str, ...] = ()) -> None:
        self.columns = columns

    def fit(self, *_: Any) -> Self:
        self.feature_names_in_ = np.array(self.columns, dtype=object)
        self.n_features_in_ = len(self.columns)
        return self

    def predict(self, X: Any) -> Any:
        time.sleep(0.001)  # so that others come meanwhile
        types = [str(dtype) for dtype in X.dtypes]
        return np.array(
            [
                " ".join(f"{kind}:{value!r}" for kind, value in zip(types, row, strict=True))
                for row in X.itertuples(index=False)
            ]
        )


class Ranked(Stub):
    """Answers a row's rank among those beside it: nothing that may be asked for several callers at once."""

    def predict(self, X: Any) -> Any:
        time.sleep(0.002)
        return np.arange(len(X))


class Laborious(Stub):
    """Takes as long for many rows as for each of them alone, by a clock of its own."""

    clock = 0.0

    def predict(self, X: Any) -> Any:
        Laborious.clock += 0.01 * len(X)
        return super().predict(X)


class Dear(Stub):
    """Takes 10 ms for a call, however many rows it has, and answers the first feature."""

    def fit(self, *_: Any) -> Self:
        self.n_features_in_ = 2
        return self

    def predict(self, X: Any) -> Any:
        time.sleep(0.01)
        return X[:, 0].copy()


class Noting(Stub):
    """Notes what it was asked in each call, and how many objects the garbage collector passed over at that time."""

    calls: ClassVar[list[tuple[Any, int]]] = []

    def predict(self, X: Any) -> Any:
        Noting.calls.append((X, gc.get_freeze_count()))
        return super().predict(X)


class Wide(ClassifierMixin, BaseEstimator):
    """Answers 0 for every row, of whatever number of features."""

    def fit(self, *_: Any) -> Self:
        self.classes_ = np.array([0, 1])
        return self

    def predict(self, X: Any) -> Any:
        return np.zeros(len(X), dtype=int)

"""Estimators with code of the user's own: it may decide otherwise than by probabilities, and may write into the rows
that it is given.
"""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import RandomForestClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from slipway.model.estimator import Model
from slipway.model.signature import Signature

FRAME = pd.DataFrame(np.random.default_rng(0).normal(size=(300, 3)), columns=["a", "b", "c"])
TRUE = (FRAME["a"] + FRAME["b"] > 0).astype(int)


class ThresholdPipeline(Pipeline):
    def predict(self, X: Any) -> Any:
        return (self.predict_proba(X)[:, 1] > 0.2).astype(int)


class OwnSearch(ClassifierMixin, BaseEstimator):
    def fit(self, X: Any, y: Any) -> "OwnSearch":
        self.best_estimator_ = LogisticRegression().fit(X, y)
        self.classes_ = self.best_estimator_.classes_
        return self

    def predict_proba(self, X: Any) -> Any:
        return self.best_estimator_.predict_proba(X)

    def predict(self, X: Any) -> Any:
        return (self.predict_proba(X)[:, 1] > 0.2).astype(int)


def with_threshold() -> Pipeline:
    return ThresholdPipeline([("scale", StandardScaler()), ("model", LogisticRegression())])


@pytest.mark.parametrize(
    "estimator",
    [
        with_threshold(),
        OwnSearch(),
        make_pipeline(StandardScaler(), with_threshold()),
        GridSearchCV(with_threshold(), {}, cv=2),
    ],
    ids=["a pipeline's subclass", "a search of one's own", "inside a pipeline", "inside a search"],
)
def test_a_predict_of_ones_own_is_asked(estimator: Any) -> None:
    estimator.fit(FRAME, TRUE)
    assert estimator.predict(FRAME).tolist() != estimator.predict_proba(FRAME).argmax(axis=1).tolist()
    assert Model(estimator, Signature.of(estimator)).infer(FRAME).predictions == estimator.predict(FRAME).tolist()


def test_one_call_is_enough_at_every_level_of_scikit_learns_own(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> Any:
        raise AssertionError("predict was called")

    fitted = LogisticRegression().fit(FRAME, TRUE)
    search = GridSearchCV(make_pipeline(StandardScaler(), RandomForestClassifier(3)), {}, cv=2).fit(FRAME, TRUE)
    for estimator in (search, CalibratedClassifierCV(FrozenEstimator(fitted)).fit(FRAME, TRUE)):
        model = Model(estimator, Signature.of(estimator))
        with monkeypatch.context() as patched:
            patched.setattr(type(estimator), "predict", refuse)
            assert len(model.infer(FRAME[10:20])) == 10


def changed(frame: pd.DataFrame) -> pd.DataFrame:
    frame["a"] = np.log1p(frame["a"].abs())
    return frame


def changed_array(array: Any) -> Any:
    array *= 0.5
    return array


@pytest.mark.parametrize(
    "step", [FunctionTransformer(changed), FunctionTransformer(changed_array), StandardScaler(copy=False)]
)
@pytest.mark.parametrize("kind", ["frame", "array"])
def test_each_call_is_given_rows_that_no_other_has_changed(step: Any, kind: str) -> None:
    if kind == "array" and getattr(step, "func", None) is changed:
        pytest.skip("arrays have no columns by name")
    given = FRAME if kind == "frame" else FRAME.to_numpy()
    estimator = make_pipeline(step, with_threshold()).fit(given.copy(), TRUE)
    model, rows = Model(estimator, Signature.of(estimator)), given[:20].copy()
    for _ in range(2):  # as probes ask again and again
        answers = model.infer(rows)
        assert answers.predictions == estimator.predict(given[:20].copy()).tolist()
        np.testing.assert_array_equal(answers.probabilities, estimator.predict_proba(given[:20].copy()))
    np.testing.assert_array_equal(rows, given[:20])


def test_rows_of_estimators_that_leave_them_alone_are_not_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    estimator = make_pipeline(StandardScaler(), LogisticRegression()).fit(FRAME, TRUE)
    model = Model(estimator, Signature.of(estimator))
    monkeypatch.setattr(pd.DataFrame, "copy", lambda *_: pytest.fail("the rows were copied"))
    monkeypatch.setattr(estimator, "predict_proba", lambda rows: np.full((len(rows), 2), [0.1, 0.9]))
    assert len(model.infer(FRAME)) == len(FRAME)

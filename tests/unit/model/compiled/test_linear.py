"""A linear model in plain floats, and the same with numpy."""

import json
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from slipway.errors import RefusedByModel
from slipway.model.compiled import linear as linear_core
from slipway.model.compiled.encoding import Unusable
from slipway.model.compiled.linear import LinearCore
from slipway.model.compiled.model import read
from slipway.packing.compiling.columns import apply, raw
from slipway.packing.compiling.linear import compile_linear
from tests.support.signed import fitted, signed
from tests.support.zoo import iris


def core(**changed: Any) -> LinearCore:
    parts = {
        "decision": {},
        "columns": 3,
        "bias": [0.5],
        "numbers": [
            {"column": 0, "weights": [2.0], "fill": None, "limit": 1e300},
            {"column": 2, "weights": [-1.0], "fill": 4.0, "limit": 1e300},
        ],
        "tables": [{"column": 1, "entries": [["a", [10.0]], [None, [20.0]]], "unknown": None}],
    }
    return LinearCore(json.dumps(parts | changed).encode(), nullable=True)


def test_scores_are_the_weighted_sum() -> None:
    rows = [[1.0, "a", 2.0], [3.0, None, None]]
    assert core().many(rows).tolist() == [[0.5 + 2 + 10 - 2], [0.5 + 6 + 20 - 4]]
    assert [core().one(row) for row in rows] == [[10.5], [22.5]]


def test_an_unknown_category_is_refused_or_has_its_entry() -> None:
    for call in (lambda made: made.one([1.0, "b", 2.0]), lambda made: made.many([[1.0, "a", 2.0], [1.0, "b", 2.0]])):
        with pytest.raises(Unusable):
            call(core())
    lenient = core(tables=[{"column": 1, "entries": [], "unknown": [100.0]}])
    assert lenient.one([1.0, "b", 2.0]) == [100.5]
    assert lenient.many([[1.0, "b", 2.0]]).tolist() == [[100.5]]


def test_a_number_that_overflows_the_estimators_scaler_is_refused() -> None:
    X, y = iris()
    X = X * 1e-3  # a scale below 1: dividing by it makes an infinity of 1e308
    model, rows = signed(fitted(make_pipeline(StandardScaler(), LogisticRegression()), X, y), X)
    columns = model.signature.columns or ()
    candidate = compile_linear(
        model.estimator[-1], apply(model.estimator[0], raw(len(columns))), 4, model.signature.classes
    )
    form = read(candidate.form, candidate.content, model.signature)
    huge = [1e308, *rows[0][1:]]
    with pytest.raises(RefusedByModel, match="x0"):
        model.infer(np.array([huge]))
    with pytest.raises(RefusedByModel, match="x0"):
        form.infer_row(huge)
    with pytest.raises(RefusedByModel, match="x0"):
        form.infer([rows[0], huge])
    assert form.infer_row([1e290, *rows[0][1:]])[0] == model.infer(np.array([[1e290, *rows[0][1:]]])).predictions[0]


def test_plain_floats_and_numpy_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    X = np.random.default_rng(0).normal(size=(50, 60))
    model, rows = signed(fitted(LinearRegression(), X, X[:, :4] * 3), X)
    candidate = compile_linear(model.estimator, raw(len(model.signature.columns or ())), 60, None)
    wide = read(candidate.form, candidate.content, model.signature)
    monkeypatch.setattr(linear_core, "PLAIN_PRODUCTS", 1000)
    plain = read(candidate.form, candidate.content, model.signature)
    for row in rows:
        assert wide.infer_row(row)[0] == pytest.approx(plain.infer_row(row)[0], rel=1e-12)
        assert plain.infer_row(row)[1] == [None] * 4


def test_where_scores_tie_the_class_is_that_of_the_estimator() -> None:
    """On the boundary of a symmetric model the order of the additions decides."""
    sides = np.vstack([np.eye(6), -np.eye(6)] * 5)
    estimator = LogisticRegression().fit(sides, np.tile(np.repeat([1, 0], 6), 5))
    model, _ = signed(estimator, sides)
    candidate = compile_linear(estimator, raw(len(model.signature.columns or ())), 6, model.signature.classes)
    form = read(candidate.form, candidate.content, model.signature)
    tenths = np.random.default_rng(1).integers(-33, 34, size=(500, 6)) / 10
    tenths[:, 5] = -tenths[:, :5].sum(axis=1)
    expected = [estimator.predict(row.reshape(1, -1))[0] for row in tenths]
    assert [form.infer_row(row.tolist())[0] for row in tenths] == expected

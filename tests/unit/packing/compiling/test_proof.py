"""A form that is wrong in one small thing is found out."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from threadpoolctl import threadpool_limits

from slipway.model.compiled.encoding import Feature, Number, Table
from slipway.model.compiled.model import read
from slipway.model.estimator import Model
from slipway.packing.compiling.candidate import Candidate
from slipway.packing.compiling.columns import raw
from slipway.packing.compiling.ensemble import Ensemble, Tree
from slipway.packing.compiling.forests import READERS
from slipway.packing.compiling.graph import compile_ensemble
from slipway.packing.compiling.linear import compile_linear
from slipway.packing.compiling.proof import NotProven, prove
from tests.support.signed import Rows, fitted, signed
from tests.support.zoo import iris, two_classes, with_missing


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with threadpool_limits(1):  # as compiling does
        yield


def prove_candidate(candidate: Candidate, model: Model, rows: Rows) -> Any:
    return prove(model, read(candidate.form, candidate.content, model.signature), rows, candidate.thresholds)


def forest() -> tuple[Model, Rows, Ensemble]:
    X, y = iris()
    model, rows = signed(fitted(RandomForestClassifier(10, random_state=0), X, y), X)
    return model, rows, READERS[RandomForestClassifier](model.estimator)


def with_trees(ensemble: Ensemble, change: Callable[[Tree], Tree]) -> Ensemble:
    return replace(ensemble, trees=[change(tree) for tree in ensemble.trees])


def graph(ensemble: Ensemble, model: Model) -> Candidate:
    columns = model.signature.columns or ()
    return compile_ensemble(ensemble, raw(len(columns)), columns)


def test_what_is_right_is_proven() -> None:
    model, rows, ensemble = forest()
    proof = prove_candidate(graph(ensemble, model), model, rows)
    assert proof.bound == 1e-12
    assert proof.rows > len(rows)


def test_trees_that_compare_in_float64_what_the_estimator_compares_in_float32_are_found_out() -> None:
    model, rows, ensemble = forest()
    candidate = graph(ensemble, model)
    wrong = replace(graph(replace(ensemble, single=False), model), thresholds=candidate.thresholds)
    with pytest.raises(NotProven):
        prove_candidate(wrong, model, rows)


@pytest.mark.parametrize("towards", [np.inf, -np.inf])
def test_thresholds_that_are_one_float32_off_are_found_out(towards: float) -> None:
    model, rows, ensemble = forest()

    def moved(tree: Tree) -> Tree:
        return replace(
            tree, threshold=np.nextafter(tree.threshold.astype(np.float32), np.float32(towards)).astype(np.float64)
        )

    candidate = graph(ensemble, model)
    with pytest.raises(NotProven):
        prove_candidate(
            replace(graph(with_trees(ensemble, moved), model), thresholds=candidate.thresholds), model, rows
        )


def test_one_threshold_of_many_that_is_one_float64_off_is_found_out() -> None:
    X, y = with_missing()
    model, rows = signed(fitted(HistGradientBoostingClassifier(max_iter=5), X, y), X)
    ensemble = READERS[HistGradientBoostingClassifier](model.estimator)
    candidate = graph(ensemble, model)
    tree = ensemble.trees[1]
    threshold = tree.threshold.copy()
    threshold[0] = np.nextafter(threshold[0], -np.inf)
    wrong = replace(ensemble, trees=[ensemble.trees[0], replace(tree, threshold=threshold), *ensemble.trees[2:]])
    with pytest.raises(NotProven):
        prove_candidate(replace(graph(wrong, model), thresholds=candidate.thresholds), model, rows)


def test_missing_values_that_take_the_other_branch_are_found_out() -> None:
    X, y = with_missing()
    model, rows = signed(fitted(HistGradientBoostingClassifier(max_iter=5), X, y), X)
    ensemble = READERS[HistGradientBoostingClassifier](model.estimator)
    wrong = with_trees(ensemble, lambda tree: replace(tree, missing_left=~tree.missing_left))
    with pytest.raises(NotProven, match="None"):
        prove_candidate(graph(wrong, model), model, rows)


def test_a_tie_that_goes_to_the_other_class_is_found_out() -> None:
    X, y = two_classes()
    model, rows = signed(fitted(GradientBoostingClassifier(n_estimators=1, init="zero", learning_rate=0.0), X, y), X)
    ensemble = READERS[GradientBoostingClassifier](model.estimator)
    prove_candidate(graph(ensemble, model), model, rows)
    with pytest.raises(NotProven):
        prove_candidate(graph(replace(ensemble, decision=replace(ensemble.decision, at_zero=0)), model), model, rows)


def test_a_number_beyond_float32_that_is_answered_instead_of_refused_is_found_out() -> None:
    model, rows, ensemble = forest()
    with pytest.raises(NotProven, match="refused"):
        prove_candidate(graph(replace(ensemble, finite=False), model), model, rows)


def test_a_weight_that_is_slightly_wrong_is_found_out() -> None:
    X, y = iris()
    model, rows = signed(fitted(LogisticRegression(), X, y), X)
    columns = model.signature.columns or ()
    features: list[Feature] = [Number(0, (("*", 1 + 1e-4),)), *map(Number, range(1, 4))]
    prove_candidate(compile_linear(model.estimator, raw(len(columns)), 4, model.signature.classes), model, rows)
    with pytest.raises(NotProven):
        prove_candidate(compile_linear(model.estimator, features, 4, model.signature.classes), model, rows)


@pytest.mark.parametrize("handle_unknown", ["ignore", "error"])
def test_an_unknown_category_that_is_treated_otherwise_is_found_out(handle_unknown: str) -> None:
    frame = pd.DataFrame({"size": ["S", "M", "L"] * 10})
    encoder = make_column_transformer((OneHotEncoder(handle_unknown=handle_unknown), ["size"]))
    model, rows = signed(fitted(make_pipeline(encoder, LogisticRegression()), frame, [0, 1, 1] * 10), frame)
    entries = {"L": (1.0, 0.0, 0.0), "M": (0.0, 1.0, 0.0), "S": (0.0, 0.0, 1.0)}
    right, wrong = ((0.0, 0.0, 0.0), None) if handle_unknown == "ignore" else (None, (0.0, 0.0, 0.0))
    leaf = model.estimator[-1]
    prove_candidate(compile_linear(leaf, [Table(0, entries, right)], 1, model.signature.classes), model, rows)
    with pytest.raises(NotProven):
        prove_candidate(compile_linear(leaf, [Table(0, entries, wrong)], 1, model.signature.classes), model, rows)

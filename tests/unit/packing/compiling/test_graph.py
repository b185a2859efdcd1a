"""Thresholds move to the other side of what is done to a column, to the very float64 where the answer changes."""

import math
from dataclasses import replace

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingRegressor

from slipway.model.compiled.decision import Decision
from slipway.model.compiled.encoding import Feature, Number, Table
from slipway.model.compiled.onnx_graph import OnnxCore
from slipway.model.signature import Column
from slipway.packing.compiling.candidate import CannotCompile
from slipway.packing.compiling.ensemble import Ensemble, Tree, constant
from slipway.packing.compiling.forests import READERS
from slipway.packing.compiling.graph import _most_compared, compile_ensemble

ABOVE, BELOW = np.inf, -np.inf


def stump(threshold: float, missing_left: bool = False) -> Tree:
    """1 where its only feature is at most the threshold, else 2."""
    arrays = {"feature": [0, 0, 0], "threshold": [threshold, 0.0, 0.0], "left": [1, -1, -1], "right": [2, -1, -1]}
    made = {name: np.array(values) for name, values in arrays.items()}
    return Tree(**made, missing_left=np.array([missing_left] * 3), value=np.array([[0.0], [1.0], [2.0]]), targets=[0])


def graph(tree: Tree, feature: Feature, *, single: bool, finite: bool = False) -> OnnxCore:
    ensemble = Ensemble([tree], 1, Decision("value"), single=single, finite=finite)
    return OnnxCore(compile_ensemble(ensemble, [feature], [Column(name="x", nullable=True)]).content, nullable=True)


@pytest.mark.parametrize("threshold", [0.1, -0.1, 0.3, 1e-40, 16777217.0, 1 / 3, 0.0, 5.45])
@pytest.mark.parametrize("single", [True, False])
@pytest.mark.parametrize("steps", [(), (("-", 5.8), ("/", 0.83)), (("*", 0.2), ("+", -1.0)), (("/", 3e5),)])
def test_a_split_is_where_the_estimator_has_it(
    threshold: float, single: bool, steps: tuple[tuple[str, float], ...]
) -> None:
    feature = Number(0, steps)  # type: ignore[arg-type]
    core = graph(stump(threshold), feature, single=single)

    def expected(x: float) -> float:
        seen = feature.one(x)
        return 1.0 if (float(np.float32(seen)) if single else seen) <= threshold else 2.0

    low, high = -1e9, 1e9
    while low < (middle := (low + high) / 2) < high:  # to two neighbours between which the estimator changes its mind
        low, high = (middle, high) if expected(middle) == 1.0 else (low, middle)
    asked = [low, high, float(np.nextafter(low, BELOW)), float(np.nextafter(high, ABOVE)), -1e30, 1e30]
    asked += [float(np.float32(low)), float(np.float32(high)), threshold, 0.0, -0.0]
    assert [core.one([x]) for x in asked] == [[expected(x)] for x in asked]
    assert core.many([[x] for x in asked]).ravel().tolist() == [expected(x) for x in asked]


@pytest.mark.parametrize("missing_left", [True, False])
def test_a_missing_value_takes_the_branch_of_the_tree_or_of_what_was_put_in_its_place(missing_left: bool) -> None:
    tree = stump(0.5, missing_left)
    assert graph(tree, Number(0), single=False).one([None]) == [1.0 if missing_left else 2.0]
    assert graph(tree, Number(0, missing=0.4), single=True).one([None]) == [1.0]
    assert graph(tree, Number(0, (("-", 10.0),), missing=0.6), single=True).many(np.array([[math.nan]])).tolist() == [
        [2.0]
    ]


def test_a_split_of_categories_that_only_what_is_missing_passes_to_the_left() -> None:
    """Its set of members is empty, which ONNX Runtime does not load."""
    values = np.array([[0.0], [1.0], [2.0], [math.nan]] * 30)
    estimator = HistGradientBoostingRegressor(max_iter=3, categorical_features=[0]).fit(values, np.isnan(values[:, 0]))
    ensemble = READERS[HistGradientBoostingRegressor](estimator)
    first = estimator._predictors[0][0]
    assert first.nodes[0]["is_categorical"]
    assert not first.raw_left_cat_bitsets[first.nodes[0]["bitset_idx"]].any()
    core = OnnxCore(compile_ensemble(ensemble, [Number(0)], [Column(name="x", nullable=True)]).content, nullable=True)
    np.testing.assert_allclose(core.many(values[:4]).ravel(), estimator.predict(values[:4]), rtol=1e-12)


def test_a_category_goes_left_where_it_is_a_member() -> None:
    colours = Table(0, {"red": (0.0,), "green": (1.0,), "blue": (70.0,)}, unknown=(math.nan,))
    tree = stump(0.0, missing_left=True)
    tree = Tree(
        tree.feature, tree.threshold, tree.left, tree.right, tree.missing_left, tree.value, [0], {0: [0.0, 70.0]}
    )
    ensemble = Ensemble([tree, constant([0.5], [0])], 1, Decision("value"), single=False)
    core = OnnxCore(compile_ensemble(ensemble, [colours], [Column(name="x", type="string")]).content, nullable=False)
    assert [core.one([colour]) for colour in ("red", "green", "blue", "pink")] == [[1.5], [2.5], [1.5], [1.5]]


def test_a_scale_that_turns_the_order_around_is_not_compiled() -> None:
    with pytest.raises(CannotCompile, match="negative scale"):
        graph(stump(0.5), Number(0, (("/", -1.0),)), single=False)


def test_trees_that_want_more_features_than_there_are_are_not_compiled() -> None:
    tree = stump(0.5)
    wide = Tree(np.array([3, 0, 0]), tree.threshold, tree.left, tree.right, tree.missing_left, tree.value, [0])
    with pytest.raises(CannotCompile, match="compare 4 numbers"):
        graph(wide, Number(0), single=False)


def test_what_nothing_is_below_is_a_threshold_too() -> None:
    core = graph(stump(-math.inf, missing_left=True), Number(0), single=False)
    assert [core.one([value]) for value in (-1e308, None)] == [[2.0], [1.0]]


def forest(*features: int) -> Ensemble:
    """Stumps, each at half of one of three features."""
    return Ensemble(
        [replace(stump(0.5), feature=np.array([feature, 0, 0])) for feature in features],
        1,
        Decision("value"),
        single=False,
        finite=False,
    )


def test_many_rows_are_answered_in_their_turn_missing_values_included() -> None:
    columns = [Column(name=name, nullable=True) for name in "abc"]
    core = OnnxCore(compile_ensemble(forest(0, 1, 1, 2), [Number(i) for i in range(3)], columns).content, nullable=True)
    assert core._order == 1
    rows = np.random.default_rng(0).random((100, 3))
    rows[3, 1] = rows[50, 0] = math.nan
    one_by_one = [core.one([None if math.isnan(value) else value for value in row]) for row in rows.tolist()]
    assert core.many(rows).tolist() == one_by_one


def test_what_is_compared_near_the_roots_weighs_more_than_what_many_nodes_compare_below() -> None:
    arrays = {
        "feature": [0, 1, 1, 1, 0, 0, 0, 0, 0],
        "left": [1, 3, 5, 7, -1, -1, -1, -1, -1],
        "right": [2, 4, 6, 8, -1, -1, -1, -1, -1],
    }
    tree = replace(stump(0.5), **{name: np.array(values) for name, values in arrays.items()})
    assert _most_compared([tree]) == 1
    assert _most_compared([tree, stump(0.5)]) == 0
    assert _most_compared([constant([1.0], [0])]) is None

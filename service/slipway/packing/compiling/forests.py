"""scikit-learn's tree models as ensembles that sum the same terms in the same order: the scores are the estimator's,
bit for bit.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from sklearn import ensemble, tree
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble._iforest import IsolationForest, _average_path_length
from sklearn.pipeline import Pipeline

from ...model.compiled.decision import Decision, Kind
from .candidate import CannotCompile
from .ensemble import Array, Ensemble, Tree, constant


def _forest(estimator: Any) -> Ensemble:
    parts = getattr(estimator, "estimators_", [estimator])
    # A BaggingClassifier may give each its own features.
    places = getattr(estimator, "estimators_features_", [None] * len(parts))
    if any(isinstance(part, Pipeline) or not isinstance(part, tree.BaseDecisionTree) for part in parts):
        raise CannotCompile(f"{type(estimator).__name__} is compiled with decision trees inside only")
    is_classifier = hasattr(estimator, "classes_")
    count = len(estimator.classes_) if is_classifier else parts[0].n_outputs_
    trees = []
    for part, columns in zip(parts, places, strict=True):
        if is_classifier and (part.n_outputs_ > 1 or len(part.classes_) != count):
            raise CannotCompile(
                f"{type(estimator).__name__} has several outputs, or a tree that does not know every class: not "
                "compiled"
            )
        value = part.tree_.value[:, 0, :] if is_classifier else part.tree_.value[:, :, 0]
        trees.append(_tree(part.tree_, value, range(count), columns))
    kind: Kind = "shares" if is_classifier else "value"
    if is_classifier and count > 1 and all(np.isin(part.value[part.left < 0], (0.0, 1.0)).all() for part in trees):
        # Every tree votes for one class. Votes are whole numbers, so that those for the first class are what is left,
        # exactly.
        kind, count = "votes", count - 1
        trees = [replace(part, value=part.value[:, 1:], targets=range(count)) for part in trees]
    return Ensemble(trees, count, Decision(kind, divisor=float(len(parts))), single=True)


def _gradient_boosting(estimator: Any) -> Ensemble:
    if not (estimator.init_ == "zero" or isinstance(estimator.init_, DummyClassifier | DummyRegressor)):
        raise CannotCompile(f"{type(estimator).__name__} with an estimator as init is not compiled")
    start = estimator._raw_predict_init(np.zeros((1, estimator.n_features_in_)))[0]
    outputs = len(start)
    kind: Kind = "value"
    if hasattr(estimator, "classes_"):
        if estimator.loss != "log_loss":
            raise CannotCompile(f"GradientBoostingClassifier with the loss {estimator.loss} is not compiled")
        kind = "sigmoid" if outputs == 1 else "softmax"
    trees = [constant(start.tolist(), range(outputs))]
    for stage in estimator.estimators_:
        for k, part in enumerate(stage):
            trees.append(_tree(part.tree_, estimator.learning_rate * part.tree_.value[:, :, 0], [k]))
    return Ensemble(trees, outputs, Decision(kind, at_zero=1), single=True)


def _hist_gradient_boosting(estimator: Any) -> Ensemble:
    start = np.ravel(estimator._baseline_prediction)
    outputs = len(start)
    if hasattr(estimator, "classes_"):
        kind: Kind = "sigmoid" if outputs == 1 else "softmax"
    else:
        link = type(estimator._loss.link).__name__
        if link not in ("IdentityLink", "LogLink"):
            raise CannotCompile(f"The {link} of {type(estimator).__name__} is not compiled")
        kind = "value" if link == "IdentityLink" else "exponential"
    trees = [constant(start.tolist(), range(outputs))]
    for stage in estimator._predictors:
        for k, predictor in enumerate(stage):
            nodes = predictor.nodes
            leaf = nodes["is_leaf"].astype(bool)
            categorical = np.flatnonzero(nodes["is_categorical"].astype(bool) & ~leaf)
            members = {
                int(node): _members(predictor.raw_left_cat_bitsets[nodes["bitset_idx"][node]]) for node in categorical
            }
            threshold = nodes["num_threshold"].astype(np.float64)
            # Only what is missing goes left, if that does.
            threshold[[node for node, found in members.items() if not found]] = -np.inf
            trees.append(
                Tree(
                    feature=nodes["feature_idx"].astype(int),
                    threshold=threshold,
                    left=np.where(leaf, -1, nodes["left"].astype(int)),
                    right=np.where(leaf, -1, nodes["right"].astype(int)),
                    missing_left=nodes["missing_go_to_left"].astype(bool),
                    value=nodes["value"].astype(np.float64)[:, None],
                    targets=[k],
                    members={node: found for node, found in members.items() if found},
                )
            )
    return Ensemble(trees, outputs, Decision(kind), single=False)


def _isolation_forest(estimator: Any) -> Ensemble:
    """An outlier is isolated in few steps: the score is the sum of the steps, less the least sum that an inlier has."""
    trees = []
    for i, (part, columns) in enumerate(zip(estimator.estimators_, estimator.estimators_features_, strict=True)):
        steps = estimator._decision_path_lengths[i] + estimator._average_path_length_per_tree[i] - 1.0
        trees.append(_tree(part.tree_, np.asarray(steps, dtype=np.float64)[:, None], [0], columns))
    most = sum(float(part.value.max()) for part in trees) + 1.0
    scale = len(trees) * float(_average_path_length([estimator._max_samples])[0])
    # The scikit-learn formula, which grows with the steps, is 0 or more from somewhere between on.
    low, high = 0.0, most
    while low < (middle := (low + high) / 2.0) < high:
        if -(2.0 ** (-middle / scale)) - estimator.offset_ < 0.0:
            low = middle
        else:
            high = middle
    return Ensemble([*trees, constant([-high], [0])], 1, Decision("sign", at_zero=1), single=True, finite=False)


def _tree(found: Any, value: Array, targets: Sequence[int], columns: Any = None) -> Tree:
    """`columns`: which features the tree was given, None for all of them."""
    feature = np.maximum(found.feature, 0)
    return Tree(
        feature=feature if columns is None else np.asarray(columns)[feature],
        threshold=found.threshold.astype(np.float64),
        left=found.children_left,
        right=found.children_right,
        missing_left=found.missing_go_to_left.astype(bool),
        value=value.astype(np.float64),
        targets=targets,
    )


def _members(bitset: Array) -> list[float]:
    """The categories whose bits are set in eight words of 32 bits."""
    return [float(32 * word + bit) for word in range(len(bitset)) for bit in range(32) if int(bitset[word]) >> bit & 1]


READERS: dict[type, Callable[[Any], Ensemble]] = {
    ensemble.BaggingClassifier: _forest,
    ensemble.BaggingRegressor: _forest,
    ensemble.ExtraTreesClassifier: _forest,
    ensemble.ExtraTreesRegressor: _forest,
    ensemble.GradientBoostingClassifier: _gradient_boosting,
    ensemble.GradientBoostingRegressor: _gradient_boosting,
    ensemble.HistGradientBoostingClassifier: _hist_gradient_boosting,
    ensemble.HistGradientBoostingRegressor: _hist_gradient_boosting,
    IsolationForest: _isolation_forest,
    ensemble.RandomForestClassifier: _forest,
    ensemble.RandomForestRegressor: _forest,
    tree.DecisionTreeClassifier: _forest,
    tree.DecisionTreeRegressor: _forest,
    tree.ExtraTreeClassifier: _forest,
    tree.ExtraTreeRegressor: _forest,
}

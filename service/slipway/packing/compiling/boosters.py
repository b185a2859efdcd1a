"""XGBoost's and LightGBM's trees, read from their own JSON, as ensembles."""

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ...model.compiled.decision import Decision, Kind
from .candidate import CannotCompile
from .ensemble import Ensemble, Tree, constant

_XGBOOST_OBJECTIVES: dict[str, Kind] = {
    "binary:logistic": "sigmoid",
    "count:poisson": "exponential",
    "multi:softprob": "softmax",
    "reg:absoluteerror": "value",
    "reg:gamma": "exponential",
    "reg:pseudohubererror": "value",
    "reg:squarederror": "value",
    "reg:tweedie": "exponential",
}
_LIGHTGBM_OBJECTIVES: dict[str, Kind] = {
    "binary": "sigmoid",
    "gamma": "exponential",
    "huber": "value",
    "multiclass": "softmax",
    "poisson": "exponential",
    "quantile": "value",
    "regression": "value",
    "regression_l1": "value",
    "tweedie": "exponential",
}
ZERO = float(np.float32(1e-35))  # LightGBM takes numbers that are not larger, of either sign, for 0


def _xgboost(estimator: Any) -> Ensemble:
    learner = json.loads(estimator.get_booster().save_raw("json"))["learner"]
    booster, parameters = learner["gradient_booster"], learner["learner_model_param"]
    objective = learner["objective"]["name"]
    kind = _XGBOOST_OBJECTIVES.get(objective)
    if kind is None or booster["name"] != "gbtree" or int(parameters["num_target"]) > 1:
        raise CannotCompile(
            f"XGBoost's {booster['name']} for {objective} with {parameters['num_target']} outputs is not compiled"
        )
    start = np.ravel(json.loads(parameters["base_score"])).astype(np.float64)
    if kind == "sigmoid":
        start = np.log(start / (1.0 - start))
    elif kind == "exponential":
        start = np.log(start)
    outputs = max(1, int(parameters["num_class"]))
    found, groups = booster["model"]["trees"], booster["model"]["tree_info"]
    if "best_iteration" in learner["attributes"]:  # early stopping: later trees do not answer
        found = found[: booster["model"]["iteration_indptr"][int(learner["attributes"]["best_iteration"]) + 1]]
    trees = [constant(np.broadcast_to(start, outputs).tolist(), range(outputs))]
    for part, group in zip(found, groups, strict=False):
        if any(part["split_type"]) or int(part["tree_param"]["size_leaf_vector"]) > 1:
            raise CannotCompile("XGBoost's splits by category, and its trees of several outputs, are not compiled")
        conditions = np.array(part["split_conditions"], dtype=np.float32)
        left = np.array(part["left_children"])
        trees.append(
            Tree(
                feature=np.array(part["split_indices"]),
                threshold=np.nextafter(conditions, np.float32(-np.inf)).astype(np.float64),  # its splits are <, not <=
                left=left,
                right=np.array(part["right_children"]),
                missing_left=np.array(part["default_left"], dtype=bool),
                value=np.where(left < 0, conditions, np.float32(0)).astype(np.float64)[:, None],
                targets=[group],
            )
        )
    return Ensemble(trees, outputs, Decision(kind), single=True, finite=False)


def _lightgbm(estimator: Any) -> Ensemble:
    model = estimator.booster_.dump_model()
    objective, *options = str(model.get("objective", "none")).split()
    kind = _LIGHTGBM_OBJECTIVES.get(objective)
    if kind is None or not set(options) <= {"sigmoid:1", f"num_class:{model['num_class']}"}:
        raise CannotCompile(f"LightGBM's objective {' '.join([objective, *options])} is not compiled")
    if model["pandas_categorical"]:
        raise CannotCompile("LightGBM's splits by category are not compiled")
    outputs = model["num_tree_per_iteration"]
    trees = [_lightgbm_tree(part["tree_structure"], i % outputs) for i, part in enumerate(model["tree_info"])]
    divisor = len(trees) / outputs if model["average_output"] else 1.0
    return Ensemble(trees, outputs, Decision(kind, divisor=divisor), single=False)


def _lightgbm_tree(root: dict[str, Any], target: int) -> Tree:
    """Nested nodes as arrays, in the order that they are met."""
    rows: list[list[Any]] = []  # feature, threshold, left, right, missing_left, value
    waiting: list[tuple[dict[str, Any], int, int]] = [(root, -1, 0)]
    while waiting:
        node, parent, side = waiting.pop()
        if parent >= 0:
            rows[parent][side] = len(rows)
        if "split_index" not in node:
            if "leaf_coeff" in node:
                raise CannotCompile("LightGBM's linear trees are not compiled")
            rows.append([0, 0.0, -1, -1, False, node["leaf_value"]])
            continue
        if node["decision_type"] != "<=":
            raise CannotCompile("LightGBM's splits by category are not compiled")
        zero_left, missing_left = node["threshold"] >= 0.0, node["default_left"]
        if node["missing_type"] == "None":  # a missing value counts as 0
            missing_left = zero_left
        elif node["missing_type"] == "Zero" and (missing_left != zero_left or abs(node["threshold"]) <= ZERO):
            raise CannotCompile("LightGBM's trees that take 0 for a missing value are not compiled")
        waiting += [(node["left_child"], len(rows), 2), (node["right_child"], len(rows), 3)]
        rows.append([node["split_feature"], _beside_zero(node["threshold"]), math.nan, math.nan, missing_left, 0.0])
    feature, threshold, left, right, missing, value = zip(*rows, strict=True)
    return Tree(
        feature=np.array(feature),
        threshold=np.array(threshold, dtype=np.float64),
        left=np.array(left, dtype=np.int64),
        right=np.array(right, dtype=np.int64),
        missing_left=np.array(missing, dtype=bool),
        value=np.array(value, dtype=np.float64)[:, None],
        targets=[target],
    )


def _beside_zero(threshold: float) -> float:
    """What all that LightGBM takes for 0 is on the same side of as 0."""
    if abs(threshold) > ZERO:
        return threshold
    return ZERO if threshold >= 0.0 else math.nextafter(-ZERO, -math.inf)


def reader(estimator: Any) -> Callable[[Any], Ensemble] | None:
    """How to read an estimator's trees, None where it is neither library's."""
    match type(estimator).__module__.partition(".")[0], type(estimator).__name__:
        case "xgboost", "XGBClassifier" | "XGBRegressor" | "XGBRFClassifier" | "XGBRFRegressor":
            return _xgboost
        case "lightgbm", "LGBMClassifier" | "LGBMRegressor":
            return _lightgbm
    return None

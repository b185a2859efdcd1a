"""An ensemble of trees as a graph in float64. What is done to a column before a split compares it is folded into the
threshold, exactly.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from ...model.compiled.encoding import Encoding, Feature, Number, Table
from ...model.compiled.onnx_graph import INPUT, METADATA, OUTPUT
from ...model.signature import Column
from .candidate import Candidate, CannotCompile
from .ensemble import Array, Ensemble, Tree

MOST_NODES = 5_000_000  # of about 60 bytes each, in the file and in memory
LARGEST = float(np.finfo(np.float64).max)
LESS_OR_EQUAL, MEMBER = 0, 6  # modes of a node, as the operator numbers them
OPSETS = (helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 5))
IR_VERSION = 9


class _Seen(NamedTuple):
    """A number that the trees compare: its place among the graph's inputs, and what is done to it first (None:
    nothing).
    """

    place: int
    number: Number | None


def compile_ensemble(ensemble: Ensemble, features: Sequence[Feature], columns: Sequence[Column]) -> Candidate:
    """The graph of an ensemble behind `features` of the signature's columns. Raises CannotCompile."""
    encoding, seen = _inputs(features, columns)
    trees = _folded(ensemble, seen)
    lowest, highest = np.full(encoding.width, -LARGEST), np.full(encoding.width, LARGEST)
    for place, number in seen:
        low, high = _range(_function(number, ensemble.single and ensemble.finite))
        lowest[place], highest[place] = max(lowest[place], low), min(highest[place], high)
    parts = {
        "decision": ensemble.decision.content(),
        "lowest": lowest.tolist(),
        "highest": highest.tolist(),
        "order": _most_compared(trees),
    }
    content = graph([_operator(trees, ensemble.outputs)], [], encoding, ensemble.outputs, parts)
    return Candidate("onnx", content, _thresholds(ensemble, trees, seen))


def graph(
    nodes: Sequence[NodeProto],
    constants: Sequence[Any],
    encoding: Encoding,
    outputs: int,
    parts: dict[str, Any],
    *,
    opsets: Any = OPSETS,
) -> bytes:
    """A model from INPUT (n, the encoding's width) to OUTPUT (n, outputs), both float64, with all the rest in its
    metadata.
    """
    given = helper.make_tensor_value_info(INPUT, TensorProto.DOUBLE, [None, encoding.width])
    found = helper.make_tensor_value_info(OUTPUT, TensorProto.DOUBLE, [None, outputs])
    model: ModelProto = helper.make_model(
        helper.make_graph(nodes, "model", [given], [found], constants),
        opset_imports=list(opsets),
        ir_version=IR_VERSION,
    )
    helper.set_model_props(
        model, {METADATA: json.dumps({"encoding": encoding.content(), "outputs": outputs} | parts, allow_nan=False)}
    )
    return bytes(model.SerializeToString())


def _inputs(features: Sequence[Feature], columns: Sequence[Column]) -> tuple[Encoding, list[_Seen]]:
    """The graph's inputs, which are columns as they are and looked up ones, and how the numbers that the estimator
    sees come of them.
    """
    tables = [feature for feature in features if isinstance(feature, Table)]
    if not tables and all(column.numeric or column.type == "boolean" for column in columns):
        used = list(range(len(columns)))  # a row as it is
    else:
        used = sorted({feature.column for feature in features if isinstance(feature, Number)})
    seen = []
    place = len(used)
    for feature in features:
        if isinstance(feature, Table):
            seen += [_Seen(place + i, None) for i in range(feature.width)]
            place += feature.width
        else:
            seen.append(_Seen(used.index(feature.column), feature))
    return Encoding([*map(Number, used), *tables]), seen


def _range(function: Callable[[Array], Array]) -> tuple[float, float]:
    """The least and the greatest number that it does not make an infinity of."""
    low, high = _last(lambda x: function(-x) > -np.inf, 1), _last(lambda x: function(x) < np.inf, 1)
    return -float(low[0]), float(high[0])


def _folded(ensemble: Ensemble, seen: Sequence[_Seen]) -> list[Tree]:
    """The trees as they compare the graph's inputs."""
    cuts = np.cumsum([len(tree.feature) for tree in ensemble.trees])[:-1]
    feature, threshold, left, missing_left = (
        np.concatenate([getattr(tree, name) for tree in ensemble.trees])
        for name in ("feature", "threshold", "left", "missing_left")
    )
    if feature.size and feature.max() >= len(seen):
        raise CannotCompile(f"The trees compare {feature.max() + 1} numbers, their preprocessing makes {len(seen)}")
    places = np.zeros_like(feature)
    limits = threshold.copy()
    for i in np.unique(feature[left >= 0]):
        nodes = np.flatnonzero((feature == i) & (left >= 0))
        place, number = seen[i]
        places[nodes] = place
        function = _function(number, ensemble.single)
        if ensemble.single or (number is not None and number.steps):
            limits[nodes] = _moved(threshold[nodes], function)
        if number is not None and number.missing is not None:
            raw = replace(number, steps=(), missing=None)
            missing_left[nodes] = _function(raw, ensemble.single)(np.full(1, float(number.missing))) <= threshold[nodes]
    arrays = zip(np.split(places, cuts), np.split(limits, cuts), np.split(missing_left, cuts), strict=True)
    return [
        replace(tree, feature=f, threshold=t, missing_left=m)
        for tree, (f, t, m) in zip(ensemble.trees, arrays, strict=True)
    ]


def _moved(thresholds: Array, function: Callable[[Array], Array]) -> Array:
    """What a number is compared with before the function, to the same end as with the thresholds after it."""
    return _last(lambda x: function(x) <= thresholds, len(thresholds))


def _function(number: Number | None, single: bool) -> Callable[[Array], Array]:
    """From a graph's input to what the trees compare; it never falls. Raises CannotCompile where it may."""
    steps = () if number is None else number.steps
    if any(operator in "*/" and value <= 0 for operator, value in steps):
        raise CannotCompile("Trees behind a scaler with a negative scale are not compiled")

    def function(values: Array) -> Array:
        with np.errstate(all="ignore"):
            found = values if number is None else replace(number, missing=None).many(values)
            return found.astype(np.float32).astype(np.float64) if single else found

    return function


def _last(holds: Callable[[Array], Array], count: int) -> Array:
    """For each of `count` conditions that hold up to some float64 and not beyond it: that float64, -inf where there
    is none.
    """
    low, high = np.full(count, _rank(-LARGEST)), np.full(count, _rank(LARGEST))
    none, all_of_them = ~holds(np.full(count, -LARGEST)), holds(np.full(count, LARGEST))
    while (high - 1 > low).any():
        middle = (low >> 1) + (high >> 1) + (low & high & 1)  # their mean, without an overflow
        below = holds(_ranked(middle))
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    found = np.where(all_of_them, LARGEST, _ranked(low))
    return np.where(none, -np.inf, found)


def _rank(value: float) -> int:
    return int(_turned(np.array([value]).view(np.int64))[0])


def _ranked(rank: Array) -> Array:
    return _turned(rank).view(np.float64)


def _turned(bits: Array) -> Array:
    """From the bits of float64s to integers in the same order, and back."""
    return np.where(bits >= 0, bits, np.iinfo(np.int64).min - bits)


def _most_compared(trees: Sequence[Tree]) -> int | None:
    """The input that most rows are compared by, where each split halves them; None where no tree splits."""
    weights: dict[int, float] = {}
    for tree in trees:
        level, weight = np.zeros(1, dtype=int), 1.0
        while len(level := level[tree.left[level] >= 0]):
            for place in tree.feature[level].tolist():
                weights[place] = weights.get(place, 0.0) + weight
            level, weight = np.concatenate([tree.left[level], tree.right[level]]), weight / 2
    return max(weights, key=weights.__getitem__, default=None)


def _thresholds(ensemble: Ensemble, trees: Sequence[Tree], seen: Sequence[_Seen]) -> dict[int, Array]:
    """By column: where the graph splits, and where the estimator says that it does, if it compares the column as it
    is.
    """
    found: dict[int, list[Array]] = {}
    for original, tree in zip(ensemble.trees, trees, strict=True):
        split = original.left >= 0
        for i in np.unique(original.feature[split]):
            number = seen[i].number
            if number is not None:
                nodes = split & (original.feature == i)
                found.setdefault(number.column, []).append(tree.threshold[nodes])
                if not number.steps:
                    found[number.column].append(original.threshold[nodes])
    return {
        column: (values := np.unique(np.concatenate(parts)))[np.isfinite(values)] for column, parts in found.items()
    }


def _operator(trees: Sequence[Tree], outputs: int) -> NodeProto:
    """One TreeEnsemble. A leaf adds to one score only, so that a tree with several targets is there once for each of
    them.
    """
    names = ("feature", "split", "mode", "missing", "true", "true_leaf", "false", "false_leaf")
    columns: dict[str, list[Array]] = {name: [] for name in names}
    leaves: list[Array] = []
    leaf_targets: list[Array] = []
    members: list[float] = []
    roots: list[int] = []
    nodes, leaf_count = 0, 0
    for tree in trees:
        inner = np.flatnonzero(tree.left >= 0)
        outer = np.flatnonzero(tree.left < 0)
        for j, target in enumerate(tree.targets):
            weights = tree.value[outer, j]
            if roots and not weights.any():
                continue  # it adds nothing to this score
            index = np.zeros(len(tree.left), dtype=np.int64)
            index[inner], index[outer] = nodes + np.arange(len(inner)), leaf_count + np.arange(len(outer))
            at = inner if len(inner) else outer  # a tree of one leaf needs a node, both of whose branches lead to it
            left, right = (tree.left[at], tree.right[at]) if len(inner) else (at, at)
            columns["feature"].append(tree.feature[at] if len(inner) else np.zeros(1, dtype=np.int64))
            columns["split"].append(tree.threshold[at])
            columns["mode"].append(
                np.array([MEMBER if node in tree.members else LESS_OR_EQUAL for node in at.tolist()])
            )
            columns["missing"].append(tree.missing_left[at])
            columns["true"].append(index[left])
            columns["false"].append(index[right])
            columns["true_leaf"].append(tree.left[left] < 0)
            columns["false_leaf"].append(tree.left[right] < 0)
            for node in at.tolist():
                if node in tree.members:
                    members += [*tree.members[node], np.nan]
            leaves.append(weights)
            leaf_targets.append(np.full(len(outer), target))
            roots.append(nodes)
            nodes, leaf_count = nodes + len(at), leaf_count + len(outer)
    if nodes > MOST_NODES:
        raise CannotCompile(f"Its trees would be a graph of {nodes:,} nodes, more than {MOST_NODES:,}")
    joined = {name: np.concatenate(parts) for name, parts in columns.items()}
    integers = {name: joined[name].astype(np.int64).tolist() for name in names if name != "split"}
    sets = {"membership_values": numpy_helper.from_array(np.array(members), "members")} if members else {}
    return helper.make_node(
        "TreeEnsemble",
        [INPUT],
        [OUTPUT],
        domain="ai.onnx.ml",
        aggregate_function=1,  # sum
        post_transform=0,
        n_targets=outputs,
        tree_roots=roots,
        nodes_featureids=integers["feature"],
        nodes_splits=numpy_helper.from_array(joined["split"], "splits"),
        nodes_modes=numpy_helper.from_array(joined["mode"].astype(np.uint8), "modes"),
        nodes_missing_value_tracks_true=integers["missing"],
        nodes_truenodeids=integers["true"],
        nodes_trueleafs=integers["true_leaf"],
        nodes_falsenodeids=integers["false"],
        nodes_falseleafs=integers["false_leaf"],
        leaf_targetids=np.concatenate(leaf_targets).tolist(),
        leaf_weights=numpy_helper.from_array(np.concatenate(leaves), "weights"),
        **sets,
    )

"""Any other estimator as skl2onnx converts it, if all of its graph computes in float64."""

import copy
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import skl2onnx
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper, shape_inference
from skl2onnx.common.data_types import DoubleTensorType
from skl2onnx.common.exceptions import MissingConverter, MissingShapeCalculator
from sklearn.ensemble import VotingClassifier

from ...model.compiled.decision import Decision
from ...model.compiled.encoding import Encoding, Feature
from ...model.compiled.onnx_graph import INPUT, OUTPUT
from ...model.inspection import Kind
from .candidate import Candidate, CannotCompile
from .graph import LARGEST, graph

# The operators for scikit-learn that only pick and rename: the others compute in float32, whatever they are given.
_EXACT_OPERATORS = frozenset({"ArrayFeatureExtractor", "LabelEncoder"})
_UNKNOWN = (KeyError, MissingConverter, MissingShapeCalculator)  # their messages name a class
_TARGET = {"": 18, "ai.onnx.ml": 3}


def compile_generic(
    estimator: Any, features: Sequence[Feature], kind: Kind, classes: Sequence[Any] | None, *, by_probability: bool
) -> Candidate:
    """The graph of an estimator behind `features`. `by_probability`: its class is that of the largest probability.
    Raises CannotCompile.
    """
    if classes and isinstance(classes[0], list):
        raise CannotCompile("A classifier of several outputs is not compiled")
    encoding = Encoding(features)
    has_probabilities = classes is not None and hasattr(estimator, "predict_proba")
    model = _converted(estimator, encoding.width, has_probabilities)
    outputs = [output.name for output in model.graph.output]
    added: list[NodeProto] = []
    if by_probability and has_probabilities:
        decision, wanted, count = Decision("shares"), outputs[1], len(classes or ())
    elif kind == "regressor":
        decision, wanted, count = Decision("value"), outputs[0], _regression_width(estimator)
    else:
        decision, wanted, count = Decision("labelled"), "slipway_labelled", 1 + has_probabilities * len(classes or ())
        added = _labelled(outputs[0], outputs[1] if has_probabilities else None, classes, wanted)
    shape = numpy_helper.from_array(np.array([-1, count]), "slipway_shape")
    added.append(helper.make_node("Reshape", [wanted, shape.name], [OUTPUT]))
    _require_float64(model)
    nodes = _needed([*model.graph.node, *added])
    used = {name for node in nodes for name in node.input}
    constants = [constant for constant in [*model.graph.initializer, shape] if constant.name in used]
    opsets = [helper.make_opsetid("ai.onnx.ml", _TARGET["ai.onnx.ml"])]
    opsets += [opset for opset in model.opset_import if opset.domain != "ai.onnx.ml"]
    parts = {
        "decision": decision.content(),
        "lowest": [-LARGEST] * encoding.width,
        "highest": [LARGEST] * encoding.width,
    }
    return Candidate("onnx", graph(nodes, constants, encoding, count, parts, opsets=opsets))


def _converted(estimator: Any, width: int, has_probabilities: bool) -> ModelProto:
    if isinstance(estimator, VotingClassifier):
        estimator = copy.copy(estimator)
        estimator.flatten_transform = False  # it changes nothing but transform(), and another value is not converted
    types = [(INPUT, DoubleTensorType([None, width]))]
    options = {id(estimator): {"zipmap": False}} if has_probabilities else None  # a matrix, not a list of dictionaries
    try:
        try:
            found: ModelProto = skl2onnx.convert_sklearn(
                estimator, initial_types=types, options=options, target_opset=_TARGET
            )
        except NameError:  # mixtures answer a matrix anyway, and do not know the option
            found = skl2onnx.convert_sklearn(estimator, initial_types=types, target_opset=_TARGET)
    except Exception as error:  # its converters raise anything for what they cannot do
        unknown = re.search(r"<class '(?:\w+\.)*(\w+)'>", str(error)) if isinstance(error, _UNKNOWN) else None
        if unknown is not None:
            raise CannotCompile(f"ONNX has no counterpart of {unknown[1]}") from error
        raise CannotCompile(
            f"skl2onnx cannot convert {type(estimator).__name__}, or a part of it: {type(error).__name__}"
        ) from error
    return found


def _regression_width(estimator: Any) -> int:
    """The number of outputs, which not every graph tells."""
    answer = np.asarray(estimator.predict(np.zeros((1, estimator.n_features_in_))))
    return int(answer.size)


def _labelled(label: str, probabilities: str | None, classes: Sequence[Any] | None, name: str) -> list[NodeProto]:
    """Nodes that put the class's place, or a label that is a number, before the probabilities."""
    nodes = []
    if classes is not None:
        keys = (
            {"keys_strings": classes}
            if isinstance(classes[0], str)
            else {"keys_int64s": [int(value) for value in classes]}
        )
        places = [float(place) for place in range(len(classes))]
        nodes.append(
            helper.make_node(
                "LabelEncoder", [label], ["slipway_place"], domain="ai.onnx.ml", values_floats=places, **keys
            )
        )
    nodes.append(
        helper.make_node(
            "Cast", [label if classes is None else "slipway_place"], ["slipway_number"], to=TensorProto.DOUBLE
        )
    )
    if probabilities is None:
        return [*nodes, helper.make_node("Identity", ["slipway_number"], [name])]
    nodes.append(helper.make_node("Flatten", ["slipway_number"], ["slipway_first"], axis=1))
    return [*nodes, helper.make_node("Concat", ["slipway_first", probabilities], [name], axis=1)]


def _needed(nodes: Sequence[NodeProto]) -> list[NodeProto]:
    """Those that the scores depend on, in their order."""
    wanted, found = {OUTPUT}, []
    for node in reversed(nodes):
        if wanted.intersection(node.output):
            wanted.update(node.input)
            found.append(node)
    return found[::-1]


def _require_float64(model: ModelProto) -> None:
    """Raises CannotCompile where something is computed in float32, or depends on the order of equal distances."""
    graph = shape_inference.infer_shapes(model).graph
    for node in graph.node:
        if node.domain == "ai.onnx.ml" and node.op_type not in _EXACT_OPERATORS:
            raise CannotCompile(f"ONNX Runtime computes its {node.op_type} in float32, which could change an answer")
        if node.op_type == "TopK":
            raise CannotCompile("Neighbours at equal distances could be chosen otherwise than the estimator chooses")
    types = [value.type.tensor_type.elem_type for value in [*graph.value_info, *graph.output]]
    types += [constant.data_type for constant in graph.initializer]
    if TensorProto.FLOAT in types:
        raise CannotCompile("ONNX Runtime would compute a part of it in float32, which could change an answer")

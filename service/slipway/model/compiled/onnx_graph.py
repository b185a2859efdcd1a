"""Scores of a graph that ONNX Runtime computes in float64, its input and output bound once per thread."""

import json
import struct
import sys
import threading
from collections.abc import Sequence
from math import hypot
from typing import Any

import numpy as np

from ..onnx_runtime import onnxruntime
from .encoding import Encoding, Row, Unusable

Array = np.ndarray[Any, Any]

INPUT, OUTPUT = "slipway_numbers", "slipway_scores"
METADATA = "slipway"  # the graph's property that holds, as JSON, all that is not in the graph
FEWEST_ORDERED = 16  # rows, of which ordering costs less than it saves


class _Bound(threading.local):
    """One thread's buffers of one row and their binding; a forked child has a copy of them at the same addresses."""

    def __init__(self, session: onnxruntime.InferenceSession, width: int, outputs: int) -> None:
        numbers, scores = np.zeros((1, width)), np.zeros((1, outputs))
        self.binding = session.io_binding()
        self.binding.bind_input(INPUT, "cpu", 0, np.float64, numbers.shape, numbers.ctypes.data)
        self.binding.bind_output(OUTPUT, "cpu", 0, np.float64, scores.shape, scores.ctypes.data)
        self.numbers, self.scores = numbers.data, scores[0]


class OnnxCore:
    """Thread-safe. It computes in the calling thread alone, so that a session made before a fork works in the
    children.
    """

    def __init__(self, content: bytes, nullable: bool) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        parts = json.loads(self._session.get_modelmeta().custom_metadata_map[METADATA])
        self.decision: dict[str, Any] = parts["decision"]
        encoding = Encoding.read(parts["encoding"], nullable)
        self._encode, self._encode_many = encoding.one, encoding.many
        self._lowest, self._highest = np.array(parts["lowest"]), np.array(parts["highest"])
        self._safe = float(min(-self._lowest.max(), self._highest.min()))  # no number within needs a closer look
        self._has_range = self._safe < sys.float_info.max
        self._order: int | None = parts.get("order")  # trees: the input that they compare most
        self._pack = struct.Struct(f"{encoding.width}d").pack_into
        self._bound = _Bound(self._session, encoding.width, parts["outputs"])
        self._run = self._session.run_with_iobinding

    def one(self, row: Row) -> list[float]:
        numbers = self._encode(row)
        # No number is further from zero; NaN or an infinity would show, too.
        if self._has_range and not hypot(*numbers) <= self._safe:
            self._check_range(np.array([numbers]))
        bound = self._bound
        self._pack(bound.numbers, 0, *numbers)
        self._run(bound.binding)
        return bound.scores.tolist()  # type: ignore[no-any-return]

    def many(self, rows: Sequence[Row] | Array) -> Array:
        numbers = self._encode_many(rows)
        self._check_range(numbers)
        if self._order is None or len(numbers) < FEWEST_ORDERED:
            return self._session.run([OUTPUT], {INPUT: numbers})[0]  # type: ignore[no-any-return]
        # Rows that are alike go the same way through a tree, one after the other: a processor that foresees it takes a
        # quarter less.
        order = numbers[:, self._order].argsort()
        scores = self._session.run([OUTPUT], {INPUT: numbers.take(order, axis=0)})[0]
        in_turn = np.empty_like(scores)
        in_turn[order] = scores
        return in_turn  # type: ignore[no-any-return]

    def _check_range(self, numbers: Array) -> None:
        """Raises where the estimator would have met an infinity: trees compute in float32."""
        if self._has_range and ((numbers < self._lowest) | (numbers > self._highest)).any():
            raise Unusable("Input contains infinity or a value too large")

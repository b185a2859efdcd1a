"""ONNX Runtime. From 1.29 on it reports each session to its maker, with the names and digests of the graph, unless it
is told not to before it is imported.
"""

import os

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime

__all__ = ["onnxruntime"]

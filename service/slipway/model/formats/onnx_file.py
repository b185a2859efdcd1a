"""An ONNX graph as the model itself: columns from its inputs, classes from its labels, computed by ONNX Runtime."""

from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ...errors import ArtifactError
from ..contained import described, harmless
from ..inspection import Scalar
from ..onnx_runtime import onnxruntime
from ..signature import Column, ColumnType, Signature, class_labels
from .native import Native
from .onnx_labels import classes_in

_MOST_BYTES = 2**31 - 1  # no graph can have more: protobuf's limit
_MOST_COLUMNS = 100_000
# Of a graph's input: the JSON type of its values, and what they are cast to.
_TYPES: dict[str, tuple[ColumnType, str]] = {
    "tensor(double)": ("number", "float64"),
    "tensor(float)": ("number", "float32"),
    "tensor(float16)": ("number", "float16"),
    "tensor(int64)": ("integer", "int64"),
    "tensor(int32)": ("integer", "int32"),
    "tensor(bool)": ("boolean", "bool"),
    "tensor(string)": ("string", "object"),
}


class OnnxModel(Native):
    """One matrix, or a column for each of several inputs. Thread-safe; a session that was made before a fork works in
    the children.
    """

    runtime = "onnxruntime"
    is_short = True  # some of it, whatever its input is

    def __init__(self, content: bytes) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        self._inputs = [(each.name, *_column_type(each)) for each in self._session.get_inputs()]
        widths = [_width(each) for each in self._session.get_inputs()]
        if len(widths) > 1 and any(width != 1 for width in widths):
            raise ArtifactError(
                "it has several inputs, of which one is no single column: make it a graph of one matrix, or of one "
                "column an input"
            )
        if widths == [None]:
            raise ArtifactError("its input does not tell how many columns it has: convert it with a fixed width")
        self._flat = len(self._session.get_inputs()[0].shape) == 1
        self._is_text = len(widths) == 1 and widths[0] == 1 and self._inputs[0][1] == "string"
        outputs = self._session.get_outputs()
        self._mapped = False
        self._label, self._probability = outputs[0].name, None
        self._estimator_type = "classifier" if outputs[0].type in ("tensor(int64)", "tensor(string)") else "regressor"
        self.n_features_in_ = len(widths) if len(widths) > 1 else widths[0]
        self.feature_names_in_ = [name for name, _, _ in self._inputs] if len(widths) > 1 else None
        if self._estimator_type == "classifier" and len(outputs) > 1:
            self._find_classes(content, outputs[1])
        self.told_signature = self._signature()

    def _find_classes(self, content: bytes, output: Any) -> None:
        """Where the second output holds probabilities, and the graph tells of which classes."""
        self._mapped = output.type.startswith("seq(map")
        self._probability = output.name
        row: list[float] | None = None
        classes: Any = None
        try:
            asked = self._session.run([output.name], self._zeros())[0]
            if self._mapped:
                classes, row = list(asked[0]), list(asked[0].values())
            else:
                if len(output.shape) != 2 or np.asarray(asked).ndim != 2:  # of several outputs
                    self._probability = None
                    return
                row = np.asarray(asked)[0].tolist()
        except Exception:  # a graph need not take zeros, or empty text
            width = None if self._mapped else output.shape[-1]
            classes = classes_in(content, width if isinstance(width, int) else None)
        if classes is None and row is not None:
            classes = classes_in(content, len(row))
        # Else scores of a margin, or classes that nobody can name.
        if classes is None or len(classes) < 2 or (row is not None and not _are_shares(np.array([row]))):
            self._probability = None
            return
        self.classes_ = np.array(classes)
        self.predict_proba = self._probabilities

    def predict(self, data: Any) -> Any:
        return self._answered(self._session.run([self._label], self._fed(data))[0])

    def predict_both(self, data: Any) -> tuple[Any, Any]:
        """Predictions and probabilities of one run."""
        label, probabilities = self._session.run([self._label, self._probability], self._fed(data))
        return self._answered(label), self._matrix(probabilities)

    def _probabilities(self, data: Any) -> Any:
        return self._matrix(self._session.run([self._probability], self._fed(data))[0])

    def _matrix(self, probabilities: Any) -> Any:
        """As float64, as JSON shows them."""
        if self._mapped:
            order = self.classes_.tolist()
            probabilities = [[row[name] for name in order] for row in probabilities]
        found = np.asarray(probabilities, dtype=np.float64)
        if not _are_shares(found):
            raise RuntimeError("the graph's second output holds no probabilities")
        return found

    @staticmethod
    def _answered(values: Any) -> Any:
        values = np.asarray(values)
        values = values.astype(np.float64) if values.dtype.kind == "f" else values
        return values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values

    def _fed(self, data: Any) -> dict[str, Any]:
        if self._is_text:
            texts = np.array(list(data), dtype=object)
            return {self._inputs[0][0]: texts if self._flat else texts.reshape(-1, 1)}
        if len(self._inputs) == 1:
            name, _, dtype = self._inputs[0]
            values = data.to_numpy() if hasattr(data, "to_numpy") else np.asarray(data)
            return {name: _cast(values, dtype)}
        return {name: _cast(data[name].to_numpy().reshape(-1, 1), dtype) for name, _, dtype in self._inputs}

    def _zeros(self) -> dict[str, Any]:
        empty: dict[str, Any] = {"object": "", "bool": False}
        width = self.n_features_in_ if len(self._inputs) == 1 else 1
        shape = (1,) if self._flat else (1, width)
        return {name: np.full(shape, empty.get(dtype, 0), dtype=dtype) for name, _, dtype in self._inputs}

    def _signature(self) -> Signature:
        classes: list[Scalar] | None = self.classes_.tolist() if hasattr(self, "classes_") else None
        labels = class_labels(classes)
        if self._is_text:
            return Signature(
                input="text", columns=(Column(name="text", type="string"),), classes=classes, labels=labels
            )
        kinds = [(kind, dtype) for _, kind, dtype in self._inputs]
        names = self.feature_names_in_ or [f"x{place}" for place in range(self.n_features_in_ or 0)]
        if len(self._inputs) == 1:
            kinds *= len(names)
        in_frame = self.feature_names_in_ is not None or kinds[0][0] in ("string", "boolean")
        columns = tuple(
            Column(name=name, type=kind, dtype=_dtype_of(dtype, in_frame=in_frame))
            for name, (kind, dtype) in zip(names, kinds, strict=True)
        )
        return Signature(
            input="frame" if in_frame else "array",
            columns=columns,
            named=self.feature_names_in_ is not None,
            classes=classes,
            labels=labels,
        )


def read(file: BinaryIO, path: Path) -> OnnxModel:
    """Raises ArtifactError for a graph that takes no rows, or that ONNX Runtime cannot compute."""
    content = file.read(_MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        raise ArtifactError(f"{path} has more than 2 GiB, which no ONNX graph can have")
    try:
        return OnnxModel(content)
    except ArtifactError as error:
        raise ArtifactError(f"{path} is an ONNX graph that cannot be served: {error}") from None
    except Exception as error:  # its exceptions have no common class
        raise ArtifactError(
            f"{path} is no ONNX graph that onnxruntime {onnxruntime.__version__} can load: {described(error)}"
        ) from error


def _are_shares(rows: Any) -> bool:
    """Whether each row is NaN, or numbers from 0 to 1 that add up to 1 as far as float16 can."""
    off = (rows < -1e-3) | (rows > 1 + 1e-3)
    return not off.any() and not (abs(rows.sum(axis=1) - 1.0) > 1e-2).any()


def _column_type(given: Any) -> tuple[ColumnType, str]:
    if given.type not in _TYPES:
        raise ArtifactError(f"its input {harmless(given.name)} is a {harmless(given.type)}, which no rows are")
    return _TYPES[given.type]


def _width(given: Any) -> int | None:
    """Of one input's columns; None where the graph leaves it open."""
    if len(given.shape) == 1:
        return 1
    if len(given.shape) != 2:
        raise ArtifactError(f"its input {harmless(given.name)} has {len(given.shape)} dimensions: rows have two")
    if isinstance(given.shape[0], int) and given.shape[0] > 1:
        raise ArtifactError(f"it takes {given.shape[0]} rows at a time: convert it with a first dimension of None")
    width = given.shape[1]
    if isinstance(width, int) and width > _MOST_COLUMNS:
        raise ArtifactError(f"it has {width} columns, at most {_MOST_COLUMNS} are possible")
    return width if isinstance(width, int) else None


def _dtype_of(dtype: str, *, in_frame: bool) -> str | None:
    """As a column of a signature has it; None: what its type has anyway."""
    if dtype in ("float32", "float16"):
        return dtype
    return dtype if in_frame and dtype in ("int32", "int64") else None


def _cast(values: Any, dtype: str) -> Any:
    """As the graph takes it. Raises ValueError where a number would be another one."""
    if dtype == "object":
        return np.asarray(values, dtype=object)
    with np.errstate(all="ignore"):
        numbers = np.asarray(values)
        if dtype.startswith("int") and numbers.dtype.kind == "f":
            if not np.array_equal(numbers, np.trunc(numbers)):
                raise ValueError("Input contains NaN, infinity or a number that is no integer")
            limit = np.iinfo(dtype)
            if (numbers < limit.min).any() or (numbers > limit.max).any():
                raise ValueError(f"Input contains a value too large for {dtype}")
        cast = numbers.astype(dtype)
        if cast.dtype.kind == "f" and np.isinf(cast).any():
            raise ValueError("Input contains infinity or a value too large for the graph")
    return cast

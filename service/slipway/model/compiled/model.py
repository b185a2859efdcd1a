"""Compiled forms of a model: small files beside model.joblib that answer as the estimator does, without it."""

import hashlib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from ...errors import ArtifactError, RefusedByModel
from ...system.files import read_file
from ..answers import Answers
from ..client_fault import client_fault, extremes
from ..contained import described
from ..signature import Signature
from .decision import Decision, NotANumber, RowAnswer
from .encoding import Row, Unusable, keys
from .linear import LinearCore

__all__ = ["FILES", "CompiledForm", "CompiledModel", "RowAnswer", "difference", "disagreement", "load", "read"]

Array = np.ndarray[Any, Any]
Form = Literal["linear", "onnx"]
FILES: dict[Form, str] = {"linear": "model.linear.json", "onnx": "model.onnx"}
LARGEST_BOUND = 1e-5
MOST_BYTES = 2**31 - 1  # no graph can have more: protobuf's limit


class CompiledForm(BaseModel):
    """The manifest's part about a compiled form: the file, and the proof that it agrees with the estimator."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    form: Form = Field(
        description="linear: weights, computed in plain Python or numpy; onnx: a graph for ONNX Runtime."
    )
    digest: str = Field(pattern=r"^sha256:[0-9a-f]{64}$", description="SHA-256 of the file; another file is not used.")
    bound: float = Field(
        gt=0,
        le=LARGEST_BOUND,
        description="Probabilities differ by less than this from the estimator's; numbers by less than this, relative "
        "to those beyond 1.",
    )
    rows: int = Field(
        ge=1, description="Rows that the class was equal and the bound was kept on: all of the data and generated ones."
    )

    @property
    def file(self) -> str:
        return FILES[self.form]


class Core(Protocol):
    """Scores of rows. Thread-safe, usable after a fork. Raises Unusable for what the estimator refuses."""

    decision: dict[str, Any]

    def one(self, row: Row) -> list[float]:
        """Of one row of JSON values in column order, None where one is missing."""

    def many(self, rows: Any) -> Array:
        """(n, scores) of n such rows, or of an (n, columns) array with NaN where a value is missing."""


class CompiledModel:
    """Answers as the estimator does, without it. Thread-safe, usable after a fork."""

    def __init__(self, form: Form, core: Core, signature: Signature) -> None:
        self.form = form
        self.signature = signature
        self._core = core
        self._scores = core.one
        self._decision = Decision.read(core.decision, signature.classes or ())
        self._decide = self._decision.for_one()

    def infer_row(self, row: Row) -> RowAnswer:
        """(prediction, confidence, probabilities) of JSON values in column order. Raises RefusedByModel where the
        estimator would.
        """
        try:
            return self._decide(self._scores(row))
        except Unusable as error:
            raise refusal([row], self.signature, error) from error
        except NotANumber:
            check_extremes([row], self.signature)
            return self._decision.undefined(self._core.many([row]).shape[1])

    def infer(self, rows: Any) -> Answers:
        """Of rows of JSON values, or of an (n, columns) array with NaN where a value is missing. Raises
        RefusedByModel.
        """
        if len(rows) == 1 and not isinstance(rows, np.ndarray):
            prediction, confidence, probabilities = self.infer_row(rows[0])
            return Answers([prediction], [confidence], None if probabilities is None else [probabilities])
        try:
            with np.errstate(all="ignore"):
                return self._decision.for_many(self._core.many(rows))
        except Unusable as error:
            raise refusal(rows, self.signature, error) from error
        except NotANumber:
            check_extremes(rows, self.signature)
            values = zip(*map(keys, rows.T), strict=True) if isinstance(rows, np.ndarray) else rows
            answers = [self.infer_row(row) for row in values]
            return Answers([answer[0] for answer in answers], [answer[1] for answer in answers])


class Example(Protocol):
    """A row with the estimator's answer, as the manifest has it."""

    @property
    def features(self) -> Any: ...

    @property
    def prediction(self) -> Any: ...

    @property
    def probabilities(self) -> Any: ...


def load(directory: Path, compiled: CompiledForm, signature: Signature, examples: Sequence[Example]) -> CompiledModel:
    """The compiled model, proven again on the examples. Raises ArtifactError saying why the estimator has to answer
    instead.
    """
    path = directory / compiled.file
    try:
        content = read_file(path, MOST_BYTES)
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read: {error.strerror or error}") from None
    digest = "sha256:" + hashlib.sha256(content).hexdigest()
    if digest != compiled.digest:
        raise ArtifactError(
            f"{path} is not the file that was proven: its digest is {digest}, the manifest says {compiled.digest}"
        )
    try:
        model = read(compiled.form, content, signature)
        found = disagreement(model, compiled, examples)
    except ModuleNotFoundError as error:
        remedy = "pip install 'slipway-serve[onnx]'"
        raise ArtifactError(
            f"{path} needs the Python module {error.name!r}, which is not installed here: {remedy}"
        ) from None
    except Exception as error:  # another version of a runtime may raise anything
        raise ArtifactError(f"{path} cannot be used: {described(error)}") from error
    if found is not None:
        raise ArtifactError(f"{path} does not answer as the estimator did: {found}")
    return model


def read(form: Form, content: bytes, signature: Signature) -> CompiledModel:
    """A compiled model from the content of its file. Raises ModuleNotFoundError where its runtime is missing."""
    nullable = any(column.nullable for column in signature.columns or ())
    if form == "linear":
        return CompiledModel(form, LinearCore(content, nullable), signature)
    from .onnx_graph import OnnxCore  # only a server that has such a model pays for ONNX Runtime

    return CompiledModel(form, OnnxCore(content, nullable), signature)


def disagreement(model: CompiledModel, compiled: CompiledForm, examples: Sequence[Example]) -> str | None:
    """A sentence about the first example that is answered otherwise than expected, by itself or among the others;
    else None.
    """
    if not examples:
        return None
    together = model.infer([example.features for example in examples])
    for i, example in enumerate(examples):
        prediction, _, probabilities = model.infer_row(example.features)
        in_batch = together.probabilities[i] if together.probabilities is not None else None
        for answer in ((prediction, probabilities), (together.predictions[i], in_batch)):
            if not difference(answer, (example.prediction, example.probabilities)) < compiled.bound:
                expected = f"{example.prediction!r} with the probabilities {example.probabilities}"
                return f"example {i} of the manifest expects {expected}, it answers {answer[0]!r} with {answer[1]}"
    return None


def difference(answer: Any, expected: Any) -> float:
    """The largest difference of two answers, relative for numbers beyond 1; infinite where class, shape or a type
    differs.
    """
    if isinstance(answer, list | tuple) and isinstance(expected, list | tuple):
        return max(map(difference, answer, expected), default=0.0) if len(answer) == len(expected) else math.inf
    if isinstance(answer, float) and isinstance(expected, float):
        gap = abs(answer - expected) / max(1.0, abs(expected))
        return math.inf if math.isnan(gap) else gap
    return 0.0 if type(answer) is type(expected) and answer == expected else math.inf


def refusal(rows: Sequence[Row] | Array, signature: Signature, error: Exception) -> Exception:
    """RefusedByModel where the rows explain the error, else the error itself."""
    reason = client_fault(_data(rows), signature)
    return error if reason is None else RefusedByModel(reason)


def check_extremes(rows: Sequence[Row] | Array, signature: Signature) -> None:
    """Raises RefusedByModel where the rows explain why an answer is no number."""
    reason = extremes(_data(rows), signature)
    if reason is not None:
        raise RefusedByModel(reason)


def _data(rows: Sequence[Row] | Array) -> Array:
    return rows if isinstance(rows, np.ndarray) else np.array(rows, dtype=object)

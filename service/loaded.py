"""A model as the server holds it: the artifact, its request validator, its metrics and where it was pinned to run."""

import time
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from .artifact import Artifact
from .estimator import Answers
from .metrics import InferenceMetrics
from .processes import ModelSource
from .rows import Batch, RowValidator
from .settings import Execution


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """Immutable; two loads of one file are two models."""

    artifact: Artifact
    validator: RowValidator
    execution: Execution
    metrics: InferenceMetrics
    source: ModelSource

    @property
    def name(self) -> str:
        return self.artifact.name

    @property
    def version(self) -> str:
        return self.artifact.version

    @cached_property
    def answer_headers(self) -> tuple[tuple[bytes, bytes], ...]:
        """Who answered; ASGI headers."""
        return ((b"x-model", self.name.encode()), (b"x-model-version", self.version.encode()))

    @cached_property
    def key(self) -> tuple[str, str, str]:
        """What a cached answer belongs to."""
        return (self.name, self.version, self.artifact.digest)

    @cached_property
    def warm_up_batch(self) -> Batch | None:
        """The example rows; for a bare numeric model a row of zeros; else None."""
        examples = self.artifact.example_batch()
        columns = self.artifact.signature.columns
        if examples is None and columns and all(column.type == "number" for column in columns):
            return self.validator.features([0.0] * len(columns))
        return examples

    def timed(self, data: Any) -> tuple[Answers, float]:
        """The answers and the seconds that the inference took."""
        started = time.perf_counter()
        return self.artifact.model.infer(data), time.perf_counter() - started

    def check(self) -> str | None:
        """Answers the example rows; a sentence when one differs from the manifest. None, too, when there are none."""
        examples = self.artifact.example_batch()
        return None if examples is None else self.artifact.disagreement(self.artifact.model.infer(examples.data))

    def class_labels(self, answers: Answers) -> list[str]:
        """The class of each row, as the metrics count it: empty where there are no classes to count, or several outputs."""
        signature = self.artifact.signature
        if signature.labels is None or signature.multi_output:
            return [""] * len(answers)
        return [signature.label(prediction) or "other" for prediction in answers.predictions]

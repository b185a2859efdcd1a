"""A model as the server holds it: the artifact, its request validator, its metrics and where it was pinned to run."""

import time
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ..model.answers import Answers
from ..model.artifact import Artifact
from ..model.distribution import Distribution
from ..model.rows import Batch, RowValidator
from ..settings import Execution
from ..telemetry.metrics import InferenceMetrics
from .child import ModelSource
from .marks import text


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """Immutable; two loads of one file are two models."""

    artifact: Artifact
    validator: RowValidator
    execution: Execution
    metrics: InferenceMetrics
    source: ModelSource
    batching: bool = True  # whether its calls may be joined
    log_rate: float = 1.0  # share of its requests that the prediction log keeps
    distribution: Distribution | None = None  # what its drift is measured against; None: it is not measured

    @property
    def name(self) -> str:
        return self.artifact.name

    @property
    def version(self) -> str:
        return self.artifact.version

    @cached_property
    def label(self) -> str:
        """Name and version."""
        return f"{self.name} {self.version}"

    @cached_property
    def predicting(self) -> str:
        """A mark that it is asked, but for the request's id."""
        return text(self.label, "predict").decode().removesuffix("\n") + " "

    @cached_property
    def outputs(self) -> tuple[str, ...] | None:
        """What several outputs are called in answers and in the log; None: they are not called anything, or there is
        one.
        """
        return self.artifact.signature.outputs

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
        """What it is timed with."""
        return self.artifact.trial_batch()

    def timed(self, data: Any) -> tuple[Answers, float]:
        """The answers and the seconds that the inference took."""
        started = time.perf_counter()
        return self.artifact.model.infer(data), time.perf_counter() - started

    def check(self) -> str | None:
        """Answers the example rows; a sentence when one differs from the manifest. None, too, when there are none."""
        examples = self.artifact.example_batch()
        return None if examples is None else self.artifact.disagreement(self.artifact.model.infer(examples.data))

    def count(self, answers: Answers, seconds: float) -> None:
        """In the metrics: the time, and the rows by class; no class where there are none, or several outputs."""
        self.metrics.observe(seconds)
        labels = self._labels
        if labels is None:
            self.metrics.predicted("", len(answers.predictions))
        elif len(answers.predictions) == 1:
            self.metrics.predicted(labels.get(answers.predictions[0], "other"), 1)
        else:
            for prediction, rows in Counter(answers.predictions).items():
                self.metrics.predicted(labels.get(prediction, "other"), rows)

    @cached_property
    def _labels(self) -> dict[Any, str] | None:
        signature = self.artifact.signature
        if signature.labels is None or signature.multi_output:
            return None
        return {value: signature.label(value) or "other" for value in signature.classes or ()}

"""The child side of process execution: loads a model once and answers for it until its parent dies."""

import contextlib
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import ArtifactError, Problem
from ..model.answers import Answers
from ..model.artifact import load
from ..model.compiled.model import CompiledModel, Form
from ..model.contained import Escaped, described, end_when_it_returns
from ..model.estimator import Model
from ..model.verify import NOBODY, Trusted
from ..settings import Trust
from ..system.process import die_with


class ModelSource(NamedTuple):
    """What a child needs to load the very model that its parent serves."""

    directory: Path
    name: str
    version: str
    digest: str
    allow_version_mismatch: bool
    form: Form | None
    trust: Trust
    trusted: Trusted = NOBODY


_models: dict[ModelSource, Model | CompiledModel] = {}


def start_child(parent: int) -> None:
    """Runs first in a child: it must not outlive its parent, and leads a group that is killed with it.

    Ctrl-C in a terminal is the parent's to handle.
    """
    os.setsid()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    die_with(parent)
    end_when_it_returns()


def prepare(sources: Sequence[ModelSource]) -> None:
    """Loads them before anybody waits for it. What cannot be loaded is told to who asks it."""
    for source in sources:
        with contextlib.suppress(ArtifactError, RuntimeError):
            _model(source)


def infer_in_child(source: ModelSource, data: Any) -> tuple[Answers, float]:
    """The answers and the seconds that the inference took; raises ArtifactError when the file has changed since."""
    model = _model(source)
    started = time.perf_counter()
    try:
        return model.infer(data), time.perf_counter() - started
    except Problem:
        raise
    except Exception as error:
        # Of a class of its own, perhaps, which cannot be unpickled in the parent, and would break the pool.
        raise Escaped(described(error)) from error


def _model(source: ModelSource) -> Model | CompiledModel:
    model = _models.get(source)
    if model is None:
        artifact = load(
            source.directory,
            name=source.name,
            version=source.version,
            trust=source.trust,
            allow_version_mismatch=source.allow_version_mismatch,
            trusted=source.trusted,
            compiled=source.form is not None,
        )
        if (artifact.digest, artifact.form) != (source.digest, source.form):
            raise RuntimeError(
                f"{source.directory} holds another model than the one that is being served: restart the server to "
                "serve it"
            )
        model = _models[source] = artifact.model
    return model

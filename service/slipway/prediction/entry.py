"""What is known of one version of one model, before and after it is loaded."""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ..engine.loaded_model import LoadedModel
from ..errors import ArtifactError
from ..model.distribution import Distribution
from ..model.manifest import Serving
from ..model.rows import RowValidator
from ..sources.changes import Stamp
from ..telemetry.model_metrics import Observe

State = Literal["unloaded", "loading", "ready", "failed"]


@dataclass(eq=False)
class Entry:
    """One version of one model and how far it has come. `expected`: /ready waits for it; `example`: a row to show.

    `users`: calls that wait for it or have it in hand; `asked_at`: the last one, on the monotonic clock.
    `stamp`: of its files when they were read; `changed`: they are others than a reload found before. `refused`: why it
    did not take them.
    """

    name: str
    version: str
    directory: Path
    serving: Serving
    observe: Observe  # counts a request to it
    stamp: Stamp = ()
    changed: bool = True
    refused: str | None = None
    expected: bool = False
    state: State = "unloaded"
    error: str | None = None
    model: LoadedModel | None = None
    loading: "asyncio.Task[None] | None" = None
    validator: RowValidator | None = None
    example: list[Any] | None = None
    distribution: Distribution | None = None  # what its drift is measured against; None: it is not measured
    users: int = 0
    asked_at: float = 0.0
    aside: bool = False  # it failed because the master has set it aside
    fault: type[ArtifactError] | None = None  # of its files

    @property
    def label(self) -> str:
        """Name and version."""
        return f"{self.name} {self.version}"

    def __str__(self) -> str:
        return f"model {self.label}"

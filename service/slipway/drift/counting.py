"""Counts what is asked and answered by the bins of the training distribution: remembered at once, counted a second
later.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Iterable
from itertools import chain
from typing import Any

import numpy as np

from ..engine.loaded_model import LoadedModel
from ..model.answers import Answers
from ..model.batch import Batch
from ..telemetry.drift_metrics import Count, DriftMetrics
from .tally import Tally

log = logging.getLogger("slipway.drift")

INTERVAL = 1.0  # seconds
# That wait to be counted: beyond it a second's rows are a sample, which is as good for shares, and costs no more.
MOST_ROWS = 500
SLICE_VALUES = 4_000  # counted between two turns of the event loop
ANSWER_VALUES = 4  # what a row costs besides its own values, in values

Counted = tuple[LoadedModel, Any, Answers]  # the values: rows, an array or texts
Counters = dict[str, list[list[Count]]]


class DriftCounter:
    """One per worker. `observe` for every answer; `run` and `close` in the lifespan, `start` before them, after the
    fork.
    """

    def __init__(self, metrics: DriftMetrics) -> None:
        self._metrics = metrics
        self._waiting: deque[Counted] = deque()
        self._room = MOST_ROWS
        self._skipped = 0
        self._tallies: dict[tuple[str, str, str], tuple[Tally, Counters]] = {}  # a model may go, and come again

    def observe(self, model: LoadedModel, batch: Batch, answers: Answers) -> None:
        """Of a model with a distribution. Only remembers, and beyond MOST_ROWS not even that."""
        if self._room > 0:
            rows = batch.rows
            self._room -= len(answers.predictions)
            self._waiting.append((model, batch.data if rows is None else rows, answers))
        else:
            self._skipped += len(answers.predictions)

    def start(self, models: Iterable[LoadedModel]) -> None:
        """Shows the counters of these at 0; those of the others begin with their first answer."""
        for model in models:
            if model.distribution is not None:
                self._tally(model)

    async def run(self) -> None:
        while True:
            await asyncio.sleep(INTERVAL)
            while self._waiting:
                self._count_slice()
                await asyncio.sleep(0)
            self._publish()

    def close(self) -> None:
        """Counts what is left, after the last answer."""
        while self._waiting:
            self._count_slice()
        self._publish()

    def _count_slice(self) -> None:
        """About a millisecond of work."""
        calls: dict[LoadedModel, list[Counted]] = {}
        budget = SLICE_VALUES
        while budget > 0 and self._waiting:
            call = self._waiting.popleft()
            model, values, answers = call
            each = len(model.artifact.signature.columns or ()) + ANSWER_VALUES
            most = max(1, budget // each)
            if len(values) > most:
                self._waiting.appendleft(
                    (model, values[most:], Answers(answers.predictions[most:], answers.confidences[most:]))
                )
                call = (model, values[:most], Answers(answers.predictions[:most], answers.confidences[:most]))
            calls.setdefault(model, []).append(call)
            budget -= len(call[1]) * each
            self._room += len(call[1])
        for model, found in calls.items():
            try:
                self._tally(model)[0].add(
                    _joined([values for _, values, _ in found]),
                    [value for _, _, answers in found for value in answers.predictions],
                    [value for _, _, answers in found for value in answers.confidences],
                )
            except Exception:
                # An estimator may answer what it did not answer when it was packed; the next rows are counted all the
                # same.
                log.exception("%s %s: some rows could not be counted for drift", model.name, model.version)

    def _tally(self, model: LoadedModel) -> tuple[Tally, Counters]:
        found = self._tallies.get(model.key)
        if found is None:
            distribution = model.distribution
            assert distribution is not None, "observe() says so"
            counters = self._metrics.counters(model.name, model.version, distribution)
            found = self._tallies[model.key] = (Tally(distribution, model.artifact.signature.names or ()), counters)
        return found

    def _publish(self) -> None:
        for tally, counters in self._tallies.values():
            if tally.rows:
                for part, variables in counters.items():
                    for counts, bins in zip(tally.counts[part], variables, strict=True):
                        for place in counts.nonzero()[0].tolist():
                            bins[place](float(counts[place]))
                tally.clear()
        if self._skipped:
            self._metrics.skipped(self._skipped)
            self._skipped = 0


def _joined(parts: list[Any]) -> Any:
    return np.concatenate(parts) if isinstance(parts[0], np.ndarray) else list(chain.from_iterable(parts))

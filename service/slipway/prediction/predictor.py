"""The only way to a prediction: resolve the model, validate the rows, look in the cache, run."""

import time
from collections.abc import Callable
from typing import NamedTuple

from ..drift.counting import DriftCounter
from ..engine.call import Call, MustWait
from ..engine.engine import Engine
from ..engine.loaded_model import LoadedModel
from ..engine.placement import Mode
from ..model.estimator import Answers
from ..model.rows import Batch, RowValidator
from ..prediction_log.log import Headers, PredictionLog
from ..settings import Settings
from ..telemetry.metrics import Metrics
from .cache import PredictionCache
from .entry import Entry
from .repository import Repository

Read = Callable[[RowValidator], Batch]


class Prediction(NamedTuple):
    """What a dialect needs to answer. `seconds`: time of the inference; `cached`: per row, only where the cache was
    asked.

    `headers`: of an answer that is logged, as ASGI has them.
    """

    model: LoadedModel
    answers: Answers
    seconds: float = 0.0
    cached: list[bool] | None = None
    headers: Headers = ()


class Predictor:
    """One per worker. Every dialect calls `predict`; nothing else touches a model."""

    def __init__(
        self,
        settings: Settings,
        repository: Repository,
        engine: Engine,
        prediction_log: PredictionLog,
        drift: DriftCounter,
        metrics: Metrics,
    ) -> None:
        self.repository = repository
        self.engine = engine
        self.prediction_log = prediction_log
        self._drift = drift
        self._metrics = metrics
        repository.residence.engine = engine
        self._cache = PredictionCache(settings.cache_size, metrics)
        self._logs = prediction_log.durability != "off"
        self._log_waits = prediction_log.durability in ("spooled", "sync")

    async def predict(
        self, entry: Entry, read: Read, call: Call, *, mode: Mode | None = None, cached: bool = False, log: bool = False
    ) -> Prediction:
        """Raises a Problem, or MustWait; `read` takes the rows out of the body. `log`: in any case, in the
        background.
        """
        model = entry.model if entry.model is not None and entry.state == "ready" else await self._loaded(entry, call)
        entry.asked_at = time.monotonic()
        inline_rows = 0 if cached else self.engine.inline_rows(model, mode)
        if not call.waits and (not inline_rows or (self._log_waits and not log)):
            raise MustWait
        batch = read(model.validator)
        if len(batch.data) <= inline_rows:  # never in flight: nothing else runs meanwhile
            answers, seconds = self.engine.infer(model, batch)
            hits = None
        elif call.waits:
            entry.users += 1
            try:
                answers, seconds, hits = await self._run(model, batch, call, mode, cached)
            finally:
                entry.users -= 1
        else:
            raise MustWait
        if model.distribution is not None:
            self._drift.observe(model, batch, answers)
        if model.outputs is not None:
            answers = answers.by_output(model.outputs)
        if self._log_waits and not log:
            headers = await self.prediction_log.keep(model, batch, answers, call)
        else:
            headers = self.prediction_log.put(model, batch, answers, call, always=log) if self._logs or log else ()
        return Prediction(model, answers, seconds, hits, headers)

    async def _loaded(self, entry: Entry, call: Call) -> LoadedModel:
        if not call.waits:
            raise MustWait
        with self._metrics.in_flight.track_inprogress():
            return await self.repository.ready(entry, self.engine.warm_up, call)

    async def _run(
        self, model: LoadedModel, batch: Batch, call: Call, mode: Mode | None, cached: bool
    ) -> tuple[Answers, float, list[bool] | None]:
        with self._metrics.in_flight.track_inprogress():
            if not cached:
                return *await self.engine.run(model, batch, call, mode), None
            answers, hits = await self._cached(model, batch, call)
            return answers, 0.0, hits

    async def _cached(self, model: LoadedModel, batch: Batch, call: Call) -> tuple[Answers, list[bool]]:
        async def compute(missing: Batch) -> Answers:
            return (await self.engine.run(model, missing, call))[0]

        return await self._cache.answers(model, batch, compute, call)

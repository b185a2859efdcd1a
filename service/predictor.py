"""The only way to a prediction: resolve the model, validate the rows, look in the cache, run."""

from collections.abc import Callable
from typing import NamedTuple

from .cache import PredictionCache
from .caller import Caller, MustWait
from .drift.counting import DriftCounter
from .engine import Engine, Mode
from .estimator import Answers
from .journal.journal import Headers, Journal
from .loaded import LoadedModel
from .metrics import Metrics
from .repository import Entry, Repository
from .rows import Batch, RowValidator
from .settings import Durability, Settings

Read = Callable[[RowValidator], Batch]


class Prediction(NamedTuple):
    """What a dialect needs to answer. `seconds`: time of the inference; `cached`: per row, only where the cache was asked.

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
        self, settings: Settings, repository: Repository, engine: Engine, journal: Journal, drift: DriftCounter, metrics: Metrics
    ) -> None:
        self.repository = repository
        self.engine = engine
        self.journal = journal
        self._drift = drift
        self._metrics = metrics
        self._cache = PredictionCache(settings.cache_size, metrics)
        self._logs = journal.durability != "off"

    async def predict(
        self, entry: Entry, read: Read, caller: Caller, *, mode: Mode | None = None, cached: bool = False, log: Durability | None = None
    ) -> Prediction:
        """Raises a Problem and nothing else; `read` takes the rows out of the decoded body. `log`: in any case, that way."""
        model, batch = entry.model if entry.state == "ready" else None, None
        waits_for_log = not caller.waits and (log or self.journal.durability) in ("spooled", "sync")
        if model is not None and not (cached or waits_for_log) and (inline_rows := self.engine.inline_rows(model, mode)):
            batch = read(model.validator)
            if len(batch.data) <= inline_rows:  # never in flight: nothing else runs meanwhile
                answered = self.engine.infer(model, batch)
                if model.distribution is not None:
                    self._drift.observe(model, batch, answered[0])
                if self._logs or log:
                    return Prediction(model, *answered, None, await self.journal.keep(model, batch, answered[0], caller, log))
                return Prediction(model, *answered)
        if not caller.waits:
            raise MustWait
        self._metrics.in_flight.inc()
        try:
            if model is None:
                model = await self.repository.ready(entry, self.engine.warm_up, caller)
            if batch is None:
                batch = read(model.validator)
            if cached:
                prediction = await self._cached(model, batch, caller)
            else:
                prediction = Prediction(model, *await self.engine.run(model, batch, caller, mode))
            if model.distribution is not None:
                self._drift.observe(model, batch, prediction.answers)
            if self._logs or log:
                headers = await self.journal.keep(model, batch, prediction.answers, caller, log)
                return prediction._replace(headers=headers)
            return prediction
        finally:
            self._metrics.in_flight.dec()

    async def _cached(self, model: LoadedModel, batch: Batch, caller: Caller) -> Prediction:
        async def compute(missing: Batch) -> Answers:
            return (await self.engine.run(model, missing, caller))[0]

        answers, cached = await self._cache.answers(model, batch, compute, caller)
        return Prediction(model, answers, cached=cached)

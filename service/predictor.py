"""The only way to a prediction: resolve the model, validate the rows, look in the cache, run."""

from collections.abc import Callable
from typing import NamedTuple

from .cache import PredictionCache
from .caller import Caller, MustWait
from .engine import Engine, Mode
from .estimator import Answers
from .loaded import LoadedModel
from .metrics import Metrics
from .repository import Entry, Repository
from .rows import Batch, RowValidator
from .settings import Settings

Read = Callable[[RowValidator], Batch]


class Prediction(NamedTuple):
    """What a dialect needs to answer. `seconds`: time of the inference; `cached`: per row, only where the cache was asked."""

    model: LoadedModel
    answers: Answers
    seconds: float = 0.0
    cached: list[bool] | None = None


class Predictor:
    """One per worker. Every dialect calls `predict`; nothing else touches a model."""

    def __init__(self, settings: Settings, repository: Repository, engine: Engine, metrics: Metrics) -> None:
        self.repository = repository
        self.engine = engine
        self._metrics = metrics
        self._cache = PredictionCache(settings.cache_size, metrics)

    async def predict(self, entry: Entry, read: Read, caller: Caller, *, mode: Mode | None = None, cached: bool = False) -> Prediction:
        """Raises a Problem and nothing else; `read` takes the rows out of the body that the dialect decoded."""
        model, batch = entry.model if entry.state == "ready" else None, None
        if model is not None and not cached and (inline_rows := self.engine.inline_rows(model, mode)):
            batch = read(model.validator)
            if len(batch.data) <= inline_rows:  # never in flight: nothing else runs meanwhile
                return Prediction(model, *self.engine.infer(model, batch))
        if not caller.waits:
            raise MustWait
        self._metrics.in_flight.inc()
        try:
            if model is None:
                model = await self.repository.ready(entry, self.engine.warm_up, caller)
            if batch is None:
                batch = read(model.validator)
            if cached:
                return await self._cached(model, batch, caller)
            return Prediction(model, *await self.engine.run(model, batch, caller, mode))
        finally:
            self._metrics.in_flight.dec()

    async def _cached(self, model: LoadedModel, batch: Batch, caller: Caller) -> Prediction:
        async def compute(missing: Batch) -> Answers:
            return (await self.engine.run(model, missing, caller))[0]

        answers, cached = await self._cache.answers(model, batch, compute, caller)
        return Prediction(model, answers, cached=cached)

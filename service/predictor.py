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
from .settings import Settings

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
        self._log_waits = journal.durability in ("spooled", "sync")

    async def predict(
        self, entry: Entry, read: Read, caller: Caller, *, mode: Mode | None = None, cached: bool = False, log: bool = False
    ) -> Prediction:
        """Raises a Problem and nothing else; `read` takes the rows out of the decoded body. `log`: in any case, in the background."""
        model, batch, answers, seconds, hits = entry.model if entry.state == "ready" else None, None, None, 0.0, None
        may_answer_at_once = not cached and (caller.waits or log or not self._log_waits)
        if model is not None and may_answer_at_once and (inline_rows := self.engine.inline_rows(model, mode)):
            batch = read(model.validator)
            if len(batch.data) <= inline_rows:  # never in flight: nothing else runs meanwhile
                answers, seconds = self.engine.infer(model, batch)
        if answers is None:
            if not caller.waits:
                raise MustWait
            with self._metrics.in_flight.track_inprogress():
                if model is None:
                    model = await self.repository.ready(entry, self.engine.warm_up, caller)
                if batch is None:
                    batch = read(model.validator)
                if cached:
                    answers, hits = await self._cached(model, batch, caller)
                else:
                    answers, seconds = await self.engine.run(model, batch, caller, mode)
        assert model is not None, "there are answers"
        assert batch is not None
        if model.distribution is not None:
            self._drift.observe(model, batch, answers)
        if model.outputs is not None:
            answers = answers.by_output(model.outputs)
        if self._log_waits and not log:
            headers = await self.journal.keep(model, batch, answers, caller)
        else:
            headers = self.journal.put(model, batch, answers, caller, always=log) if self._logs or log else ()
        return Prediction(model, answers, seconds, hits, headers)

    async def _cached(self, model: LoadedModel, batch: Batch, caller: Caller) -> tuple[Answers, list[bool]]:
        async def compute(missing: Batch) -> Answers:
            return (await self.engine.run(model, missing, caller))[0]

        return await self._cache.answers(model, batch, compute, caller)

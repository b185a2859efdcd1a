"""Answers kept per worker, keyed by model, version, digest and the exact row. Concurrent equal misses compute once."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable

from ..engine.call import Call
from ..engine.loaded_model import LoadedModel
from ..model.answers import Answers
from ..model.rows import Batch
from ..telemetry.metrics import Metrics

Key = tuple[tuple[str, str, str], bytes]
Compute = Callable[[Batch], Awaitable[Answers]]


class PredictionCache:
    """Holds at most `size` rows, the least recently used go first. Every method answers the same question, so none
    is in the key.
    """

    def __init__(self, size: int, metrics: Metrics) -> None:
        self._size = size
        self._metrics = metrics
        self._answers: OrderedDict[Key, Answers] = OrderedDict()
        self._computing: dict[Key, asyncio.Future[Answers | None]] = {}

    async def answers(
        self, model: LoadedModel, batch: Batch, compute: Compute, call: Call
    ) -> tuple[Answers, list[bool]]:
        """The answers in the order of the rows, and for each row whether it took no inference."""
        keys = [(model.key, batch.key(i)) for i in range(len(batch))]
        known: dict[Key, Answers] = {}
        for key in keys:
            if key in self._answers:
                self._answers.move_to_end(key)
                known[key] = self._answers[key]
        cached = [key in known for key in keys]
        self._metrics.cache(hits=sum(cached), misses=len(cached) - sum(cached))
        while missing := {key: i for i, key in enumerate(keys) if key not in known}:
            await self._learn(missing, known, batch, compute, call)
        return Answers.concat([known[key] for key in keys]), cached

    async def _learn(
        self, missing: dict[Key, int], known: dict[Key, Answers], batch: Batch, compute: Compute, call: Call
    ) -> None:
        """Computes the rows that nobody computes yet, and waits for those that somebody does."""
        others = {key: self._computing[key] for key in missing if key in self._computing}
        mine = [key for key in missing if key not in others]
        if mine:
            known.update(await self._compute(mine, batch.take([missing[key] for key in mine]), compute))
        for key, future in others.items():
            answer = await call.wait(future)
            if answer is not None:  # else its request failed or was given up, which says nothing about this row
                known[key] = answer

    async def _compute(self, keys: list[Key], batch: Batch, compute: Compute) -> dict[Key, Answers]:
        loop = asyncio.get_running_loop()
        futures = {key: loop.create_future() for key in keys}
        self._computing.update(futures)
        found: dict[Key, Answers] = {}
        try:
            answers = await compute(batch)
            found = {key: answers.take([i]) for i, key in enumerate(keys)}
        finally:
            for key, future in futures.items():
                del self._computing[key]
                future.set_result(found.get(key))
        self._answers.update(found)
        while len(self._answers) > self._size:
            self._answers.popitem(last=False)
        return found

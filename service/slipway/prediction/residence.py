"""Lazily loaded models come and go within a bound of memory: of those that nobody asks at the moment, the one that was
asked longest ago goes first.
"""

import asyncio
import logging

from ..engine.engine import Engine
from ..errors import DoesNotFit
from ..system.memory import megabytes, memory
from ..telemetry.metrics import Metrics
from .entry import Entry

log = logging.getLogger("slipway.models")

# Of the memory limit: what libraries, requests and a reload take is known when they do.
_SPARE = 0.15
_LOOK = 0.05  # seconds between two looks for a model that is no longer asked


class Residence:
    """Of one worker, on its event loop. A model counts with the bytes of its file, unpacked; libraries do
    not.

    `most`: bytes; None: no bound. `strict`: what is larger by itself is refused; else it may be there alone.
    """

    def __init__(self, metrics: Metrics) -> None:
        self.most: int | None = None
        self.strict = False
        self.engine: Engine | None = None  # whose models they are
        self._metrics = metrics
        self._sizes: dict[Entry, int] = {}

    def share(self, budget: int | None, left: int | None, workers: int) -> None:
        """`budget`: as it was set, for all workers; `left`: what the memory limit leaves beside the other models."""
        self.strict = budget is not None
        total = budget if budget is not None else None if left is None else max(0, left) // 4
        self.most = None if total is None else total // workers

    def require_fit(self, size: int) -> None:
        """Raises DoesNotFit."""
        if self.strict and self.most is not None and size > self.most:
            raise DoesNotFit(
                f"It has {megabytes(size)}, and each worker's share of SLIPWAY_MEMORY_BUDGET is "
                f"{megabytes(self.most)}: raise it, or have fewer workers"
            )

    async def make_room(self, size: int) -> None:
        """Waits until there is room for a model, for those that are asked stay."""
        while self.most is not None and self._used() + size > self.most and self._sizes:
            if not self.let_go():
                await asyncio.sleep(_LOOK)
        there = memory()
        if there is not None and there.free < size + there.limit * _SPARE:
            self.let_go()  # what it leaves is the next one's, though the process gives nothing back

    def took(self, entry: Entry, size: int) -> None:
        if entry.serving.lazy:
            self._sizes[entry] = size
            self._metrics.lazily_loaded(self._used())

    def let_go(self) -> bool:
        """Of one; False where there is none that nobody asks."""
        entry = min(filter(self._idle, self._sizes), key=lambda entry: entry.asked_at, default=None)
        if entry is None or self.engine is None or entry.model is None:
            return False
        self.engine.forget(entry.model)
        entry.model, entry.state = None, "unloaded"
        del self._sizes[entry]
        self._metrics.model_state(entry.name, entry.version, "unloaded")
        self._metrics.let_go(self._used())
        log.debug("let go of model %s, which was asked longest ago", entry.label)
        return True

    def _idle(self, entry: Entry) -> bool:
        if self.engine is None or entry.model is None or entry.state != "ready":
            return False
        return entry.users == 0 and self.engine.idle(entry.model)

    def _used(self) -> int:
        for entry in [entry for entry in self._sizes if entry.model is None]:  # it has failed since
            del self._sizes[entry]
        return sum(self._sizes.values())

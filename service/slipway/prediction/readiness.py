"""Asks every expected model its example rows, again and again, and puts the result on the board that /ready reads."""

import asyncio
import logging

from ..engine.engine import Engine
from ..prediction_log.log import PredictionLog
from ..system import termination
from ..system.board import Lifecycle
from .repository import Repository

log = logging.getLogger("slipway.readiness")

INTERVAL = 2.0  # seconds; a report counts for ten, so that four may be late before the pod is taken out of service


class Readiness:
    """One per worker. The questions do not queue behind predictions: overload must not make a pod unready."""

    def __init__(
        self, repository: Repository, engine: Engine, lifecycle: Lifecycle, prediction_log: PredictionLog
    ) -> None:
        self._repository = repository
        self._engine = engine
        self._lifecycle = lifecycle
        self._prediction_log = prediction_log
        self._last_error: str | None = None

    async def run(self) -> None:
        while True:
            await asyncio.sleep(INTERVAL)
            await self.report()

    async def report(self) -> None:
        self._repository.set_aside(self._lifecycle.board.aside, self._engine.warm_up)
        error = await self._first_error()
        if error != self._last_error:
            log.log(
                logging.INFO if error is None else logging.ERROR, "ready" if error is None else f"not ready: {error}"
            )
            termination.record(error or "")
            self._last_error = error
        self._lifecycle.board.report(self._lifecycle.slot, error)
        self._lifecycle.board.note(self._lifecycle.slot, self._prediction_log.note)

    async def _first_error(self) -> str | None:
        for entry in self._repository:
            if entry.expected:
                error = (
                    entry.error
                    if entry.model is None or entry.state == "failed"
                    else await self._engine.check(entry.model)
                )
                if error is not None or entry.model is None:
                    return f"{entry}: {error or 'not loaded'}"
        return self._prediction_log.trouble if self._prediction_log.durability == "sync" else None

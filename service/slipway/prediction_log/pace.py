"""Takes turns with the requests on the event loop."""

import asyncio
from time import perf_counter

TURN_SECONDS = 100e-6  # a request waits for a piece of work no longer than for another request or two


class Pace:
    """Of a long piece of work: `rest` when it is `due`.

    A turn lasts as long as the others took since the last one: a server that is flat out must not starve its log.
    """

    def __init__(self) -> None:
        self._until = perf_counter() + TURN_SECONDS

    @property
    def due(self) -> bool:
        return perf_counter() >= self._until

    async def rest(self, weight: float = 1.0) -> None:
        """`weight`: how many times as long as the others' turn the next one may last."""
        began = perf_counter()
        await asyncio.sleep(0)
        ended = perf_counter()
        self._until = ended + max(TURN_SECONDS, weight * (ended - began))

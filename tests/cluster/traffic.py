"""Load through the node port while something happens to the release behind it."""

import asyncio
from collections.abc import Callable

from tests.cluster.kubernetes import NODE_ADDRESS, ROW
from tests.load import Load, post

CONNECTIONS = 32
_ENOUGH = 20 * CONNECTIONS  # answers before, and again after, so that every connection has been used


def under_load(operation: Callable[[], object], *, pause: float = 0.02) -> Load:
    """The load of kept-alive connections that ran before, during and after the operation, each with `pause` seconds between two requests.

    The pause leaves the cluster, which may share two cores with the load, time to do what it is asked.
    """

    async def run() -> Load:
        host, port = NODE_ADDRESS.rsplit(":", 1)
        async with Load(host, int(port), post("/predict", ROW), connections=CONNECTIONS, pause=pause) as load:
            await load.until(_ENOUGH, seconds=60)
            before = load.total
            await asyncio.to_thread(operation)
            during = load.total - before
            await load.until(load.total + _ENOUGH, seconds=60)
        print(f"{before} answers before, {during} during, {load.total - before - during} after; {dict(load.failures)} failed")
        assert during > 0
        return load

    return asyncio.run(run())

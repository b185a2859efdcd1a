"""Load through the node port while something happens to the release behind it."""

import asyncio
from collections.abc import Callable

from tests.cluster.kubernetes import NODE_ADDRESS, ROW
from tests.load import Load, post

CONNECTIONS = 32
_ENOUGH = 10 * CONNECTIONS  # answers before, and again after


def under_load(operation: Callable[[], object], *, pause: float = 0.02) -> Load:
    """The load that ran before, during and after the operation: kept-alive connections that pause so many seconds between two requests.

    A release that answers everything at once would leave a cluster on two cores no time to do what it is asked.
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
        assert during > CONNECTIONS
        return load

    return asyncio.run(run())


def assert_that_nothing_failed(load: Load) -> None:
    assert (load.failures, set(load.answers)) == ({}, {200})

"""Load through the node port while something happens to the release behind it."""

import asyncio
import secrets
import ssl
from collections.abc import Callable
from typing import Any

import httpx

from tests.cluster.kubernetes import NODE_ADDRESS, ROW, Release, wait_for
from tests.support.load import Load, post

CONNECTIONS = 32
_ENOUGH = 10 * CONNECTIONS  # answers before, and again after


def under_load(
    release: Release,
    operation: Callable[[], object],
    *,
    pause: float = 0.02,
    body: Any = ROW,
    key: str | None = None,
    tls: ssl.SSLContext | None = None,
) -> Load:
    """The load that ran before, during and after the operation: kept-alive connections that pause so many seconds
    between two requests.

    A release that answers everything at once would leave a cluster on two cores no time to do what it is asked.
    """

    async def run() -> Load:
        host, port = NODE_ADDRESS.rsplit(":", 1)
        request = post("/predict", body, **headers)
        async with Load(host, int(port), request, connections=CONNECTIONS, pause=pause, tls=tls) as load:
            await load.until(_ENOUGH, seconds=60)
            before = load.total
            await asyncio.to_thread(operation)
            during = load.total - before
            await load.until(load.total + _ENOUGH, seconds=60)
        after = load.total - before - during
        print(
            f"{before} + {during} + {after} answers, {load.told_to_close} told to close; {dict(load.failures)} failed"
        )
        assert during > CONNECTIONS
        return load

    headers = {} if key is None else {"X_API_Key": key}
    # Kept-alive clients stay where they are: a pod that the node port does not lead to yet would get none.
    wait_for(lambda: _every_pod_answers(release, body, key, tls), "an answer from every pod")
    return asyncio.run(run())


def _every_pod_answers(release: Release, body: Any, key: str | None, tls: ssl.SSLContext | None) -> bool:
    mark, pods = secrets.token_hex(8), release.ready_pods()
    url = f"{'http' if tls is None else 'https'}://{NODE_ADDRESS}/predict"
    headers = {"X-Request-ID": mark} | ({} if key is None else {"X-API-Key": key})
    try:
        for _ in range(4 * len(pods)):
            httpx.post(url, json=body, headers=headers, verify=False if tls is None else tls)
    except httpx.TransportError:  # the port is new
        return False
    return all(mark in release.logs(pod, "--tail=100") for pod in pods)


def assert_that_nothing_failed(load: Load) -> None:
    assert (load.failures, set(load.answers)) == ({}, {200})


def assert_that_clients_moved_and_nothing_failed(load: Load) -> None:
    assert_that_nothing_failed(load)
    assert load.told_to_close > 0

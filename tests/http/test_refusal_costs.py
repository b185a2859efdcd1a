"""What a refused body costs, on every path and in many shapes: no more than twice the dearest valid body of its
size.
"""

import asyncio
import gc
import time
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from slipway.packing.example_models import train_and_pack
from tests.support.estimators import Wide

from .bodies import Body, Target, long_outcomes, plain_outcomes, valid_bodies, wrong_bodies
from .conftest import Serve, dump

pytestmark = pytest.mark.anyio

SIZE = 64 * 1024
LARGEST = 8 * 1024 * 1024
MOST_ROWS = 10_000
TIMES = 2  # what a refusal may cost of the dearest valid body
SECONDS = 0.005  # above it, for what any request takes and for other processes' turns
BYTES = 300_000  # above it: twice what a table of a few thousand entries takes when it grows
SAMPLED = 25  # a path like one that has had all bodies gets one in so many
PATIENCE = 30.0  # seconds
LOOKS = 3  # at what seems to take too long

FLOWERS = [[5.1, 3.5, 1.4, 0.2], [6.3, 3.3, 6.0, 2.5]]
MODELS = {
    "iris": (["sepal_length", "sepal_width", "petal_length", "petal_width"], FLOWERS),
    "passengers": (
        ["cabin_class", "sex", "age", "fare", "port", "alone"],
        [[1, "female", 30.5, 80.0, "Cherbourg", False], [3, "male", None, 7.25, None, True]],
    ),
    "wide": (None, FLOWERS),
}


class Cost(NamedTuple):
    seconds: float
    bytes: int


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Named numbers, named columns of all types, and a bare model that does not tell its width."""
    folder = tmp_path_factory.mktemp("dear") / "models"
    for name in ("iris", "passengers"):
        train_and_pack(name, folder)
    dump(folder, "wide", "1", Wide().fit())
    (folder / "models.toml").write_text("[iris]\ndefault = true\n")
    return folder


@pytest.fixture(scope="module")
async def served(serve: Serve, models: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with serve(models, access_log=False, max_rows=MOST_ROWS) as client:
        gc.collect()
        gc.freeze()  # as a server does: the collector would go through all that the other tests have made
        yield client
        gc.unfreeze()


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_no_refused_body_costs_more_than_twice_the_dearest_valid_one(served: httpx.AsyncClient) -> None:
    found, seen = [], set()
    for number, target in enumerate(targets((await served.get("/openapi.json")).json())):
        valid = [await measured(served, target, body, refused=False) for body in valid_bodies(target, SIZE, MOST_ROWS)]
        most = Cost(
            TIMES * max(cost.seconds for cost in valid) + SECONDS, TIMES * max(cost.bytes for cost in valid) + BYTES
        )
        sort = (target.kind, tuple(target.columns or ()))
        bodies = (
            wrong_bodies(target, SIZE)
            if sort not in seen
            else islice(wrong_bodies(target, SIZE), number % SAMPLED, None, SAMPLED)
        )
        seen.add(sort)
        for body in bodies:
            cost = await measured(served, target, body, refused=True, most=most)
            if cost.seconds > most.seconds or cost.bytes > most.bytes:
                found.append(f"{target.path} {body.shape}: {cost}, at most {most}")
    assert not found, "\n".join(found)


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_no_feedback_of_the_largest_size_costs_more_than_twice_a_plain_one(served: httpx.AsyncClient) -> None:
    target = Target("/feedback", "feedback", None, [])
    plain = await measured(served, target, plain_outcomes(LARGEST, MOST_ROWS), refused=False)
    most = Cost(TIMES * plain.seconds, TIMES * plain.bytes)
    costs = {
        body.shape: await measured(served, target, body, refused=True, most=most)
        for body in long_outcomes(LARGEST, MOST_ROWS)
    }
    assert not {
        shape: cost for shape, cost in costs.items() if cost.seconds > most.seconds or cost.bytes > most.bytes
    }, most


def targets(document: dict) -> Iterator[Target]:
    """Every POST path of the document; a path of a new kind has to be taught here."""
    for path, operations in document["paths"].items():
        if "post" not in operations:
            continue
        parts = path.strip("/").split("/")
        if path == "/feedback":
            yield Target(path, "feedback", None, [])
        elif path == "/predict-iris":
            yield Target(path, "one", *MODELS["iris"])
        elif parts[0] == "models":
            yield Target(path, "named", *MODELS[parts[1]])
        else:
            assert len(parts) == 1, path
            assert path.startswith("/predict"), path
            for name, (columns, rows) in MODELS.items():
                yield Target(f"{path}?model={name}", "positional", columns, rows)
    yield Target("/models/wide/predict", "named", None, FLOWERS)  # not in the document: its columns have no names


async def measured(
    client: httpx.AsyncClient, target: Target, body: Body, *, refused: bool, most: Cost | None = None
) -> Cost:
    """Time and peak memory; the quickest of several looks where one takes longer than it may."""
    seconds = await _ask(client, target, body, refused)
    for _ in range(LOOKS if most is None or seconds > most.seconds else 0):
        seconds = min(seconds, await _ask(client, target, body, refused))
    peak = await _peak(client, target, body, refused)
    for _ in range(LOOKS if most is not None and peak > most.bytes else 0):  # the log's writer may have had its turn
        peak = min(peak, await _peak(client, target, body, refused))
    return Cost(seconds, peak)


async def _peak(client: httpx.AsyncClient, target: Target, body: Body, refused: bool) -> int:
    """Bytes."""
    tracemalloc.start()
    try:
        await _ask(client, target, body, refused)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


async def _ask(client: httpx.AsyncClient, target: Target, body: Body, refused: bool) -> float:
    """The seconds that the answer took. Feedback that waits to be stored is waited for: of it, too, there is a
    bound.
    """
    deadline = time.monotonic() + PATIENCE
    while True:
        started = time.process_time()
        response = await client.post(target.path, content=body.content)
        seconds = time.process_time() - started
        if "log_full" not in response.text or time.monotonic() > deadline:
            break
        await asyncio.sleep(0.1)
    assert response.status_code < 500, (target.path, body.shape, response.text[:300])
    assert refused or response.status_code < 300, (target.path, body.shape, response.text[:300])
    return seconds

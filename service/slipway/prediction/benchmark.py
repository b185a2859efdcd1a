"""`slipway bench`: one packed model under each way of running it, measured in this process."""

import asyncio
import contextlib
import gc
import multiprocessing
import os
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import astuple, replace
from pathlib import Path

from tqdm import tqdm

from ..engine.call import Call
from ..engine.child import ModelSource
from ..engine.engine import Engine
from ..engine.loaded_model import LoadedModel
from ..engine.placement import INLINE_SECONDS, LOOP_SECONDS, place
from ..errors import ArtifactError, Problem
from ..model.answers import Answers
from ..model.artifact import Artifact, open_model
from ..model.batch import Batch, Row
from ..model.verify import Trusted
from ..settings import Execution, Settings
from ..sources.folder import models_in
from ..telemetry.metrics import Metrics
from .cache import PredictionCache
from .comparison import BUSY, CACHED, LONE, Comparison, Measurement, Way

# How the estimator is run in each way, and whether its calls may be joined.
ESTIMATOR: dict[Way, tuple[Execution, bool]] = {
    "inline": ("inline", False),
    "batched": ("thread", True),
    "thread": ("thread", False),
    "process": ("process", True),
}
ROUNDS = 3  # interleaved: what drifts on the machine meets all ways
WARM_UP = 5  # calls that are not counted
PATIENCE = 60.0  # seconds for one answer
TICK = 0.005  # seconds between two looks at the event loop

Ask = Callable[[int], Awaitable[object]]


def compare(directory: Path, settings: Settings, *, rows: int = 1, seconds: float = 30.0) -> Comparison:
    """Measures the model of a directory for about `seconds`, on its example rows, `rows` in a request.

    What is the same for all, HTTP and checking the rows, is left out.
    A progress bar on stderr where that is a terminal. Raises ArtifactError where the model cannot be measured.
    """
    found = models_in(directory)
    if len(found) > 1:
        raise ArtifactError(f"{directory} holds {len(found)} models: name one, such as {found[0]}")
    allow, trust, trusted = settings.allow_version_mismatch, settings.trust, Trusted.by(settings)
    estimator = open_model(found[0], trust=trust, allow_version_mismatch=allow, compiled=False, trusted=trusted)
    compiled = open_model(found[0], trust=trust, allow_version_mismatch=allow, trusted=trusted)
    try:
        return asyncio.run(_compare(estimator, compiled, settings, rows, seconds))
    finally:
        gc.unfreeze()


async def _compare(
    estimator: Artifact, compiled: Artifact, settings: Settings, rows: int, seconds: float
) -> Comparison:
    """`compiled`: without its form, where there is none, it is not measured."""
    metrics = Metrics(None, None)
    engine = Engine(settings, metrics)
    models: dict[Way, LoadedModel] = {}
    if compiled.form is not None:
        models["compiled"] = _loaded(compiled, "auto", True, settings, metrics)
    models |= {way: _loaded(estimator, *how, settings, metrics) for way, how in ESTIMATOR.items()}
    served = next(iter(models.values()))
    requests = _requests(estimator, rows)
    engine.start()
    try:
        ways: dict[str, Ask] = {way: _uncached(engine, model, requests) for way, model in models.items()}
        ways[CACHED] = _cached(engine, served, requests[0], metrics)
        rounds: dict[tuple[str, int], list[Measurement]] = {
            (way, callers): [] for way in ways for callers in (LONE, BUSY)
        }
        for model in models.values():
            if (error := await engine.warm_up(model)) is not None:
                raise ArtifactError(f"{estimator.name} cannot be measured: {error}")
        windows = ROUNDS * len(rounds)
        with tqdm(total=windows, desc=estimator.name, disable=None, dynamic_ncols=True) as bar:
            for _ in range(ROUNDS):
                for (way, callers), found in rounds.items():
                    bar.set_postfix_str(f"{way}, {callers} at once")
                    found.append(await _measure(ways[way], callers, seconds / windows))
                    bar.update()
        automatic = (
            "compiled"
            if "compiled" in models
            else await asyncio.to_thread(_automatic, models["batched"], rows, settings)
        )
    except Problem as problem:
        raise ArtifactError(f"{estimator.name} cannot be measured: {problem.detail}") from problem
    finally:
        await asyncio.to_thread(engine.close)
    moment = INLINE_SECONDS if rows == 1 else LOOP_SECONDS
    packed_form = compiled.manifest is not None and compiled.manifest.compiled is not None
    return Comparison(
        {key: _median(found) for key, found in rounds.items()}, automatic, moment, packed_form, tuple(compiled.notes)
    )


def _loaded(
    artifact: Artifact, execution: Execution, batching: bool, settings: Settings, metrics: Metrics
) -> LoadedModel:
    allow = settings.allow_version_mismatch
    return LoadedModel(
        artifact,
        artifact.validator(settings.max_rows),
        execution,
        metrics.inference(artifact.name, artifact.version),
        ModelSource(
            artifact.directory,
            artifact.name,
            artifact.version,
            artifact.digest,
            allow,
            artifact.form,
            settings.trust,
            Trusted.by(settings),
        ),
        batching,
    )


def _automatic(model: LoadedModel, rows: int, settings: Settings) -> Way:
    """What the server would choose by itself for requests of so many rows."""
    placement = place(replace(model, execution="auto"))
    if placement.mode == "inline" and rows <= placement.inline_rows:
        return "inline"
    return "batched" if settings.batching else "thread"


def _requests(artifact: Artifact, rows: int) -> list[list[Row]]:
    """As many different requests as there are example rows. Raises ArtifactError where there are none."""
    examples = [] if artifact.manifest is None else [example.features for example in artifact.manifest.examples]
    if not examples:
        raise ArtifactError(f"{artifact.name} has no example rows to measure with: pack it with --data")
    return [[examples[(start + i) % len(examples)] for i in range(rows)] for start in range(len(examples))]


def _uncached(engine: Engine, model: LoadedModel, requests: Sequence[list[Row]]) -> Ask:
    async def ask(number: int) -> object:
        return await engine.run(model, model.validator.build(requests[number % len(requests)]), _call())

    return ask


def _cached(engine: Engine, model: LoadedModel, request: list[Row], metrics: Metrics) -> Ask:
    """One request again and again: all but its first answer come from the cache."""
    cache = PredictionCache(len(request), metrics)

    async def compute(missing: Batch) -> Answers:
        return (await engine.run(model, missing, _call()))[0]

    async def ask(_: int) -> object:
        return await cache.answers(model, model.validator.build(request), compute, _call())

    return ask


def _call() -> Call:
    return Call.of_our_own(PATIENCE)


async def _measure(ask: Ask, callers: int, seconds: float) -> Measurement:
    for number in range(WARM_UP):
        await ask(number)
    gc.collect()
    # As the server does: the collector would go through all that was made before, the other ways' answers included.
    gc.freeze()
    latencies: list[float] = []
    delays: list[float] = []

    async def call(number: int) -> None:
        now = started
        while now < end:
            begun = now
            await asyncio.sleep(0)  # as between two requests of a server: the others have their turn
            await ask(number)
            now = time.perf_counter()
            latencies.append(now - begun)
            number += callers

    async def watch() -> None:
        while True:
            looked = time.perf_counter()
            await asyncio.sleep(TICK)
            delays.append(time.perf_counter() - looked - TICK)

    watching = asyncio.create_task(watch())
    cpu, started = _cpu_seconds(), time.perf_counter()
    end = started + seconds
    await asyncio.gather(*(call(number) for number in range(callers)))
    elapsed = time.perf_counter() - started
    cpu = (_cpu_seconds() - cpu) / len(latencies)
    await asyncio.sleep(TICK)  # the last look
    watching.cancel()
    return Measurement(
        len(latencies) / elapsed, _percentile(latencies, 50), _percentile(latencies, 99), cpu, _percentile(delays, 99)
    )


def _cpu_seconds() -> float:
    """User and system time of this process and its children; where there is no /proc, of this process."""
    ticks = 0
    for child in multiprocessing.active_children():
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()  # from the third field on
            ticks += int(fields[11]) + int(fields[12])
    return time.process_time() + ticks / os.sysconf("SC_CLK_TCK")


def _percentile(values: Sequence[float], percent: int) -> float:
    return sorted(values)[min(len(values) - 1, len(values) * percent // 100)]


def _median(rounds: Sequence[Measurement]) -> Measurement:
    return Measurement(*map(statistics.median, zip(*map(astuple, rounds), strict=True)))

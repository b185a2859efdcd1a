"""Runs a model on a batch: inline on the event loop, in a thread or in a child process. Bounded; owns nothing but its pools."""

import asyncio
import functools
import logging
import multiprocessing
import os
import statistics
import threading
import time
from collections.abc import Sequence
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

from .answers import Answers, same
from .batching import Inferred, Lane
from .caller import Caller
from .contained import kind
from .errors import InferenceFailed, Overloaded, Problem, Rejected
from .loaded import LoadedModel
from .metrics import Metrics
from .processes import infer_in_child, start_child
from .rows import Batch
from .settings import Settings

log = logging.getLogger("slipway.engine")

Mode = Literal["inline", "thread", "process"]
INLINE_SECONDS = 0.001  # a dearer row leaves the event loop: a health probe must not wait for a prediction
LOOP_SECONDS = 0.005  # a batch that would hold the loop longer than this goes to a thread, whatever one row costs
UNTIMED_ROWS = 64  # joined at most where there is no row to time the model with
MOST_JOINED_ROWS = 1000  # one-row calls never come to it; those with more rows than this must not have the others wait for them
AMORTISED = 10  # times the cost of a call: a batch that costs more saves less than a tenth by growing
WORTH_JOINING = 0.5  # of a lone row's cost: what one among others costs at most, or joining gains too little for the wait


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a model runs: inline only for batches of at most `inline_rows`; calls joined up to `joined_rows`, 0: never."""

    mode: Mode
    inline_rows: float = 0
    joined_rows: int = 0
    row_seconds: float | None = None


_UNKNOWN = Placement("thread")  # until it is warm


class Engine:
    """One per worker process. `start` after the fork: neither threads nor child processes survive one."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self._settings = settings
        self._metrics = metrics
        self._places = threading.Semaphore(settings.max_in_flight)
        self._placements: dict[LoadedModel, Placement] = {}
        self._lanes: dict[tuple[LoadedModel, bool, bool], Lane] = {}
        self._threads: ThreadPoolExecutor | None = None
        self._processes: ProcessPoolExecutor | None = None
        self._open = False

    def start(self) -> None:
        self._threads = ThreadPoolExecutor(self._settings.threads, "inference")
        self._open = True

    def close(self) -> None:
        """After the last answer: lets begun work end, drops what has not begun."""
        self._open = False
        for pool in (self._threads, self._processes):
            if pool is not None:
                pool.shutdown(wait=True, cancel_futures=True)

    def placement(self, model: LoadedModel) -> Placement | None:
        """None until the model is warm."""
        return self._placements.get(model)

    async def warm_up(self, model: LoadedModel) -> str | None:
        """Times the model and decides where it runs. Answers what is wrong with it, or None."""
        try:
            error = await asyncio.to_thread(model.check)
            if error is None and model not in self._placements:
                self._placements[model] = placement = await asyncio.to_thread(place, model)
                if placement.mode == "process":
                    await self._warm_child(model)
        except Exception as exc:  # a model may raise anything
            log.exception("model %s %s fails on its own example rows", model.name, model.version)
            return f"it fails on its own example rows: {kind(exc)}"
        return error

    async def _warm_child(self, model: LoadedModel) -> None:
        batch = model.warm_up_batch
        if batch is not None:
            await self.run(model, batch, Caller(time.monotonic() + self._settings.request_timeout))

    async def run(self, model: LoadedModel, batch: Batch, caller: Caller, mode: Mode | None = None) -> tuple[Answers, float]:
        """The answers and the seconds that the inference took.

        Raises Overloaded, DeadlineExceeded, ClientGone, RefusedByModel, InferenceFailed.
        """
        if len(batch) <= self.inline_rows(model, mode):
            return self.infer(model, batch)
        process = (mode or self._placements.get(model, _UNKNOWN).mode) == "process"
        return await self._offload(model, batch, caller, process)

    def inline_rows(self, model: LoadedModel, mode: Mode | None = None) -> float:
        """Batches of at most so many rows are answered on the event loop, without waiting for anybody."""
        return self._placements.get(model, _UNKNOWN).inline_rows if mode in (None, "inline") else 0

    def infer(self, model: LoadedModel, batch: Batch) -> tuple[Answers, float]:
        """The answers and the seconds that they took, here and now. Raises RefusedByModel, InferenceFailed."""
        try:
            answered = model.timed(batch.data)
        except Exception as exc:
            raise self._failure(model, exc) from exc
        model.count(*answered)
        return answered

    async def _offload(self, model: LoadedModel, batch: Batch, caller: Caller, process: bool) -> Inferred:
        if not self._open:
            raise Rejected("The server is shutting down")
        if not self._places.acquire(blocking=False):
            raise Overloaded(f"All {self._settings.max_in_flight} places of this worker are taken; try again shortly")
        outcome = await self._lane(model, len(batch), process).infer(batch, caller)
        if isinstance(outcome, BaseException):
            raise self._failure(model, outcome) from outcome
        return outcome

    def _lane(self, model: LoadedModel, rows: int, process: bool) -> Lane:
        most_rows = self._placements.get(model, _UNKNOWN).joined_rows
        large = 0 < most_rows < rows
        lane = self._lanes.get((model, process, large))
        if lane is None:
            submit = functools.partial(self._submit, model, process)
            width = self._width(process, large) if most_rows else self._settings.max_in_flight  # alone, they wait in the pool's own queue
            lane = Lane(submit, model.count, self._places.release, width=width, most_rows=0 if large else most_rows)
            self._lanes[model, process, large] = lane
        return lane

    def _width(self, process: bool, large: bool) -> int:
        """How many inferences of a model run at once where calls are joined. Large calls have a lane of their own, to delay no other."""
        if process:
            return self._settings.processes
        if large:
            return max(1, self._settings.threads - 1)
        # Threads that share a CPU only split one batch into several: with two a row costs a quarter more CPU, with four 60 % more at least.
        return 1

    def _submit(self, model: LoadedModel, process: bool, batches: Sequence[Batch]) -> "Future[Inferred]":
        if not self._open:
            raise Rejected("The server is shutting down")
        if not process:
            assert self._threads is not None, "start() comes first"
            return self._threads.submit(_infer, model, batches)
        data = model.validator.joined(batches)
        pool = self._process_pool()
        try:
            return pool.submit(infer_in_child, model.source, data)
        except BrokenExecutor:  # it broke while it was idle
            pool.shutdown(wait=False)
            self._processes = None
            return self._process_pool().submit(infer_in_child, model.source, data)

    def _process_pool(self) -> ProcessPoolExecutor:
        if self._processes is None:
            # spawn: a forked child would inherit OpenMP's thread pool without its threads, and hang in it.
            self._processes = ProcessPoolExecutor(
                self._settings.processes, multiprocessing.get_context("spawn"), initializer=start_child, initargs=(os.getpid(),)
            )
        return self._processes

    def _failure(self, model: LoadedModel, exc: BaseException) -> Problem:
        if isinstance(exc, Problem):
            return exc
        model.metrics.failed()
        log.error("inference failed in model %s %s", model.name, model.version, exc_info=exc)
        return InferenceFailed("Model inference failed; the server's log has the cause under this request's id")


def _infer(model: LoadedModel, batches: Sequence[Batch]) -> Inferred:
    return model.timed(model.validator.joined(batches))


def place(model: LoadedModel) -> Placement:
    """Times single rows and a batch of the example rows (medians of 5) and decides where the model runs."""
    pinned = model.execution
    examples = model.warm_up_batch
    if examples is None:  # nothing to time it with
        joined_rows = UNTIMED_ROWS if model.batching else 0
        return Placement("thread" if pinned == "auto" else pinned, float("inf") if pinned == "inline" else 0, joined_rows)
    many = examples.take([i % len(examples) for i in range(64)])
    alone, one = _timed(model, [many.take([i]) for i in range(5)])
    together, all_64 = _timed(model, [many] * 5)
    each = max((all_64 - one) / 63, 1e-8)
    joined_rows = 0
    if model.batching and each < one * WORTH_JOINING:
        if all(_equal(answers, together[0].take([i])) for i, answers in enumerate(alone)):
            joined_rows = min(int(AMORTISED * one / each), MOST_JOINED_ROWS)
        else:
            log.warning("model %s %s answers a row otherwise where others are beside it: calls are not joined", model.name, model.version)
    if pinned == "inline":
        return Placement("inline", float("inf"), row_seconds=one)
    if pinned != "auto":
        return Placement(pinned, 0, joined_rows, one)
    if one < INLINE_SECONDS:
        return Placement("inline", max(1, int((LOOP_SECONDS - one) / each)), joined_rows, one)
    return Placement("thread", 0, joined_rows, one)


def _timed(model: LoadedModel, batches: Sequence[Batch]) -> tuple[list[Answers], float]:
    """The answers, and the median of the seconds that they took."""
    answers, seconds = zip(*(model.timed(batch.data) for batch in batches), strict=True)
    return list(answers), statistics.median(seconds)


def _equal(answers: Answers, others: Answers) -> bool:
    return same(answers.predictions, others.predictions) and same(answers.probabilities, others.probabilities)

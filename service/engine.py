"""Runs a model on a batch: inline on the event loop, in a thread or in a child process. Bounded; owns nothing but its pools."""

import asyncio
import logging
import multiprocessing
import os
import statistics
import threading
import time
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal

from .caller import Caller
from .errors import ClientGone, DeadlineExceeded, InferenceFailed, Overloaded, Problem, Rejected
from .estimator import Answers
from .loaded import LoadedModel
from .metrics import Metrics
from .processes import infer_in_child, start_child
from .rows import Batch
from .settings import Settings

log = logging.getLogger("slipway.engine")

Mode = Literal["inline", "thread", "process"]
INLINE_SECONDS = 0.001  # a dearer row leaves the event loop: a health probe must not wait for a prediction
LOOP_SECONDS = 0.005  # a batch that would hold the loop longer than this goes to a thread, whatever one row costs


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a model runs; inline only for batches of at most `inline_rows`."""

    mode: Mode
    inline_rows: float = 0
    row_seconds: float | None = None


class Engine:
    """One per worker process. `start` after the fork: neither threads nor child processes survive one."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self._settings = settings
        self._metrics = metrics
        self._places = threading.Semaphore(settings.max_in_flight)
        self._placements: dict[LoadedModel, Placement] = {}
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
            return f"it fails on its own example rows: {type(exc).__name__}"
        return error

    async def _warm_child(self, model: LoadedModel) -> None:
        batch = model.warm_up_batch
        if batch is not None:
            await self.run(model, batch, Caller(time.monotonic() + self._settings.request_timeout))

    async def run(self, model: LoadedModel, batch: Batch, caller: Caller, mode: Mode | None = None) -> tuple[Answers, float]:
        """The answers and the seconds that the inference took.

        Raises Overloaded, DeadlineExceeded, ClientGone, RefusedByModel, InferenceFailed.
        """
        placement = self._placements.get(model, Placement("thread"))
        if (mode or placement.mode) == "inline" and len(batch) <= placement.inline_rows:
            try:
                answers, seconds = model.timed(batch.data)
            except Exception as exc:
                raise self._failure(model, exc) from exc
        else:
            process = (mode or placement.mode) == "process"
            answers, seconds = await self._offload(model, batch, caller, process)
        model.metrics.observe(seconds)
        model.metrics.predicted(model.class_labels(answers))
        return answers, seconds

    async def _offload(self, model: LoadedModel, batch: Batch, caller: Caller, process: bool) -> tuple[Answers, float]:
        if not self._open:
            raise Rejected("The server is shutting down")
        if not self._places.acquire(blocking=False):
            raise Overloaded(f"All {self._settings.max_in_flight} places of this worker are taken; try again shortly")
        held = True
        try:
            for last_try in (False, True):
                work = self._submit(model, batch, process)
                # The place is held until the work itself ends, not until somebody stops waiting for it.
                work.add_done_callback(lambda _: self._places.release())
                held = False
                try:
                    return await self._wait(work, caller)
                except BrokenExecutor as exc:
                    # A child died. It may have died of another request, so each request gets a second, fresh one.
                    if last_try:
                        raise self._failure(model, exc) from exc
                    if not self._places.acquire(blocking=False):
                        raise Overloaded("A child process died and its successor has no place left; try again shortly") from exc
                    held = True
                except Exception as exc:
                    raise self._failure(model, exc) from exc
            raise AssertionError("unreachable")
        finally:
            if held:
                self._places.release()

    def _submit(self, model: LoadedModel, batch: Batch, process: bool) -> "Future[tuple[Answers, float]]":
        if not process:
            assert self._threads is not None, "start() comes first"
            return self._threads.submit(model.timed, batch.data)
        pool = self._process_pool()
        try:
            return pool.submit(infer_in_child, model.source, batch.data)
        except BrokenExecutor:  # it broke while it was idle
            pool.shutdown(wait=False)
            self._processes = None
            return self._process_pool().submit(infer_in_child, model.source, batch.data)

    def _process_pool(self) -> ProcessPoolExecutor:
        if self._processes is None:
            # spawn: a forked child would inherit OpenMP's thread pool without its threads, and hang in it.
            self._processes = ProcessPoolExecutor(
                self._settings.processes, multiprocessing.get_context("spawn"), initializer=start_child, initargs=(os.getpid(),)
            )
        return self._processes

    @staticmethod
    async def _wait(work: "Future[tuple[Answers, float]]", caller: Caller) -> tuple[Answers, float]:
        waiter = asyncio.wrap_future(work)
        try:
            return await caller.wait(waiter)
        except (DeadlineExceeded, ClientGone, asyncio.CancelledError):
            work.cancel()  # drops it if it has not begun; begun work ends by itself
            waiter.add_done_callback(_retrieve)
            raise

    def _failure(self, model: LoadedModel, exc: Exception) -> Problem:
        if isinstance(exc, Problem):
            return exc
        model.metrics.failed()
        log.error("inference failed in model %s %s", model.name, model.version, exc_info=exc)
        return InferenceFailed("Model inference failed; the server's log has the cause under this request's id")


def _retrieve(waiter: "asyncio.Future[Any]") -> None:
    """Nobody waits any more: takes the exception, so that asyncio does not report it as lost."""
    if not waiter.cancelled():
        waiter.exception()


def place(model: LoadedModel) -> Placement:
    """Times one row and a batch of the example rows (median of 5) and decides where the model runs."""
    pinned = model.execution
    batch = model.warm_up_batch
    if batch is None:  # nothing to time it with
        return Placement("thread" if pinned == "auto" else pinned, float("inf") if pinned == "inline" else 0)
    many = batch.take([i % len(batch) for i in range(64)])
    one = _seconds(model, batch.take([0]))
    each = max((_seconds(model, many) - one) / 63, 1e-8)
    if pinned == "inline":
        return Placement("inline", float("inf"), one)
    if pinned != "auto":
        return Placement(pinned, row_seconds=one)
    if one < INLINE_SECONDS:
        return Placement("inline", max(1, int((LOOP_SECONDS - one) / each)), one)
    return Placement("thread", row_seconds=one)


def _seconds(model: LoadedModel, batch: Batch) -> float:
    return statistics.median(model.timed(batch.data)[1] for _ in range(5))

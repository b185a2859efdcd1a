"""Threads or child processes that compute, and since when each of their calls has been running."""

import asyncio
import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from itertools import islice
from typing import Any, ParamSpec, TypeVar

from .child import ModelSource, prepare, start_child

P = ParamSpec("P")
T = TypeVar("T")

# spawn: a forked child would inherit OpenMP's thread pool without its threads, and hang in it.
_CONTEXT = multiprocessing.get_context("spawn")
# Python's tracker of semaphores outlives a process that is killed, frees what that had, and would say so on stderr, past the log.
_QUIET = "ignore:resource_tracker"


class Pool:
    """`size` calls run at once, the others wait; they begin in the order of their submission."""

    def __init__(self, executor: ThreadPoolExecutor | ProcessPoolExecutor, size: int) -> None:
        self._executor = executor
        self._size = size
        self._prepared: Future[None] | None = None  # nothing begins before it is done
        self._lock = threading.Lock()
        self._calls: dict[Future[Any], float | None] = {}  # not done yet, in order, with the time at which they began

    @classmethod
    def of_threads(cls, size: int, name: str) -> "Pool":
        return cls(ThreadPoolExecutor(size, name), size)

    @classmethod
    def of_processes(cls, size: int, sources: Sequence[ModelSource]) -> "Pool":
        """`sources`: the models that are sure to be asked. Their loading, for which a child must start first, is no inference."""
        if _QUIET not in (filters := os.environ.get("PYTHONWARNINGS", "")):  # which the tracker begins with
            os.environ["PYTHONWARNINGS"] = ",".join(filter(None, [filters, _QUIET]))
        executor = ProcessPoolExecutor(size, _CONTEXT, initializer=start_child, initargs=(os.getpid(),))
        pool = cls(executor, size)
        pool._prepared = executor.submit(prepare, sources)
        pool._prepared.add_done_callback(pool._now_prepared)
        return pool

    async def prepare(self, source: ModelSource) -> None:
        """Returns when a child has loaded it. Raises BrokenExecutor where that has ended the child."""
        if self._prepared is not None:
            await asyncio.wrap_future(self._prepared)
        await asyncio.wrap_future(self._executor.submit(prepare, [source]))

    def submit(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> "Future[T]":
        """Raises BrokenExecutor where a child has died."""
        future = self._executor.submit(function, *args, **kwargs)
        with self._lock:
            self._calls[future] = None
            self._begin()
        future.add_done_callback(self._done)
        return future

    def overdue(self, seconds: float) -> set["Future[Any]"]:
        """The calls that have been running for longer than that."""
        before = time.monotonic() - seconds
        with self._lock:
            return {future for future, began in self._calls.items() if began is not None and began < before}

    def shutdown(self) -> None:
        """Lets begun calls end, and cancels those that wait."""
        self._executor.shutdown(wait=True, cancel_futures=True)

    def abandon(self) -> None:
        """Waits for nothing: what has begun may end, what waits is cancelled. Threads cannot be ended, and stay; children are killed."""
        if isinstance(self._executor, ProcessPoolExecutor):
            for child in multiprocessing.active_children():
                if isinstance(child, _CONTEXT.Process):
                    child.kill()
            self._executor.shutdown(wait=False)  # all its calls fail now, for their children are dead
        else:
            self._executor.shutdown(wait=False, cancel_futures=True)

    def _done(self, future: "Future[Any]") -> None:
        with self._lock:
            del self._calls[future]
            self._begin()

    def _now_prepared(self, _: "Future[None]") -> None:
        with self._lock:
            self._begin()

    def _begin(self) -> None:
        if self._prepared is not None and not self._prepared.done():
            return
        for future in islice(self._calls, self._size):
            if self._calls[future] is None:
                self._calls[future] = time.monotonic()

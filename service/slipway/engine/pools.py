"""Threads or child processes that compute, and since when each of their calls has been running."""

import asyncio
import contextvars
import os
import signal
import threading
import time
from collections.abc import Callable, MutableMapping, Sequence
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from itertools import islice
from multiprocessing.connection import wait
from multiprocessing.context import SpawnContext, SpawnProcess
from typing import Any, NamedTuple, ParamSpec, TypeVar

from .child import ModelSource, prepare, start_child

P = ParamSpec("P")
T = TypeVar("T")

CLOSING = 2.0  # seconds for begun calls and children to end, when nobody waits for an answer any more
# Python's tracker of semaphores outlives a process that is killed, frees what that had, and would say so on stderr,
# past the log.
_QUIET = "ignore:resource_tracker"
# By the kernel for memory, or by people: no model does so.
_SENT_BY_OTHERS = frozenset({signal.SIGKILL, signal.SIGTERM})


class NotReturned(Exception):
    """It is not waited for any longer, and may run on."""


class Death(NamedTuple):
    """Of a child, while a call was with it. `alone`: no other call was with any child; `by_others`: somebody killed
    it; `how`: a phrase.
    """

    alone: bool
    by_others: bool
    how: str


Deaths = MutableMapping["Future[Any]", Death]


async def in_thread_of_its_own(seconds: float, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What it returns. Raises NotReturned after so many seconds; the thread cannot be ended, and delays no exit."""
    future: Future[T] = Future()
    context = contextvars.copy_context()

    def run() -> None:
        try:
            future.set_result(context.run(function, *args, **kwargs))
        except BaseException as error:  # of a model, which may raise anything
            future.set_exception(error)

    threading.Thread(target=run, daemon=True, name=getattr(function, "__name__", "call")).start()
    done, _ = await asyncio.wait([asyncio.wrap_future(future)], timeout=seconds)
    if not done:
        raise NotReturned
    return future.result()


class _Children(SpawnContext):
    """Remembers them. spawn: a forked child would inherit OpenMP's thread pool without its threads, and hang in it."""

    def __init__(self) -> None:
        self.all: list[SpawnProcess] = []

    def Process(self, *args: Any, **kwargs: Any) -> SpawnProcess:  # type: ignore[override]
        self.all.append(child := SpawnProcess(*args, **kwargs))
        return child

    def ends(self) -> list[int]:
        """The exit codes of those that have ended; a signal is negative."""
        for child in (begun := [child for child in self.all if child.pid is not None]):
            if wait([child.sentinel], timeout=0):  # which closes a moment before the code can be had
                child.join(CLOSING)
        return [code for child in begun if (code := child.exitcode) is not None]

    def kill(self) -> None:
        """With whatever they have started: each leads a group."""
        for child in self.all:
            if child.pid is None:
                continue
            try:
                os.killpg(child.pid, signal.SIGKILL)
            except ProcessLookupError:  # all have ended, or it has not come to lead one yet
                child.kill()


class Pool:
    """`size` calls run at once, the others wait; they begin in the order of their submission."""

    def __init__(self, executor: ThreadPoolExecutor | ProcessPoolExecutor, size: int) -> None:
        self._executor = executor
        self._size = size
        self._children: _Children | None = None
        self._deaths: Deaths = {}
        self._prepared: Future[None] | None = None  # nothing begins before it is done
        self._preparing_since = time.monotonic()
        self._lock = threading.Lock()
        self._calls: dict[Future[Any], float | None] = {}  # not done yet, in order, with the time at which they began
        self.broken = False  # a child has died or was killed: no call is taken any more
        self.unprepared = False  # it died while it loaded what was to be prepared

    @classmethod
    def of_threads(cls, size: int, name: str) -> "Pool":
        return cls(ThreadPoolExecutor(size, name), size)

    @classmethod
    def of_processes(cls, size: int, sources: Sequence[ModelSource], deaths: Deaths) -> "Pool":
        """`sources`: the models that are sure to be asked. Their loading, for which a child must start first, is no
        inference.

        `deaths` gets the calls that were with a child when one died; those that waited fail too, and are not in it.
        """
        if _QUIET not in (filters := os.environ.get("PYTHONWARNINGS", "")):  # which the tracker begins with
            os.environ["PYTHONWARNINGS"] = ",".join(filter(None, [filters, _QUIET]))
        children = _Children()
        executor = ProcessPoolExecutor(size, children, initializer=start_child, initargs=(os.getpid(),))
        pool = cls(executor, size)
        pool._children, pool._deaths = children, deaths
        pool._prepare(sources)
        return pool

    def _prepare(self, sources: Sequence[ModelSource]) -> "Future[None]":
        future = self._executor.submit(prepare, sources)
        self._prepared, self._preparing_since = future, time.monotonic()
        future.add_done_callback(self._now_prepared)
        return future

    async def prepare(self, source: ModelSource, seconds: float) -> None:
        """Returns when a child has loaded it. Raises BrokenExecutor where that has ended the child, NotReturned
        where it takes longer.
        """
        try:
            async with asyncio.timeout(seconds):
                if self._prepared is not None:
                    await asyncio.wrap_future(self._prepared)
                await asyncio.wrap_future(self._prepare([source]))
        except TimeoutError:
            raise NotReturned from None

    def submit(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> "Future[T]":
        """Raises BrokenExecutor where a child has died."""
        future = self._executor.submit(function, *args, **kwargs)
        with self._lock:
            self._calls[future] = None
            self._begin()
        future.add_done_callback(self._done)
        return future

    @property
    def idle(self) -> bool:
        return not self._calls

    def overdue(self, seconds: float) -> set["Future[Any]"]:
        """The calls that have been running for longer than that."""
        before = time.monotonic() - seconds
        with self._lock:
            return {future for future, began in self._calls.items() if began is not None and began < before}

    def stuck(self, seconds: float) -> bool:
        """Whether a child has been loading models for longer than that."""
        return (
            self._prepared is not None
            and not self._prepared.done()
            and time.monotonic() - self._preparing_since > seconds
        )

    def shutdown(self, until: float) -> None:
        """Cancels what waits; what has begun may end until then, a time of time.monotonic(). Children are killed
        after it.
        """
        closing = threading.Thread(
            target=self._executor.shutdown, kwargs={"wait": True, "cancel_futures": True}, daemon=True
        )
        closing.start()
        closing.join(max(0.0, until - time.monotonic()))
        if self._children is not None:
            self._kill()
            closing.join(CLOSING)  # at once, now that they are dead

    def abandon(self) -> None:
        """Waits for nothing: what has begun may end, what waits is cancelled. Threads cannot be ended, and stay;
        children are killed.
        """
        if self._children is not None:
            self._kill()
            self._executor.shutdown(wait=False)  # all its calls fail now, for their children are dead
        else:
            self._executor.shutdown(wait=False, cancel_futures=True)

    def _kill(self) -> None:
        assert self._children is not None
        with self._lock:
            self.broken = True  # by us: no call is to blame
        self._children.kill()

    def _done(self, future: "Future[Any]") -> None:
        with self._lock:
            if self._children is not None and not self.broken and _broke(future):
                self.broken = True
                begun = [call for call, began in self._calls.items() if began is not None]
                death = _death(self._children.ends(), alone=len(begun) == 1)
                self._deaths.update(dict.fromkeys(begun, death))
            del self._calls[future]
            self._begin()

    def _now_prepared(self, future: "Future[None]") -> None:
        with self._lock:
            if not self.broken and _broke(future):
                self.broken = self.unprepared = True
            self._begin()

    def _begin(self) -> None:
        if self.broken or (self._prepared is not None and not self._prepared.done()):
            return
        for future in islice(self._calls, self._size):
            if self._calls[future] is None:
                self._calls[future] = time.monotonic()


def _broke(future: "Future[Any]") -> bool:
    return not future.cancelled() and isinstance(future.exception(), BrokenExecutor)


def _death(codes: Sequence[int], *, alone: bool) -> Death:
    """`codes`: of the children that have ended, of which there is one where nobody else has ended another."""
    if not codes:
        return Death(alone, False, "it ended")
    code = codes[-1]
    if code >= 0:
        return Death(alone, False, f"it exited with code {code}")
    return Death(alone, -code in _SENT_BY_OTHERS, f"it was ended by signal {-code} ({signal.strsignal(-code)})")

"""Runs a model on a batch: inline on the event loop, in a thread or in a child process. Bounded; owns nothing but
its pools.
"""

import asyncio
import functools
import logging
import threading
import time
from collections.abc import Sequence
from concurrent.futures import BrokenExecutor, Future
from weakref import WeakKeyDictionary

from ..errors import InferenceFailed, Overloaded, Problem, Rejected
from ..model.answers import Answers
from ..model.contained import contained, described, kind
from ..model.rows import Batch
from ..settings import Settings
from ..system.board import Board, Lifecycle
from ..telemetry.metrics import Metrics
from ..telemetry.request_id import request_id
from .batching import Inferred, Job, Lane
from .call import Call
from .child import ModelSource, infer_in_child
from .loaded_model import LoadedModel
from .marks import Doing, Marks, Reason
from .placement import Mode, Placement, place
from .pools import CLOSING, Death, Deaths, NotReturned, Pool, in_thread_of_its_own

log = logging.getLogger("slipway.engine")

# Seconds: nobody waits for an inference longer than a request's deadline; one that takes this much longer is taken for
# hung.
GRACE = 2.0
_LOOK = 1.0  # seconds between two looks for those
_WARM_UP = 5.0  # seconds that a warm-up is given at least: what is asked for the first time is slow
_UNKNOWN = Placement("thread")  # until it is warm


class Engine:
    """One per worker process. `start` after the fork: neither threads nor child processes survive one."""

    def __init__(self, settings: Settings, metrics: Metrics, marks: Marks | None = None) -> None:
        self._settings = settings
        self._metrics = metrics
        self._marks = marks or Marks(Lifecycle(Board(None, slots=1)))
        self._places = threading.Semaphore(settings.max_in_flight)
        self._placements: dict[LoadedModel, Placement] = {}
        self._lanes: dict[tuple[LoadedModel, bool, bool], Lane] = {}
        self._threads: Pool | None = None
        self._processes: Pool | None = None
        # One child for those of whom one has ended a child of several: the next death is its own.
        self._trials: Pool | None = None
        self._deaths: Deaths = WeakKeyDictionary()
        self._in_children: list[ModelSource] = []  # the models that a child has loaded without harm
        self._checks: Pool | None = None  # a thread of their own: overload must not make a pod unready
        self._open = False

    def start(self) -> None:
        self._marks.start()
        self._threads = Pool.of_threads(self._settings.threads, "inference")
        self._checks = Pool.of_threads(1, "check")
        self._open = True

    def close(self) -> None:
        """After the last answer: lets begun work end for a moment, drops what has not begun."""
        self._open = False
        until = time.monotonic() + CLOSING
        for pool in (self._threads, self._processes, self._trials, self._checks):
            if pool is not None:
                pool.shutdown(until)
        # What is left of them is cleared away at once.
        self._threads = self._processes = self._trials = self._checks = None

    def placement(self, model: LoadedModel) -> Placement | None:
        """None until the model is warm."""
        return self._placements.get(model)

    def idle(self, model: LoadedModel) -> bool:
        """Whether it can be forgotten: nothing of it is in hand. A child process never lets go of one."""
        lanes = [lane for (owner, _, _), lane in self._lanes.items() if owner is model]
        return all(lane.idle for lane in lanes) and self._placements.get(model, _UNKNOWN).mode != "process"

    def forget(self, model: LoadedModel) -> None:
        self._placements.pop(model, None)
        for key in [key for key in self._lanes if key[0] is model]:
            del self._lanes[key]

    async def warm_up(self, model: LoadedModel) -> str | None:
        """Times the model and decides where it runs. Answers what is wrong with it, or None."""
        longest = max(self._longest, _WARM_UP)
        try:
            error, placement = await in_thread_of_its_own(longest, self._try_out, model)
            if placement is not None:
                self._placements[model] = placement
                if placement.mode == "process":
                    return await self._warm_child(model)
        except NotReturned:
            self._lost(model, "check", (), "hung", f"it has not returned for {longest:.0f} s, and is not waited for")
            self._marks.wear_out()
            return f"it has not answered its own example rows for {longest:.0f} s"
        except Exception as exc:
            error = model.artifact.failing(kind(exc))
            log.exception("model %s %s: %s", model.name, model.version, error)
            return error
        return error

    def _try_out(self, model: LoadedModel) -> tuple[str | None, Placement | None]:
        """What is wrong with its answers, and where it is to run; None where that is known."""
        with self._marks.held(model.label, "check"), contained:
            error = model.check()
            return error, place(model) if error is None and model not in self._placements else None

    async def check(self, model: LoadedModel) -> str | None:
        """What is wrong with its answers to the example rows, or None. Does not wait for predictions."""
        placement = self._placements.get(model)
        try:
            if placement is not None and placement.mode == "inline":
                return self._check(model)
            return await self._check_in_thread(model)
        except Exception as exc:
            return model.artifact.failing(described(exc))

    def _check(self, model: LoadedModel) -> str | None:
        with self._marks.held(model.label, "check"):
            return model.check()

    async def _check_in_thread(self, model: LoadedModel) -> str | None:
        assert self._checks is not None, "start() comes first"
        checking = asyncio.wrap_future(self._checks.submit(self._check, model))
        done, _ = await asyncio.wait([checking], timeout=self._longest)
        if done:
            return checking.result()
        self._checks.abandon()
        self._checks = Pool.of_threads(1, "check")
        self._give_up(model, "check", ())
        self._marks.wear_out()
        return f"it has not answered its own example rows for {self._longest:.0f} s"

    async def _warm_child(self, model: LoadedModel) -> str | None:
        """What is wrong with it there, or None."""
        batch, longest = model.warm_up_batch, self._settings.load_timeout
        pool = self._process_pool()
        try:
            await pool.prepare(model.source, longest)
        except (BrokenExecutor, NotReturned) as exc:
            self._replace(pool)  # the next model is to find another one
            if isinstance(exc, NotReturned):
                self._lost(
                    model, "load", (), "hung", f"a child process has not loaded it for {longest:.0f} s, and is killed"
                )
                return f"a child process has not loaded it within {longest:.0f} s"
            self._lost(model, "load", (), "died", "it ended the child process that loaded it")
            return "it ends the child process that loads it"
        self._in_children.append(model.source)
        if batch is not None:
            await self.run(model, batch, Call.of_our_own(self._settings.request_timeout))
        return None

    async def run(
        self, model: LoadedModel, batch: Batch, call: Call, mode: Mode | None = None
    ) -> tuple[Answers, float]:
        """The answers and the seconds that the inference took.

        Raises Overloaded, DeadlineExceeded, ClientGone, RefusedByModel, InferenceFailed.
        """
        if len(batch) <= self.inline_rows(model, mode):
            return self.infer(model, batch)
        process = (mode or self._placements.get(model, _UNKNOWN).mode) == "process"
        return await self._offload(model, batch, call, process)

    def inline_rows(self, model: LoadedModel, mode: Mode | None = None) -> float:
        """Batches of at most so many rows are answered on the event loop, without waiting for anybody."""
        return self._placements.get(model, _UNKNOWN).inline_rows if mode in (None, "inline") else 0

    def infer(self, model: LoadedModel, batch: Batch) -> tuple[Answers, float]:
        """The answers and the seconds that they took, here and now. Raises RefusedByModel, InferenceFailed."""
        mark = self._marks.inline
        # Not by its methods: their calls cost as much as what they do, and every request pays.
        memory, at = mark.memory, mark.at
        text = f"{model.predicting}{request_id.get()}\n".encode()
        memory[at : at + len(text)] = text
        try:
            answered = model.timed(batch.data)
            model.count(*answered)
        except Exception as exc:
            raise self._failure(model, exc) from exc
        finally:
            memory[at] = 0
        return answered

    async def _offload(self, model: LoadedModel, batch: Batch, call: Call, process: bool) -> Inferred:
        if not self._open:
            raise Rejected("The server is shutting down")
        if not self._places.acquire(blocking=False):
            raise Overloaded(f"All {self._settings.max_in_flight} places of this worker are taken; try again shortly")
        outcome = await self._lane(model, len(batch), process).infer(batch, call)
        if isinstance(outcome, BaseException):
            raise self._failure(model, outcome) from outcome
        return outcome

    def _lane(self, model: LoadedModel, rows: int, process: bool) -> Lane:
        most_rows = self._placements.get(model, _UNKNOWN).joined_rows
        large = 0 < most_rows < rows
        lane = self._lanes.get((model, process, large))
        if lane is None:
            submit = functools.partial(self._submit, model, process)
            # Alone, they wait in the pool's own queue.
            width = self._width(process, large) if most_rows else self._settings.max_in_flight
            most = 0 if large else most_rows
            blame = functools.partial(self._blame, model)
            deaths = self._deaths if process else None
            lane = Lane(
                submit, model.count, self._places.release, width=width, most_rows=most, deaths=deaths, blame=blame
            )
            self._lanes[model, process, large] = lane
        return lane

    def _width(self, process: bool, large: bool) -> int:
        """How many inferences of a model run at once where calls are joined. Large calls have a lane of their own,
        to delay no other.
        """
        if process:
            return self._settings.processes
        if large:
            return max(1, self._settings.threads - 1)
        # Threads that share a CPU only split one batch into several: with two a row costs a quarter more CPU, with four
        # 60 % more at least.
        return 1

    def _submit(self, model: LoadedModel, process: bool, jobs: Sequence[Job]) -> "Future[Inferred]":
        if not self._open:
            raise Rejected("The server is shutting down")
        if not process:
            assert self._threads is not None, "start() comes first"
            return self._threads.submit(self._infer, model, jobs)
        data = model.validator.joined([job.batch for job in jobs])
        which = (
            self._trial_pool if self._settings.processes > 1 and any(job.died for job in jobs) else self._process_pool
        )
        pool = which()
        try:
            return pool.submit(infer_in_child, model.source, data)
        except BrokenExecutor:  # it broke while it was idle, or a moment ago
            self._replace(pool)
            return which().submit(infer_in_child, model.source, data)

    def _infer(self, model: LoadedModel, jobs: Sequence[Job]) -> Inferred:
        with self._marks.held(model.label, "predict", [job.request for job in jobs]):
            return model.timed(model.validator.joined([job.batch for job in jobs]))

    def _process_pool(self) -> Pool:
        if self._processes is None:
            self._processes = Pool.of_processes(self._settings.processes, list(self._in_children), self._deaths)
        return self._processes

    def _trial_pool(self) -> Pool:
        if self._trials is None:
            self._trials = Pool.of_processes(1, (), self._deaths)
        return self._trials

    def _replace(self, pool: Pool) -> None:
        """Another one takes its place, and starts its children now: that takes seconds."""
        pool.abandon()
        if pool.unprepared:
            log.error("a child process has ended while it loaded models: each is loaded when it is asked")
            self._in_children.clear()
        if self._trials is pool:
            self._trials = None
        elif self._processes is pool:
            self._processes = None
            self._process_pool()

    async def watch(self) -> None:
        """For ever: looks for inferences that do not return, and gives them up."""
        while True:
            await asyncio.sleep(_LOOK)
            if self._threads is not None and (hung := self._threads.overdue(self._longest)):
                lost, self._threads = self._threads, Pool.of_threads(self._settings.threads, "inference")
                self._marks.wear_out()  # a thread cannot be ended; with the worker it can
                lost.abandon()
                self._lose(hung)
            for pool in (self._processes, self._trials):
                if pool is not None and (hung := pool.overdue(self._longest)):
                    self._replace(pool)
                    self._lose(hung)
                elif pool is not None and pool.stuck(self._settings.load_timeout + GRACE):
                    log.error(
                        "a child process has not loaded its models for %.0f s: each is loaded when it is asked",
                        self._settings.load_timeout,
                    )
                    self._in_children.clear()
                    self._replace(pool)
            if self._trials is not None and self._trials.idle:
                self._trials.abandon()
                self._trials = None

    @property
    def _longest(self) -> float:
        return self._settings.request_timeout + GRACE

    def _lose(self, hung: set["Future[Inferred]"]) -> None:
        for (model, _, _), lane in list(self._lanes.items()):
            if jobs := lane.lose(hung):
                self._give_up(model, "predict", [job.request for job in jobs])

    def _give_up(self, model: LoadedModel, doing: Doing, requests: Sequence[str]) -> None:
        self._lost(
            model, doing, requests, "hung", f"it has not returned for {self._longest:.0f} s, and is not waited for"
        )

    def _blame(self, model: LoadedModel, jobs: Sequence[Job], death: Death) -> None:
        """It has ended a child process, and nobody else was there."""
        self._lost(model, "predict", [job.request for job in jobs], "died", f"it ended its child process; {death.how}")
        if self._open and self._processes is not None and self._processes.broken:
            self._replace(self._processes)

    def _lost(self, model: LoadedModel, doing: Doing, requests: Sequence[str], reason: Reason, how: str) -> None:
        self._metrics.inference_lost(model.name, model.version, reason)
        log.error("model %s (%s): %s", model.label, doing, how, extra={"request_ids": requests})
        self._marks.given_up(model.label, doing, requests, reason)

    def _failure(self, model: LoadedModel, exc: BaseException) -> Problem:
        if isinstance(exc, Problem):
            return exc
        model.metrics.failed()
        log.error("inference failed in model %s %s", model.name, model.version, exc_info=exc)
        return InferenceFailed("Model inference failed; the server's log has the cause under this request's id")

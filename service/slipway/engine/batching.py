"""Calls that arrive while their model is busy become its next batch. No timer: an idle model takes what one turn of
the loop brings.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Container, Mapping, Sequence
from concurrent.futures import BrokenExecutor, Future
from dataclasses import dataclass, field
from typing import Any

from ..errors import InferenceFailed
from ..model.estimator import Answers
from ..model.rows import Batch
from ..telemetry.request_id import request_id
from .call import Call
from .pools import Death

Inferred = tuple[Answers, float]  # with the seconds that the inference took
Submit = Callable[[Sequence["Job"]], "Future[Inferred]"]


@dataclass(eq=False, slots=True)
class Job:
    """Somebody's rows, and what becomes of them: a failure is a result, too, for StopIteration is no exception that
    a future takes.
    """

    batch: Batch
    outcome: "asyncio.Future[Inferred | BaseException]"
    inference: "Inference | None" = None  # that its rows are part of now
    died: bool = False  # a child process has died of it, or of what was with a child beside it
    request: str = field(default_factory=request_id.get)  # the id of the request that it is part of


@dataclass(eq=False, slots=True)
class Inference:
    """One call of the model, for the rows of one or more callers."""

    jobs: list[Job]
    work: "Future[Inferred] | None" = None
    lost: bool = False  # it does not return; nobody waits for it any more


class Lane:
    """The calls of one model that run in one way, begun in the order of their arrival. Lives on the event loop.

    At most `width` inferences at once. One that begins takes with it all that wait, up to `most_rows` rows; 0: nothing
    is joined. `count` is told of each inference; `release` once of each job, when its rows are not and will not be with
    the model.
    `deaths`: of child processes, by who was with them, None: it runs in none; `blame` is told of jobs that have surely
    ended one.
    """

    def __init__(
        self,
        submit: Submit,
        count: Callable[[Answers, float], None],
        release: Callable[[], None],
        *,
        width: int,
        most_rows: int,
        deaths: "Mapping[Future[Any], Death] | None" = None,
        blame: Callable[[Sequence[Job], Death], None] = lambda *_: None,
    ) -> None:
        self._submit = submit
        self._count = count
        self._release = release
        self._deaths = deaths
        self._blame = blame
        self._width = width
        self._most_rows = most_rows
        self._waiting: dict[Job, None] = {}  # in the order of arrival
        self._again: deque[list[Job]] = deque()  # parts of inferences that failed
        self._trying_again = False
        self._running: set[Inference] = set()

    async def infer(self, batch: Batch, call: Call) -> Inferred | BaseException:
        """The answers to these rows, or why there are none. Raises DeadlineExceeded and ClientGone."""
        job = Job(batch, asyncio.get_running_loop().create_future())
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._begin)  # with all that have arrived in this turn of the loop
        self._waiting[job] = None
        try:
            return await call.wait(job.outcome)
        finally:
            if not job.outcome.done():
                self._give_up(job)

    @property
    def idle(self) -> bool:
        return not (self._waiting or self._again or self._running)

    def _give_up(self, job: Job) -> None:
        """Its rows go no further, if they have not begun: what the model has in hand keeps its place until it ends."""
        job.outcome.cancel()
        inference = job.inference
        if inference is None:
            self._waiting.pop(job, None)
            self._release()
        elif inference.work is not None and all(mate.outcome.done() for mate in inference.jobs):
            inference.work.cancel()  # it may still wait for a thread

    def _begin(self) -> None:
        while jobs := self._next():
            self._start(Inference(jobs))

    def _start(self, inference: Inference) -> None:
        loop = asyncio.get_running_loop()
        for job in inference.jobs:
            job.inference = inference
        try:
            inference.work = self._submit(inference.jobs)
        except Exception as error:
            self._failed(inference, error)
        else:
            self._running.add(inference)
            inference.work.add_done_callback(lambda _: loop.call_soon_threadsafe(self._end, inference))

    def _next(self) -> list[Job]:
        """Who begins now: a part of what failed, else the first who waits and all behind it that fit. Empty: nobody."""
        # What failed is tried again with nothing beside it: a child process that dies takes everybody's work with it.
        if len(self._running) >= (1 if self._again or self._trying_again else self._width):
            return []
        self._trying_again = False
        while self._again:
            jobs = [job for job in self._again.popleft() if not job.outcome.done()]
            if jobs:
                self._trying_again = True
                return jobs
        jobs = self._fitting() if self._most_rows and len(self._waiting) > 1 else list(self._waiting)[:1]
        for job in jobs:
            del self._waiting[job]
        return jobs

    def _fitting(self) -> list[Job]:
        """Who does not fit stays where it is and is overtaken; it has lost nothing by it but the time of a few rows."""
        first, *others = self._waiting
        form, rows, jobs = first.batch.form, len(first.batch), [first]
        for job in others:
            if rows + len(job.batch) <= self._most_rows and job.batch.form == form:
                rows += len(job.batch)
                jobs.append(job)
        return jobs

    def _end(self, inference: Inference) -> None:
        assert inference.work is not None
        if inference.lost:
            return
        self._running.remove(inference)
        if inference.work.cancelled():
            self._put_back(inference)
            return
        try:
            answers, seconds = inference.work.result()
            self._count(answers, seconds)
            parts = _split(answers, [len(job.batch) for job in inference.jobs])
        except BaseException as error:  # not raised here, but by a model, which may raise anything
            self._failed(inference, error)
        else:
            for job, part in zip(inference.jobs, parts, strict=True):
                self._settle(job, (part, seconds))
        self._begin()

    def _put_back(self, inference: Inference) -> None:
        """It never began: everybody who waited for it has given up, or its pool was."""
        waiting, self._waiting = self._waiting, {}
        for job in inference.jobs:
            job.inference = None
            if job.outcome.done():
                self._release()
            else:
                self._waiting[job] = None
        self._waiting |= waiting
        self._begin()

    def lose(self, works: Container["Future[Inferred] | None"]) -> list[Job]:
        """Waits no longer for these inferences, which do not return; answers the jobs that they were for, if any are
        this lane's.
        """
        lost = [inference for inference in self._running if inference.work in works]
        for inference in lost:
            inference.lost = True
            self._running.remove(inference)
            for job in inference.jobs:
                self._settle(job, InferenceFailed("Model inference did not return in time"))
        self._begin()
        return [job for inference in lost for job in inference.jobs]

    def _failed(self, inference: Inference, error: BaseException) -> None:
        """One of several callers' rows may be to blame: tries the halves, and halves of halves, until the guilty one
        is alone.
        """
        left = []
        for job in inference.jobs:
            if job.outcome.done():
                self._settle(job, error)
            else:
                job.inference = None
                left.append(job)
        if self._deaths is not None and inference.work is not None and isinstance(error, BrokenExecutor):
            self._bereaved(inference, left, error, self._deaths.get(inference.work))
        elif len(inference.jobs) > 1 and left:
            size = (len(left) + 1) // 2
            self._again.extendleft(reversed([left[i : i + size] for i in range(0, len(left), size)]))
        elif left:
            self._settle(left[0], error)

    def _bereaved(self, inference: Inference, left: Sequence[Job], error: BaseException, death: Death | None) -> None:
        """A child has died: of this inference for certain, perhaps, or (None) before it had begun."""
        if death is None:
            self._waiting = dict.fromkeys(left) | self._waiting
            return
        certain = death.alone and len(inference.jobs) == 1
        if certain and not death.by_others:
            self._blame(inference.jobs, death)
        for job in left:
            if certain and (job.died or not death.by_others):
                self._settle(job, error)
            else:
                job.died = True
                self._again.append([job])  # each by itself: every child that dies costs a start

    def _settle(self, job: Job, outcome: Inferred | BaseException) -> None:
        job.inference = None
        if not job.outcome.done():
            job.outcome.set_result(outcome)
        self._release()


def _split(answers: Answers, sizes: Sequence[int]) -> list[Answers]:
    if len(sizes) == 1:
        return [answers]
    parts, start = [], 0
    for size in sizes:
        parts.append(answers.take(range(start, start + size)))
        start += size
    return parts

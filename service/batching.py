"""Calls that arrive while their model is busy become its next batch. No timer: an idle model takes what one turn of the loop brings."""

import asyncio
from collections import deque
from collections.abc import Callable, Container, Sequence
from concurrent.futures import BrokenExecutor, Future
from dataclasses import dataclass, field

from .caller import Caller
from .errors import InferenceFailed
from .estimator import Answers
from .logs import request_id
from .rows import Batch

Inferred = tuple[Answers, float]  # with the seconds that the inference took
Submit = Callable[[Sequence["Call"]], "Future[Inferred]"]


@dataclass(eq=False, slots=True)
class Call:
    """Somebody's rows, and what becomes of them: a failure is a result, too, for StopIteration is no exception that a future takes."""

    batch: Batch
    outcome: "asyncio.Future[Inferred | BaseException]"
    inference: "Inference | None" = None  # that its rows are part of now
    died: bool = False  # a child process has died of it, or beside it
    request: str = field(default_factory=request_id.get)  # the id of the request that it is part of


@dataclass(eq=False, slots=True)
class Inference:
    """One call of the model, for the rows of one or more callers."""

    calls: list[Call]
    work: "Future[Inferred] | None" = None
    lost: bool = False  # it does not return; nobody waits for it any more


class Lane:
    """The calls of one model that run in one way, begun in the order of their arrival. Lives on the event loop.

    At most `width` inferences at once. One that begins takes with it all that wait, up to `most_rows` rows; 0: nothing is joined.
    `count` is told of each inference; `release` once of each call, when its rows are not and will not be with the model.
    """

    def __init__(
        self, submit: Submit, count: Callable[[Answers, float], None], release: Callable[[], None], *, width: int, most_rows: int
    ) -> None:
        self._submit = submit
        self._count = count
        self._release = release
        self._width = width
        self._most_rows = most_rows
        self._waiting: dict[Call, None] = {}  # in the order of arrival
        self._again: deque[list[Call]] = deque()  # parts of inferences that failed
        self._trying_again = False
        self._running: set[Inference] = set()

    async def infer(self, batch: Batch, caller: Caller) -> Inferred | BaseException:
        """The answers to these rows, or why there are none. Raises DeadlineExceeded and ClientGone."""
        call = Call(batch, asyncio.get_running_loop().create_future())
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._begin)  # with all that have arrived in this turn of the loop
        self._waiting[call] = None
        try:
            return await caller.wait(call.outcome)
        finally:
            if not call.outcome.done():
                self._give_up(call)

    def _give_up(self, call: Call) -> None:
        """Its rows go no further, if they have not begun: what the model has in hand keeps its place until it ends."""
        call.outcome.cancel()
        inference = call.inference
        if inference is None:
            self._waiting.pop(call, None)
            self._release()
        elif inference.work is not None and all(mate.outcome.done() for mate in inference.calls):
            inference.work.cancel()  # it may still wait for a thread

    def _begin(self) -> None:
        while calls := self._next():
            self._start(Inference(calls))

    def _start(self, inference: Inference) -> None:
        loop = asyncio.get_running_loop()
        for call in inference.calls:
            call.inference = inference
        try:
            inference.work = self._submit(inference.calls)
        except Exception as error:
            self._failed(inference, error)
        else:
            self._running.add(inference)
            inference.work.add_done_callback(lambda _: loop.call_soon_threadsafe(self._end, inference))

    def _next(self) -> list[Call]:
        """Who begins now: a part of what failed, else the first who waits and all behind it that fit. Empty: nobody."""
        # What failed is tried again with nothing beside it: a child process that dies takes everybody's work with it.
        if len(self._running) >= (1 if self._again or self._trying_again else self._width):
            return []
        self._trying_again = False
        while self._again:
            calls = [call for call in self._again.popleft() if not call.outcome.done()]
            if calls:
                self._trying_again = True
                return calls
        calls = self._fitting() if self._most_rows and len(self._waiting) > 1 else list(self._waiting)[:1]
        for call in calls:
            del self._waiting[call]
        return calls

    def _fitting(self) -> list[Call]:
        """Who does not fit stays where it is and is overtaken; it has lost nothing by it but the time of a few rows."""
        first, *others = self._waiting
        form, rows, calls = first.batch.form, len(first.batch), [first]
        for call in others:
            if rows + len(call.batch) <= self._most_rows and call.batch.form == form:
                rows += len(call.batch)
                calls.append(call)
        return calls

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
            parts = _split(answers, [len(call.batch) for call in inference.calls])
        except BaseException as error:  # not raised here, but by a model, which may raise anything
            self._failed(inference, error)
        else:
            for call, part in zip(inference.calls, parts, strict=True):
                self._settle(call, (part, seconds))
        self._begin()

    def _put_back(self, inference: Inference) -> None:
        """It never began: everybody who waited for it has given up, or its pool was."""
        waiting, self._waiting = self._waiting, {}
        for call in inference.calls:
            call.inference = None
            if call.outcome.done():
                self._release()
            else:
                self._waiting[call] = None
        self._waiting |= waiting
        self._begin()

    def lose(self, works: Container["Future[Inferred] | None"]) -> list[Call]:
        """Waits no longer for these inferences, which do not return; answers the calls that they were for, if any are this lane's."""
        lost = [inference for inference in self._running if inference.work in works]
        for inference in lost:
            inference.lost = True
            self._running.remove(inference)
            for call in inference.calls:
                self._settle(call, InferenceFailed("Model inference did not return in time"))
        self._begin()
        return [call for inference in lost for call in inference.calls]

    def _failed(self, inference: Inference, error: BaseException) -> None:
        """One of several callers' rows may be to blame: tries the halves, and halves of halves, until the guilty one is alone."""
        left = []
        for call in inference.calls:
            if call.outcome.done():
                self._settle(call, error)
            else:
                call.inference = None
                left.append(call)
        died = isinstance(error, BrokenExecutor)
        if len(inference.calls) > 1 and left:
            size = 1 if died else (len(left) + 1) // 2  # each child that dies costs a start
            self._again.extendleft(reversed([left[i : i + size] for i in range(0, len(left), size)]))
        elif left and died and not left[0].died:
            left[0].died = True  # it may have died of another model's rows
            self._again.append(left)  # after those that it may harm
        elif left:
            self._settle(left[0], error)

    def _settle(self, call: Call, outcome: Inferred | BaseException) -> None:
        call.inference = None
        if not call.outcome.done():
            call.outcome.set_result(outcome)
        self._release()


def _split(answers: Answers, sizes: Sequence[int]) -> list[Answers]:
    if len(sizes) == 1:
        return [answers]
    parts, start = [], 0
    for size in sizes:
        parts.append(answers.take(range(start, start + size)))
        start += size
    return parts

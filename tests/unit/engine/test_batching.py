"""Calls that wait become the next batch: in order, for the right caller, harmed by nobody."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from concurrent.futures import BrokenExecutor, Future
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import RandomForestClassifier

from slipway.engine import engine as engine_module
from slipway.engine import loaded_model as loaded_module
from slipway.engine.batching import Inferred, Job, Lane
from slipway.engine.call import Call
from slipway.engine.engine import Engine
from slipway.engine.loaded_model import LoadedModel
from slipway.engine.placement import Placement, place
from slipway.engine.pools import Death
from slipway.errors import DeadlineExceeded, InferenceFailed, Overloaded, Problem, Rejected
from slipway.model.answers import Answers
from slipway.model.rows import Batch, RowValidator
from slipway.model.signature import Column, Signature
from slipway.prediction.repository import Repository
from slipway.settings import Settings
from slipway.telemetry.metrics import Metrics
from tests.support import estimators
from tests.support.estimators import Held

Waiting = asyncio.Task[Any]
MOST_ROWS = 8


def loaded(folder: Path, estimator: Any, **settings: Any) -> LoadedModel:
    """A bare model as the server holds it."""
    (folder / "model").mkdir()
    joblib.dump(estimator, folder / "model" / "model.joblib")
    repository = Repository(Settings(models=folder, **settings), Metrics(None, None))
    repository.load_eager()
    model = repository.find("model").model
    assert model is not None
    return model


@asynccontextmanager
async def running(model: LoadedModel, **settings: Any) -> AsyncIterator[Engine]:
    """An engine that joins up to MOST_ROWS rows, whatever they cost."""
    engine = Engine(Settings(**settings), Metrics(None, None))
    engine.start()
    joined_rows = MOST_ROWS if model.batching else 0
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(engine_module, "place", lambda _: Placement("thread", joined_rows=joined_rows))
        assert await engine.warm_up(model) is None
    try:
        yield engine
    finally:
        await asyncio.to_thread(engine.close)


def rows(*first: float, failing: float = 0) -> Batch:
    return Batch(np.array([[value, failing] for value in first], dtype=np.float64))


def patient(seconds: float = 30.0) -> Call:
    return Call.of_our_own(seconds)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.001)


@pytest.fixture
def held(tmp_path: Path) -> LoadedModel:
    """A model with a gate, which is open."""
    Held.close()
    Held.gate.set()
    return loaded(tmp_path, Held().fit())


Ask = Callable[..., Awaitable[Waiting]]


@asynccontextmanager
async def busy(model: LoadedModel, **settings: Any) -> AsyncIterator[Ask]:
    """One call, of row 0, is with the model, the gate closed. `ask` adds one, and returns when it waits."""
    async with running(model, **settings) as engine:

        async def ask(batch: Batch, call: Call | None = None) -> Waiting:
            task = asyncio.create_task(engine.run(model, batch, call or patient()))
            await asyncio.sleep(0)
            return task

        Held.close()
        first = await ask(rows(0))
        await until(lambda: Held.calls == [[0]])
        try:
            yield ask
        finally:
            Held.gate.set()
            assert (await first)[0].predictions == [0]


async def outcome(task: Waiting) -> Any:
    """The predictions, or the type of what was raised."""
    try:
        answers, _ = await task
    except (Problem, asyncio.CancelledError) as error:
        return type(error)
    return answers.predictions


async def all_places_are_free(ask: Ask, places: int) -> None:
    Held.close()
    tasks = [await ask(rows(5)) for _ in range(places)]
    Held.gate.set()
    assert [await outcome(task) for task in tasks] == [[5]] * places


def run(coroutine: Coroutine[Any, Any, None]) -> None:
    asyncio.run(coroutine)


def test_calls_of_one_turn_of_the_event_loop_begin_together(held: LoadedModel) -> None:
    async def scene() -> None:
        async with running(held) as engine:
            await asyncio.gather(*(engine.run(held, rows(value), patient()) for value in range(3)))
            assert Held.calls == [[0, 1, 2]]

    run(scene())


def test_calls_that_arrive_while_one_runs_are_the_next_batch(held: LoadedModel) -> None:
    async def scene() -> None:
        async with busy(held) as ask:
            tasks = [await ask(rows(1)), await ask(rows(2, 3)), await ask(rows(4))]
            Held.gate.set()
            assert [await outcome(task) for task in tasks] == [[1], [2, 3], [4]]
            assert Held.calls == [[0], [1, 2, 3, 4]]

    run(scene())


def test_an_idle_model_takes_each_call_at_once_and_alone(held: LoadedModel) -> None:
    async def scene() -> None:
        async with busy(held) as ask:
            Held.gate.set()
            for value in (1.0, 2.0, 3.0):
                assert await outcome(await ask(rows(value))) == [value]
            assert Held.calls == [[0], [1], [2], [3]]

    run(scene())


def test_each_is_told_the_time_of_the_inference_that_answered_it(held: LoadedModel) -> None:
    async def scene() -> None:
        async with busy(held) as ask:
            tasks = [await ask(rows(value)) for value in (1, 2, 3)]
            Held.gate.set()
            assert len({(await task)[1] for task in tasks}) == 1

    run(scene())


def test_what_would_exceed_the_bound_of_rows_waits_and_smaller_calls_go_along(held: LoadedModel) -> None:
    async def scene() -> None:
        async with busy(held) as ask:
            tasks = [
                await ask(rows(*range(10, 16))),
                await ask(rows(20, 21, 22)),
                await ask(rows(30, 31)),
                await ask(rows(40)),
            ]
            Held.gate.set()
            assert [await outcome(task) for task in tasks] == [[*range(10, 16)], [20, 21, 22], [30, 31], [40]]
            assert Held.calls == [[0], [10, 11, 12, 13, 14, 15, 30, 31], [20, 21, 22, 40]]

    run(scene())


def test_calls_of_many_rows_do_not_stand_in_the_way_of_small_ones(held: LoadedModel) -> None:
    async def scene() -> None:
        async with running(held, threads=2) as engine:
            Held.close()
            gate = Held.gate
            large = [asyncio.create_task(engine.run(held, rows(*range(100)), patient())) for _ in range(5)]
            await until(lambda: len(Held.calls) == 1)
            Held.gate = type(gate)()
            Held.gate.set()
            assert (await asyncio.wait_for(engine.run(held, rows(7), patient()), 10))[0].predictions == [7]
            assert not any(task.done() for task in large)
            gate.set()
            assert [await outcome(task) for task in large] == [[*range(100)]] * 5

    run(scene())


def test_a_bad_row_harms_nobody_else(held: LoadedModel) -> None:
    async def scene() -> None:
        async with busy(held) as ask:
            tasks = [await ask(rows(value, failing=1 if value in (2, 5) else 0)) for value in range(1, 8)]
            Held.gate.set()
            expected = [InferenceFailed if value in (2, 5) else [value] for value in range(1, 8)]
            assert [await outcome(task) for task in tasks] == expected

    run(scene())


def test_a_batch_that_fails_is_tried_again_by_halves(held: LoadedModel) -> None:
    async def scene() -> None:
        async with busy(held) as ask:
            tasks = [await ask(rows(value, failing=float(value == 1))) for value in range(1, 9)]
            Held.gate.set()
            assert [await outcome(task) for task in tasks] == [InferenceFailed, *([value] for value in range(2, 9))]
            assert Held.calls == [[0], [*range(1, 9)], [1, 2, 3, 4], [1, 2], [1], [2], [3, 4], [5, 6, 7, 8]]

    run(scene())


class ByHand:
    """A lane with the child processes of two at once, who die when they are told to."""

    def __init__(self) -> None:
        self.submitted: list[tuple[list[float], Future[Inferred]]] = []
        self.deaths: dict[Future[Any], Death] = {}
        self.blamed: list[list[float]] = []
        self.lane = Lane(
            self._submit,
            lambda *_: None,
            lambda: None,
            width=2,
            most_rows=MOST_ROWS,
            deaths=self.deaths,
            blame=self._blame,
        )

    def _submit(self, jobs: Sequence[Job]) -> Future[Inferred]:
        self.submitted.append((self._rows(jobs), Future()))
        return self.submitted[-1][1]

    def _blame(self, jobs: Sequence[Job], _: Death) -> None:
        self.blamed.append(self._rows(jobs))

    @staticmethod
    def _rows(jobs: Sequence[Job]) -> list[float]:
        return [job.batch.data[0, 0] for job in jobs]  # type: ignore[call-overload]

    async def ask(self, *values: float, together: bool = False) -> list[Waiting]:
        tasks = []
        for value in values:
            tasks.append(asyncio.create_task(self.lane.infer(rows(value), patient())))
            if not together:
                await asyncio.sleep(0)
                await asyncio.sleep(0)
        return tasks

    def die(self, *at: int, alone: bool, by_others: bool = False, begun: bool = True) -> None:
        for i in at:
            if begun:
                self.deaths[self.submitted[i][1]] = Death(alone, by_others, "it exited with code 3")
            self.submitted[i][1].set_exception(BrokenExecutor())

    async def answer(self, i: int, expected: list[float]) -> None:
        await until(lambda: len(self.submitted) > i)
        assert self.submitted[i][0] == expected
        self.submitted[i][1].set_result((Answers(list(expected), [None] * len(expected)), 0.0))


def test_of_two_that_were_with_children_when_one_died_each_is_tried_again_with_nothing_beside_it() -> None:
    async def scene() -> None:
        lane = ByHand()
        tasks = await lane.ask(1, 2, 3)
        lane.die(0, 1, alone=False)
        for i in (2, 3):
            await until(lambda i=i: len(lane.submitted) > i)  # type: ignore[misc]
            assert len(lane.submitted) == i + 1
            await lane.answer(i, [i - 1])
        await lane.answer(4, [3])
        assert [(await task)[0].predictions for task in tasks] == [[1], [2], [3]]
        assert lane.blamed == []

    run(scene())


def test_who_was_alone_with_a_child_that_died_is_blamed_and_not_tried_again() -> None:
    async def scene() -> None:
        lane = ByHand()
        [task] = await lane.ask(1)
        lane.die(0, alone=True)
        assert isinstance(await task, BrokenExecutor)
        assert (lane.blamed, len(lane.submitted)) == ([[1]], 1)

    run(scene())


def test_of_several_that_were_joined_the_one_that_ends_its_child_alone_is_blamed() -> None:
    async def scene() -> None:
        lane = ByHand()
        tasks = await lane.ask(1, 2, 3, together=True)
        await until(lambda: len(lane.submitted) == 1)
        lane.die(0, alone=True)
        await lane.answer(1, [1])
        await until(lambda: len(lane.submitted) == 3)
        lane.die(2, alone=True)
        await lane.answer(3, [3])
        found = [await task for task in tasks]
        assert isinstance(found[1], BrokenExecutor)
        assert [found[i][0].predictions for i in (0, 2)] == [[1], [3]]
        assert lane.blamed == [[2]]

    run(scene())


def test_who_had_not_begun_when_a_child_died_is_no_suspect_however_often() -> None:
    async def scene() -> None:
        lane = ByHand()
        tasks = await lane.ask(1)
        for i in range(5):
            await until(lambda i=i: len(lane.submitted) == i + 1)  # type: ignore[misc]
            lane.die(i, alone=False, begun=False)
        await lane.answer(5, [1])
        assert (await tasks[0])[0].predictions == [1]
        assert lane.blamed == []

    run(scene())


def test_whose_child_somebody_has_killed_is_tried_again_once_and_never_blamed() -> None:
    async def scene() -> None:
        lane = ByHand()
        [task] = await lane.ask(1)
        for i in range(2):
            await until(lambda i=i: len(lane.submitted) == i + 1)  # type: ignore[misc]
            lane.die(i, alone=True, by_others=True)
        assert isinstance(await task, BrokenExecutor)
        assert (lane.blamed, len(lane.submitted)) == ([], 2)

    run(scene())


@pytest.mark.parametrize("failing", [2, 3], ids=["StopIteration", "SystemExit"])
def test_whatever_a_model_raises_its_caller_is_told_and_the_others_are_answered(
    held: LoadedModel, failing: float
) -> None:
    async def scene() -> None:
        async with busy(held) as ask:
            tasks = [await ask(rows(1)), await ask(rows(2, failing=failing)), await ask(rows(3))]
            Held.gate.set()
            async with asyncio.timeout(10):
                assert [await outcome(task) for task in tasks] == [[1], InferenceFailed, [3]]

    run(scene())


def test_who_stays_is_not_blamed_for_the_bad_row_of_somebody_who_left(held: LoadedModel) -> None:
    async def scene() -> None:
        async with busy(held, max_in_flight=3) as ask:
            bad, good = await ask(rows(1, failing=1)), await ask(rows(2))
            gate, Held.gate = Held.gate, type(Held.gate)()
            gate.set()
            await until(lambda: Held.calls[1:] == [[1, 2]])
            bad.cancel()
            assert await outcome(bad) is asyncio.CancelledError
            Held.gate.set()
            assert await outcome(good) == [2]
            assert Held.calls == [[0], [1, 2], [2]]
            await all_places_are_free(ask, 3)

    run(scene())


def test_who_leaves_before_its_rows_begin_takes_them_along(held: LoadedModel) -> None:
    async def scene() -> None:
        async with busy(held, max_in_flight=4) as ask:
            late = await ask(rows(1), patient(0.01))
            cancelled, stays = await ask(rows(2)), await ask(rows(3))
            assert await outcome(await ask(rows(9))) is Overloaded
            cancelled.cancel()
            assert await outcome(cancelled) is asyncio.CancelledError
            assert await outcome(late) is DeadlineExceeded
            others = [await ask(rows(4)), await ask(rows(5))]  # in their places
            Held.gate.set()
            assert [await outcome(task) for task in (stays, *others)] == [[3], [4], [5]]
            assert Held.calls == [[0], [3, 4, 5]]

    run(scene())


def test_who_leaves_a_batch_that_runs_strands_nobody_and_its_place_is_held_until_the_end(held: LoadedModel) -> None:
    async def scene() -> None:
        async with busy(held, max_in_flight=3) as ask:
            leaves, stays = await ask(rows(1)), await ask(rows(2))
            gate, Held.gate = Held.gate, type(Held.gate)()
            gate.set()
            await until(lambda: Held.calls[1:] == [[1, 2]])
            leaves.cancel()
            assert await outcome(leaves) is asyncio.CancelledError
            another = await ask(rows(3))
            assert await outcome(await ask(rows(4))) is Overloaded
            Held.gate.set()
            assert [await outcome(task) for task in (stays, another)] == [[2], [3]]
            await all_places_are_free(ask, 3)

    run(scene())


def test_who_waits_when_the_server_ends_is_told(held: LoadedModel) -> None:
    async def scene() -> None:
        async with running(held) as engine:
            Held.close()
            begun = asyncio.create_task(engine.run(held, rows(1), patient()))
            await until(lambda: Held.calls == [[1]])
            waiting = [asyncio.create_task(engine.run(held, rows(2), patient())) for _ in range(2)]
            await asyncio.sleep(0)
            closing = asyncio.create_task(asyncio.to_thread(engine.close))
            # A call would be refused from here on; asking it would wait where it is not.
            await until(lambda: not engine._open)
            Held.gate.set()
            await closing
            assert await outcome(begun) == [1]
            assert [await outcome(task) for task in waiting] == [Rejected, Rejected]

    run(scene())


def test_calls_run_side_by_side_where_joining_is_forbidden(tmp_path: Path) -> None:
    Held.close()
    Held.gate.set()
    model = loaded(tmp_path, Held().fit(), batching=False)

    async def scene() -> None:
        async with busy(model, threads=3) as ask:
            tasks = [await ask(rows(1)), await ask(rows(2))]
            await until(lambda: sorted(Held.calls) == [[0], [1], [2]])
            Held.gate.set()
            assert [await outcome(task) for task in tasks] == [[1], [2]]

    run(scene())


@pytest.mark.parametrize("where", ["models.toml", "settings"])
def test_joining_is_forbidden_by_model_or_for_all(tmp_path: Path, where: str) -> None:
    if where == "models.toml":
        (tmp_path / "models.toml").write_text("[model]\nbatching = false\n")
    model = loaded(tmp_path, forest(), **({"batching": False} if where == "settings" else {}))
    assert place(model).joined_rows == 0


def forest() -> RandomForestClassifier:
    data = np.random.default_rng(0).normal(size=(200, 5))
    return RandomForestClassifier(30, random_state=0).fit(data, data[:, 0] > 0)


def test_calls_are_joined_where_a_row_costs_less_among_others(tmp_path: Path) -> None:
    assert place(loaded(tmp_path, forest())).joined_rows > 64


def test_calls_are_not_joined_where_that_saves_no_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loaded_module, "time", SimpleNamespace(perf_counter=lambda: estimators.Laborious.clock))
    assert place(loaded(tmp_path, estimators.Laborious().fit())).joined_rows == 0


def test_calls_are_not_joined_where_a_row_is_answered_otherwise_among_others(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert place(loaded(tmp_path, estimators.Ranked().fit())).joined_rows == 0
    assert "answers a row otherwise where others are beside it" in caplog.text


COLUMNS = {
    "whole": (Column(name="whole", dtype="int64"), st.integers(-5, 5).map(float) | st.sampled_from([0.5, 2.0**60])),
    "number": (Column(name="number", nullable=True), st.none() | st.integers(-3, 3).map(float)),
    "kind": (
        Column(name="kind", type="string", dtype="category", observed_categories=("a", "b")),
        st.sampled_from("abc"),
    ),
    "text": (Column(name="text", type="string", nullable=True), st.none() | st.text(max_size=3)),
    "anything": (
        Column(name="anything", type="any", nullable=True),
        st.none() | st.booleans() | st.floats(0, 1) | st.text(max_size=2),
    ),
}


@given(st.data())
@settings(deadline=None, max_examples=40)
def test_each_is_answered_as_it_would_be_alone(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    names = data.draw(st.lists(st.sampled_from(sorted(COLUMNS)), min_size=1, unique=True))
    row = st.tuples(*(COLUMNS[name][1] for name in names)).map(list)
    asked = data.draw(st.lists(st.lists(row, min_size=1, max_size=4), min_size=1, max_size=12))
    signature = Signature(input="frame", columns=tuple(COLUMNS[name][0] for name in names), named=True)
    bare = loaded(tmp_path_factory.mktemp("spelled"), estimators.Spelled(signature.names or ()).fit())
    model = replace(bare, validator=RowValidator(signature, 100))
    alone = [model.artifact.model.infer(model.validator.instances(instances).data).predictions for instances in asked]

    async def scene() -> None:
        async with running(model) as engine:
            calls = (engine.run(model, model.validator.instances(instances), patient()) for instances in asked)
            found = await asyncio.gather(*calls)
            assert [answers.predictions for answers, _ in found] == alone

    run(scene())


@pytest.mark.parametrize("parts", [[[1.0, 2.0], [3.0]], [["a", "b"], ["c"]]], ids=["array", "texts"])
def test_arrays_and_texts_are_joined_in_order(parts: Sequence[Sequence[Any]]) -> None:
    kind = "text" if isinstance(parts[0][0], str) else "array"
    validator = RowValidator(
        Signature(input=kind, columns=(Column(name="x", type="string" if kind == "text" else "number"),)), 100
    )
    batches = [validator.instances([[value] for value in part]) for part in parts]
    joined = validator.joined(batches)
    together = validator.instances([[value] for part in parts for value in part]).data
    assert type(joined) is type(together)
    assert list(joined) == list(together)


def test_rows_of_another_type_are_not_joined() -> None:
    validator = RowValidator(Signature(input="frame", columns=(Column(name="whole", dtype="int64"),), named=True), 100)
    assert validator.features([3.0]).form == validator.features([4.0]).form
    assert validator.features([3.0]).form != validator.features([3.5]).form
    assert isinstance(validator.features([3.0]).data, pd.DataFrame)

"""Work on the event loop takes turns with the requests."""

import asyncio
from typing import Any

import pytest

from slipway.prediction_log import pace
from slipway.prediction_log.pace import TURN_SECONDS, Pace


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(pace, "perf_counter", clock)
    return clock


def test_a_turn_is_short_while_nobody_else_has_work(clock: Clock) -> None:
    async def work() -> None:
        turns = Pace()
        assert not turns.due
        clock.now += TURN_SECONDS * 1.01
        assert turns.due
        await turns.rest()
        assert not turns.due
        clock.now += TURN_SECONDS * 1.01
        assert turns.due

    asyncio.run(work())


@pytest.mark.parametrize("weight", [1.0, 5.0])
def test_others_run_in_between_and_the_next_turn_is_as_long_as_theirs_or_longer(clock: Clock, weight: float) -> None:
    async def others(seen: list[Any]) -> None:
        clock.now += 10 * TURN_SECONDS
        seen.append("others")

    async def work() -> None:
        turns = Pace()
        seen: list[Any] = []
        task = asyncio.create_task(others(seen))
        clock.now += TURN_SECONDS * 1.01
        await turns.rest(weight)
        assert seen == ["others"]
        clock.now += (10 * weight - 0.1) * TURN_SECONDS
        assert not turns.due
        clock.now += 0.2 * TURN_SECONDS
        assert turns.due
        await task

    asyncio.run(work())

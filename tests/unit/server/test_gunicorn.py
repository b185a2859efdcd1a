"""Gunicorn's settings: all of them valid, and the timeouts one inequality."""

from pathlib import Path

import pytest
from gunicorn.config import Config

from slipway.engine.engine import GRACE
from slipway.server.gunicorn import options
from slipway.server.timeouts import Timeouts
from slipway.settings import Settings


def config(**settings: float) -> Config:
    made = Config()
    for name, value in options(Settings(**settings), workers=3, listeners=[7, 8], directory=Path("/dev/shm")).items():
        made.set(name, value)
    return made


def test_gunicorn_accepts_them_all() -> None:
    made = config()
    assert made.address == [7, 8]
    assert made.workers == 3


@pytest.mark.parametrize("seconds", [0.1, 1, 29.5, 30, 3600])
def test_a_request_ends_before_its_worker_is_stopped_and_that_before_it_is_taken_for_hung(seconds: float) -> None:
    made = config(request_timeout=seconds)
    timeouts = Timeouts.of(Settings(request_timeout=seconds))
    assert seconds < timeouts.drain
    assert timeouts.linger + timeouts.drain < made.graceful_timeout < made.timeout


@pytest.mark.parametrize("seconds", [0.1, 1, 29.5, 30, 3600])
def test_a_blocked_event_loop_is_found_in_time_for_its_worker_to_be_replaced(seconds: float) -> None:
    look, successor = 1, 1  # seconds: the master looks once in one, and forks within another
    assert config(request_timeout=seconds).timeout + look + successor <= seconds + GRACE + 10


def test_idle_connections_outlive_the_load_balancers() -> None:
    assert config().keepalive == 75
    assert config(keep_alive=10).keepalive == 10


def test_models_are_loaded_before_the_fork_and_workers_never_recycled() -> None:
    made = config()
    assert made.preload_app is True
    assert made.max_requests == 0

"""Pools of child processes: what is heard of them when their parent dies, or they do."""

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import BrokenExecutor
from typing import Any

from slipway.engine.pools import Death, Pool

DIES = """
import os, signal
from slipway.engine.pools import Pool
pool = Pool.of_processes(1, [], {})
assert pool.submit(abs, -1).result() == 1
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_parent_that_is_killed_leaves_no_line_that_is_none_of_the_logs() -> None:
    done = subprocess.run([sys.executable, "-c", DIES], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL
    assert done.stderr == ""


def leave_late(code: int) -> None:
    """As on a busy machine: the parent hears of the end before the kernel is done with it."""
    os.closerange(3, 1024)
    time.sleep(0.3)
    os._exit(code)


def test_the_code_that_a_child_exits_with_is_known_though_it_takes_a_moment() -> None:
    deaths: dict[Any, Death] = {}
    pool = Pool.of_processes(1, [], deaths)
    assert pool.submit(abs, -1).result() == 1
    dying, told = pool.submit(leave_late, 3), threading.Event()
    dying.add_done_callback(lambda _: told.set())  # after the pool's own
    assert told.wait(60)
    assert isinstance(dying.exception(), BrokenExecutor)
    assert deaths[dying].how == "it exited with code 3"

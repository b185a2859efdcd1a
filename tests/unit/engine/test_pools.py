"""Pools of child processes: what is heard of them when their parent dies."""

import signal
import subprocess
import sys

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

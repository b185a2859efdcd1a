"""A child dies with its parent."""

import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def test_a_child_dies_with_its_parent_however_that_dies() -> None:
    parent = """if True:
        import os, time
        from slipway.system.process import die_with
        me = os.getpid()
        child = os.fork()
        if child == 0:
            die_with(me)
            print(os.getpid(), flush=True)
        time.sleep(60)
    """
    with subprocess.Popen([sys.executable, "-c", parent], cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        process.send_signal(signal.SIGKILL)
        process.wait()
        # The pipe ends when nobody holds its other end any more: the child did.
        assert process.stdout.read() == ""


def test_a_child_whose_parent_is_already_gone_ends_at_once() -> None:
    code = """if True:
        import os
        from slipway.system.process import die_with
        die_with(os.getppid() + 1)
        print("still here")
    """
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (1, "", "")  # an error of its own would say so

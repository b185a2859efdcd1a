"""A child process that does not outlive its parent."""

import ctypes
import os
import signal
import sys


def die_with(parent: int) -> None:
    """The kernel kills this process when its parent (a process id) dies, however that dies. Call it first in a forked child."""
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None, use_errno=True).prctl(pr_set_pdeathsig, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the line above
        os._exit(1)

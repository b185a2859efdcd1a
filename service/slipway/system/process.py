"""How processes end: a child with its parent, and a server in spite of its models."""

import contextlib
import ctypes
import logging
import os
import signal
import sys
from typing import NoReturn


def die_with(parent: int) -> None:
    """The kernel kills this process when its parent (a process id) dies, however that dies. Call it first in a
    forked child.
    """
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None, use_errno=True).prctl(pr_set_pdeathsig, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the line above
        os._exit(1)


def end(code: object) -> NoReturn:
    """With the code of a SystemExit, and now: threads that a model has started, and what it left to be done at exit,
    are not waited for.
    """
    status = 0 if code is None else code & 0xFF if isinstance(code, int) else 1
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):  # closed, or None
            stream.flush()
    os._exit(status)

"""Gunicorn's settings and hooks, derived from ours."""

import logging
import signal
from pathlib import Path
from typing import Any

from gunicorn.arbiter import Arbiter
from gunicorn.glogging import Logger

from ..settings import Settings
from ..system.process import die_with
from ..system.runtime_dir import release
from .timeouts import Timeouts
from .worker import Worker

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)


class GunicornLogger(Logger):  # type: ignore[misc]
    """Gunicorn's log, through the root logger's handler instead of its own two."""

    def setup(self, cfg: Any) -> None:
        self.cfg = cfg
        self.error_log.propagate = True
        self.error_log.setLevel(logging.root.level)  # not NOTSET: Uvicorn copies it and would take that for TRACE


def options(settings: Settings, *, workers: int, listeners: list[int], directory: Path) -> dict[str, Any]:
    """`listeners` are the descriptors of bound sockets, `directory` the runtime folder."""
    timeouts = Timeouts.of(settings)
    return {
        "bind": [f"fd://{listener}" for listener in listeners],
        "backlog": 4096,  # the kernel holds it to net.core.somaxconn, which is 4096 too
        "workers": workers,
        "worker_class": Worker,
        "preload_app": True,  # workers share the models' memory; they load in the master and predict after the fork
        "timeout": timeouts.hang,
        "graceful_timeout": timeouts.graceful,
        "keepalive": settings.keep_alive,
        "max_requests": 0,  # recycling a worker resets its connections
        "worker_tmp_dir": str(directory),
        "control_socket_disable": True,
        "logger_class": GunicornLogger,
        "proc_name": "slipway",
        "when_ready": when_ready,
        "nworkers_changed": nworkers_changed,
        "pre_fork": pre_fork,
        "post_fork": post_fork,
        "child_exit": child_exit,
        "on_exit": on_exit,
    }


def when_ready(master: Arbiter) -> None:
    master.app.freeze()


def nworkers_changed(master: Arbiter, new: int, _old: int | None) -> None:
    master.app.lifecycle.board.expected = new


def pre_fork(master: Arbiter, worker: Worker) -> None:
    worker.slot = master.app.take_slot()
    worker.generation = master.generation


def post_fork(_master: Arbiter, worker: Worker) -> None:
    # Before anything else: until here the master's handlers are in place, which would only make a note of the signal.
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
    die_with(worker.ppid)
    worker.app.enter_worker(worker.slot)


def child_exit(master: Arbiter, worker: Worker) -> None:
    master.bury(worker)
    master.app.free_slot(worker.slot, restart=not (worker.retired or master.stopping))


def on_exit(master: Arbiter) -> None:
    release(master.app.directory)

"""`slipway serve`: the master process, which loads the models, forks the workers and replaces them."""

import contextlib
import gc
import logging
import os
import signal
import socket
import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.errors import HaltServer

from ..errors import ArtifactError, BrokenArtifact, Stopped
from ..http.auth import check_keys
from ..prediction.loading import Loading, Rehearsal
from ..prediction_log.stores.errors import StoreAway
from ..prediction_log.upkeep.embedded import prepare
from ..settings import Settings, misspelt_variables, spoken
from ..system import cpu, termination
from ..system.board import Board, Lifecycle
from ..system.process import end
from ..system.runtime_dir import CannotStart, board_path, claim, metrics_path, runtime_dir
from ..telemetry import logs
from ..telemetry.metrics import MASTER, Metrics
from .certificate import CannotRenew, Certificate
from .development import serve_for_development
from .drain import DrainLog
from .gunicorn import STOP_SIGNALS, options
from .listening import allow_many_connections, bind_all, cannot_listen
from .quarantine import Quarantine
from .rehearsal import Tell
from .reloading import Reloading
from .supply import fetched, refresh
from .worker import Worker

if TYPE_CHECKING:
    from ..prediction.repository import Repository

# New objects between two looks of the collector for cycles. A request leaves none behind, but what the prediction log
# and calls in flight hold is walked each time: with Python's 700 a logged row costs 5 µs more, and one that is not 2
# µs.
_YOUNG_OBJECTS = 20_000

# By the kernel for memory, or by whoever stops workers: no model does so.
_SENT_BY_OTHERS = frozenset({signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGQUIT})

log = logging.getLogger("slipway.server")


def serve(settings: Settings, reload: bool = False, typed: Collection[str] = ()) -> None:
    """Serves until SIGTERM or SIGINT, then raises SystemExit(0); SystemExit(1), and a line that says why, when it
    cannot start.

    With `reload` one process serves, and starts anew whenever the code or the models change: for development.
    `typed`: the settings that were given as flags, which messages then name.
    """
    logs.configure(settings)
    for sentence in misspelt_variables():
        log.warning("%s", sentence)
    try:
        check_keys(settings.api_keys)
        for number in (signal.SIGTERM, signal.SIGINT):  # until the master handles them
            signal.signal(number, _stop_early)
        settings = fetched(settings)
        if reload:
            serve_for_development(settings)
        else:
            _serve(settings)
    except (CannotStart, ArtifactError) as exc:
        message = spoken(str(exc), typed, settings.model_fields_set)
        log.critical("%s", message)
        termination.record(message)
        sys.exit(1)


def _serve(settings: Settings) -> None:
    limit = cpu.cpu_limit()
    workers = settings.workers or cpu.worker_count(limit)
    cpu.limit_threads(limit, workers)
    allow_many_connections()
    certificate = Certificate.of(settings)
    listeners = bind_all(settings)
    directory = runtime_dir(settings.runtime_dir, settings.port)
    claim(directory)
    Application(settings, workers, listeners, directory, certificate).run()


class Application(BaseApplication):  # type: ignore[misc]
    """What the master and its workers share: each worker inherits it with the fork."""

    def __init__(
        self,
        settings: Settings,
        workers: int,
        listeners: list[socket.socket],
        directory: Path,
        certificate: Certificate | None = None,
    ) -> None:
        self.settings = settings
        self.certificate = certificate
        self.directory = directory
        try:
            self.lifecycle = Lifecycle(Board(board_path(directory), workers))
        except OSError as exc:
            raise CannotStart(
                f"{directory} has no room ({exc.strerror}): clear it, or set SLIPWAY_RUNTIME_DIR to a larger folder"
            ) from exc
        self.loading = Loading(directory, settings.load_timeout)
        self._process = MASTER
        self.metrics = Metrics(metrics_path(directory), lambda: self._process, settings.metrics_models)
        self.served: Repository | None = None  # what is loaded, in its newest state
        self._slots: set[int] = set()
        descriptors = [listener.detach() for listener in listeners]
        self._options = options(settings, workers=workers, listeners=descriptors, directory=directory)
        super().__init__()

    def load_config(self) -> None:
        for name, value in self._options.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        """The ASGI application with its models, for Gunicorn at the start. Raises ArtifactError, also where an expected
        model can never be loaded: the container ends, and says why, instead of never becoming ready.
        """
        return self._load({}, BrokenArtifact)

    def _load(self, refused: Mapping[str, str], ends: type[ArtifactError] | None = None) -> Any:
        """`refused`: as of Repository; `ends`: as of its `load_eager`."""
        # Not earlier: numpy reads the thread limits from the environment when it is imported.
        from ..app import create_app, forget_endpoints
        from ..engine.marks import Marks
        from ..prediction.repository import Repository

        if self.settings.log != "off":
            make_embedded(self.settings.log_database.get_secret_value())
        repository = Repository(self.settings, self.metrics, Marks(self.lifecycle), self.served, refused)
        repository.load_eager(self.loading, ends=ends)
        forget_endpoints()
        app = create_app(self.settings, lifecycle=self.lifecycle, metrics=self.metrics, repository=repository)
        self.served = repository
        return app

    def freeze(self) -> None:
        """Before the workers are forked. The collector would write to every object, and so copy the pages that they
        share.
        """
        gc.collect()
        gc.freeze()
        gc.set_threshold(_YOUNG_OBJECTS)

    def rehearse(self, known: Mapping[str, str], tell: Tell) -> dict[str, str]:
        """Which models a reload is to refuse, and why, in a process that ends after it; `known`: of some it is known.
        Raises ArtifactError.
        """
        from ..prediction.reloading import refused

        assert self.served is not None, "it serves"
        return refused(self.settings, self.served, known, Rehearsal(self.loading, tell))

    def load_again(self, refused: Mapping[str, str]) -> bool:
        """Whether there are new models to serve. If the folder cannot be read, the old ones stay."""
        states, self.metrics.states = self.metrics.states, {}
        try:
            self.callable = self._load(refused)
        except Exception as exc:  # whatever it is, the old models are good
            self.metrics.states = states
            self.metrics.reloaded("failed")
            log.error("the models stay as they are, for they cannot be read again: %s", exc)
            return False
        self.metrics.reloaded("refused" if refused else "loaded")
        gc.unfreeze()  # the old models are garbage now
        self.freeze()
        return True

    def run(self) -> None:
        """Of the master, and of each worker that it forks: neither waits for what a model has started."""
        try:
            Master(self).run()
        except SystemExit as exc:
            end(exc.code)

    def take_slot(self) -> int:
        slot = next(slot for slot in range(len(self._slots) + 1) if slot not in self._slots)
        self._slots.add(slot)
        return slot

    def keep_slots(self, slots: set[int]) -> None:
        """No others are taken."""
        self._slots = slots

    def free_slot(self, slot: int, *, restart: bool) -> None:
        self._slots.discard(slot)
        self.lifecycle.board.clear(slot)
        self.metrics.worker_died(str(slot), restart=restart)

    def enter_worker(self, slot: int) -> None:
        """This process is now the worker of that slot."""
        self.lifecycle.slot = slot
        self._process = str(slot)
        self.metrics.process_started()


class Master(Arbiter):  # type: ignore[misc]
    """Gunicorn's master, but on SIGHUP the old workers serve until the new ones have answered their models' example
    rows.

    A model may end its worker with any exit code, and with none of them the server: a worker that cannot start says so
    on the board.
    """

    # No exit code is read as one of these. As such, they become 1 and 2.
    WORKER_BOOT_ERROR = 256 + 1
    APP_LOAD_ERROR = 256 + 2

    generation = 0  # of models; a worker is of the one that it was born with
    stopping = False

    def __init__(self, app: "Application") -> None:
        self.quarantine = Quarantine(app.lifecycle.board, app.metrics)
        self.drain_log = DrainLog(app.lifecycle.board)
        settings = app.settings
        handled = {*self.SIGNALS, signal.SIGCHLD}
        self.reloading = Reloading(
            app.rehearse,
            settings.load_timeout,
            handled,
            settings.models,
            settings.reload_interval,
            app.metrics,
            refresh(settings),
        )
        super().__init__(app)

    def start(self) -> None:
        try:
            super().start()
        except OSError as exc:  # another server was as quick to bind, and quicker to listen
            raise cannot_listen(self.app.settings.host, self.app.settings.port, exc) from exc

    def init_signals(self) -> None:
        """A model may have changed them when it was loaded."""
        super().init_signals()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {*self.SIGNALS, signal.SIGCHLD})

    def spawn_worker(self) -> None:
        # A stop signal that came right after the fork would meet the master's handlers in the worker, and be forgotten.
        signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
        try:
            super().spawn_worker()
        except OSError:
            # The one that was taken for it is free again.
            self.app.keep_slots({worker.slot for worker in self.WORKERS.values()})
            raise
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)

    def reap_workers(self) -> None:
        self.reloading.reap()
        for pid, worker in self.WORKERS.items():
            with contextlib.suppress(ChildProcessError):
                # Looks without taking it: Gunicorn does that, and keeps to itself how the worker ended.
                worker.ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        super().reap_workers()

    def bury(self, worker: Worker) -> None:
        """The worker is gone: whose doing was it? Raises HaltServer where a worker of the first ones could not
        start.
        """
        board, ended = self.app.lifecycle.board, worker.ended
        if not self.stopping and board.failed_to_start(worker.slot) and worker.age <= self.cfg.workers:
            raise HaltServer("Worker failed to boot.", Arbiter.WORKER_BOOT_ERROR)
        in_hand = board.in_hand(worker.slot)
        if worker.retired or self.stopping or ended is None or not in_hand:
            return
        if ended.si_code == os.CLD_EXITED:
            self.quarantine.lost(in_hand, "died", f"worker {worker.pid} exited with code {ended.si_status}")
        elif ended.si_status not in _SENT_BY_OTHERS:
            how = f"worker {worker.pid} was ended by signal {ended.si_status} ({signal.strsignal(ended.si_status)})"
            self.quarantine.lost(in_hand, "hung" if worker.aborted else "died", how)
        else:
            for each in in_hand:
                log.warning(
                    "model %s was at work (%s) in a worker that was killed",
                    each.model,
                    each.doing,
                    extra={"request_ids": each.requests},
                )

    def manage_workers(self) -> None:
        """Keeps as many workers of this generation as wanted. The main loop calls it every second and after each
        signal.
        """
        for worker in self.WORKERS.values():
            if (complaint := self.app.lifecycle.board.take_complaint(worker.slot)) is not None:
                self.quarantine.strike(*complaint)
        self.quarantine.release()
        self.drain_log.look()
        self._look_at_certificate()
        if (refused := self.reloading.look()) is not None:
            self._load_again(refused)
        serving = sorted(
            (worker for worker in self.WORKERS.values() if not worker.retired), key=lambda worker: worker.age
        )
        current = [worker for worker in serving if self._is_current(worker)]
        try:
            for _ in range(self.num_workers - len(current)):
                self.spawn_worker()
        except OSError as exc:  # no process or no file can be had: others may leave, and those who serve go on
            log.error("a worker cannot be started: %s", exc)
        surplus = current[: max(0, len(current) - self.num_workers)]
        reported = self.app.lifecycle.board.reported
        succeeded = len(current) >= self.num_workers and all(reported(worker.slot) for worker in current)
        for worker in serving:
            old = not self._is_current(worker)
            if worker in surplus or (old and (succeeded or not reported(worker.slot))):
                self._retire(worker)

    def _look_at_certificate(self) -> None:
        """For the workers that are to come, and for the log: those that serve look for themselves."""
        certificate = self.app.certificate
        try:
            if certificate is not None and certificate.renew():
                log.info("the certificate has been renewed: it is valid until %s", certificate.valid_until)
        except CannotRenew as exc:
            log.error("%s", exc)

    def _is_current(self, worker: Worker) -> bool:
        """Of the models that are served now, and with all its threads."""
        return bool(worker.generation == self.generation) and not self.app.lifecycle.board.worn(worker.slot)

    def _retire(self, worker: Worker) -> None:
        worker.retired = True
        self.app.lifecycle.board.retire(worker.slot)
        self.kill_worker(worker.pid, signal.SIGTERM)

    def reload(self) -> None:
        self.reloading.begin()

    def _load_again(self, refused: dict[str, str]) -> None:
        for number in STOP_SIGNALS:  # now, and not when they are loaded
            signal.signal(number, _stop_loading)
        try:
            loaded = self.app.load_again(refused)
        except Stopped as stopped:
            (self.handle_term if stopped.code == signal.SIGTERM else self.handle_int)()
        finally:
            self.init_signals()
        if loaded:
            self.generation += 1
            self.quarantine.clear()

    def stop(self, graceful: bool = True) -> None:
        if not self.stopping:
            self.drain_log.end()
        self.stopping = True
        self.reloading.end()
        super().stop(graceful)


def make_embedded(url: str) -> None:
    """Once, before the workers are there; where it cannot be, they say so, and try again."""
    try:
        prepare(url)
    except StoreAway:
        log.debug("the prediction log's file cannot be made yet", exc_info=True)


def _stop_early(number: int, _frame: object) -> None:
    log.info("stopped by %s before it served", signal.Signals(number).name)
    raise Stopped(0)


def _stop_loading(number: int, _frame: object) -> None:
    raise Stopped(number)

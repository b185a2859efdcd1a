"""A contender's server: started on a free port, watched through /proc, ended by its process ids."""

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from .contenders import Contender
from .workloads import PackedModel

ROOT = Path(__file__).resolve().parents[1]
STARTING = 60.0  # seconds until a server counts as broken
STOPPING = 15.0
POLL = 0.01
TICKS = os.sysconf("SC_CLK_TCK")


class ServerFailed(Exception):
    """A contender that did not start, or answered wrongly; the message has the end of its log."""


class Server:
    """`with Server(...)` starts it in a session of its own, by which all its processes are found, and ends them all."""

    def __init__(self, contender: Contender, model: PackedModel, scratch: Path) -> None:
        self.contender = contender
        self.port = _free_port()
        self._folder = Path(tempfile.mkdtemp(dir=scratch))
        self._places = {"port": self.port, "artifact": model.artifact, "models": model.models, "scratch": self._folder}
        self._log = self._folder / "log"
        self._first_body = model.workload(1).bodies[0]

    def __enter__(self) -> Self:
        own = {name: value.format_map(self._places) for name, value in self.contender.environment.items()}
        command = [part.format_map(self._places) for part in self.contender.command]
        started = time.perf_counter()
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command,
                cwd=ROOT,
                env={**environment(), **own},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            self._wait_until_ready()
        except BaseException:
            self._end()
            raise
        self.cold_start = time.perf_counter() - started
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def post(self, path: str, body: str) -> tuple[int, bytes]:
        """Raises OSError or HTTPException where there is no answer."""
        return self._ask("POST", path, body)

    def get(self, path: str) -> tuple[int, bytes]:
        return self._ask("GET", path, None)

    def cpu_seconds(self) -> float:
        """User and system time of all its processes so far."""
        total = 0
        for pid in self._pids():
            with contextlib.suppress(OSError):
                total += sum(map(int, _stat(pid)[11:13]))
        return total / TICKS

    def pss_mib(self) -> float:
        """Memory of all its processes, pages that several share counted once."""
        total = 0
        for pid in self._pids():
            with contextlib.suppress(OSError):
                rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
                total += next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
        return total / 1024

    def settle(self, seconds: float = 5.0) -> None:
        """Waits, within bounds, until what the last load left behind is worked off."""
        deadline = time.monotonic() + seconds
        before = self.cpu_seconds()
        while time.monotonic() < deadline:
            time.sleep(0.1)
            now = self.cpu_seconds()
            if now - before <= 1 / TICKS:
                return
            before = now

    def failure(self, what: str) -> ServerFailed:
        lines = self._log.read_text(errors="replace").splitlines()[-15:]
        return ServerFailed("\n".join([f"{self.contender.name}: {what}", *(f"  {line}" for line in lines)]))

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + STARTING
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise self.failure(f"ended with code {self._process.returncode} before it answered")
            with contextlib.suppress(OSError, http.client.HTTPException):
                ready = self.contender.ready
                status, _ = self.get(ready) if ready else self.post(self.contender.one_row, self._first_body)
                if status == http.HTTPStatus.OK:
                    return
            time.sleep(POLL)
        raise self.failure(f"did not answer within {STARTING:g} s")

    def _ask(self, method: str, path: str, body: str | None) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=STARTING)
        try:
            connection.request(method, path, body, {"Content-Type": "application/json"} if body else {})
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def _pids(self) -> Iterator[int]:
        """All processes of its session, whoever forked them."""
        for entry in os.scandir("/proc"):
            if entry.name.isdecimal():
                with contextlib.suppress(OSError):
                    if int(_stat(int(entry.name))[3]) == self._process.pid:
                        yield int(entry.name)

    def _end(self) -> None:
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(STOPPING)
        for pid in self._pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait()


def environment() -> dict[str, str]:
    """This process' own, without what would configure a server behind the harness' back, or have it compile its
    modules at each start.
    """
    others = ("SLIPWAY_", "GUNICORN_", "WEB_CONCURRENCY", "PYTHONDONTWRITEBYTECODE")
    return {name: value for name, value in os.environ.items() if not name.startswith(others)}


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the third on: the second, the name, may hold blanks and brackets."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port

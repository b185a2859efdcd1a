"""A server in a process of its own, asked over HTTP, watched through /proc and ended by its process id."""

import http.client
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple, Self

from prometheus_client.parser import text_string_to_metric_families

from slipway.system.board import Board
from slipway.system.runtime_dir import board_path, metrics_path, runtime_dir

ROOT = Path(__file__).resolve().parents[2]


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Server:
    """`with Server(models, folder): ...` runs `slipway serve` on a free port, with two workers unless told otherwise,
    and waits for /ready.

    `settings` become SLIPWAY_ variables; `folder` takes the log and the runtime folder; `descriptors`: how many files a
    process of it may open; `command`, `cwd` and `environment`: of another `slipway` than this clone's. Leaving the
    block ends the server.
    """

    def __init__(
        self,
        models: Path,
        folder: Path,
        *arguments: str,
        wait: bool = True,
        descriptors: int | None = None,
        command: list[str] | None = None,
        cwd: Path = ROOT,
        environment: Mapping[str, str] = os.environ,
        **settings: Any,
    ) -> None:
        self.port = settings.setdefault("port", free_port())
        settings.setdefault("workers", 2)
        self._wait = wait
        self._descriptors = descriptors
        self._log = folder / f"server-{self.port}.log"
        self._runtime = runtime_dir(folder, self.port)
        self.spool, self.database = folder / "spool", folder / "slipway.db"
        for name, value in {"log_database": f"sqlite:///{self.database}", "log_spool": self.spool}.items():
            settings.setdefault(name, value)
        self.message = folder / "termination-log"  # in the place of a container's own
        code = (
            "from pathlib import Path; from slipway.system import termination; termination.MESSAGE = "
            f"Path({str(self.message)!r})"
        )
        self._command = [
            *(command or [sys.executable, "-c", f"from slipway.cli.entry import main; {code}; main()"]),
            "serve",
            *arguments,
        ]
        self._cwd = cwd
        self._environment = {name: value for name, value in environment.items() if not name.startswith("SLIPWAY_")}
        for name, value in {"models": models, "runtime_dir": folder, **settings}.items():
            self._environment[f"SLIPWAY_{name.upper()}"] = str(value)

    def __enter__(self) -> Self:
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                self._command, cwd=self._cwd, env=self._environment, stdout=log, stderr=log, preexec_fn=self._limit
            )
        if self._wait:
            try:
                self.until(self.is_ready, 200)
            except BaseException:
                self._end()
                raise
        return self

    def _limit(self) -> None:
        if self._descriptors is not None:
            resource.setrlimit(resource.RLIMIT_NOFILE, (self._descriptors, self._descriptors))

    def __exit__(self, *_: object) -> None:
        self._end()

    def _end(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def ask(self, method: str, path: str, content: Any = None, timeout: float = 30.0) -> Answer:
        """On a connection of its own. Raises OSError or HTTPException when there is no answer."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)) as connection:
            body = None if content is None else json.dumps(content)
            connection.request(method, path, body, {} if body is None else {"Content-Type": "application/json"})
            response = connection.getresponse()
            return Answer(
                response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()
            )

    def get(self, path: str, timeout: float = 30.0) -> Answer:
        return self.ask("GET", path, timeout=timeout)

    def predict(self, model: str, features: list[float], timeout: float = 30.0) -> Answer:
        return self.ask("POST", f"/predict?model={model}", {"features": features}, timeout)

    def is_ready(self) -> bool:
        try:
            return self.get("/ready", timeout=5).status == 200
        except (OSError, http.client.HTTPException):
            return False

    def until(self, condition: Callable[[], bool], seconds: float = 100.0) -> None:
        """Waits until the condition holds; fails when it does not in time, or when the server has ended."""
        deadline = time.monotonic() + seconds
        while not condition():
            if self.process.poll() is not None:
                raise AssertionError(f"the server ended with {self.process.returncode}:\n{self._log.read_text()}")
            if time.monotonic() > deadline:
                raise AssertionError(f"not within {seconds} s; the log:\n{self._log.read_text()[-5000:]}")
            time.sleep(0.05)

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def workers(self) -> list[int]:
        """The process ids of the workers, the oldest first."""
        return children(self.process.pid)

    def until_workers(self, count: int, without: Collection[int] = ()) -> None:
        """Waits for so many workers, none of them among those. One look decides: a worker may come between two."""

        def settled() -> bool:
            workers = self.workers()
            return len(workers) == count and not set(workers) & set(without)

        self.until(settled)

    @property
    def board(self) -> Board:
        return Board.attach(board_path(self._runtime))

    def metric_files(self) -> list[str]:
        return sorted(path.name for path in metrics_path(self._runtime).iterdir())

    def metrics(self) -> dict[str, float]:
        """Each series with its value, as the text has it: `name{label="value"}`."""
        return series(self.get("/metrics").body)

    def log(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._log.read_text().splitlines()]

    def logged(self, text: str) -> list[dict[str, Any]]:
        return [line for line in self.log() if text in line["message"]]


def series(text: bytes) -> dict[str, float]:
    return {
        sample.name
        + "{"
        + ",".join(f'{name}="{value}"' for name, value in sorted(sample.labels.items()))
        + "}": sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _processes() -> Iterator[tuple[int, str, int]]:
    """Process id, state and parent of all that run."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                state, parent = (entry / "stat").read_text().rsplit(")", 1)[1].split()[:2]
            except (FileNotFoundError, ProcessLookupError):
                continue
            yield int(entry.name), state, int(parent)


def children(pid: int) -> list[int]:
    """The living children of a process, the oldest first."""
    return sorted(child for child, state, parent in _processes() if parent == pid and state != "Z")


def running(pids: list[int]) -> list[int]:
    """Those that have not ended; one that nobody has waited for has."""
    return [pid for pid, state, _ in _processes() if pid in pids and state != "Z"]


def stopped(pid: int) -> bool:
    """Whether SIGSTOP has reached all threads of a process."""
    return all(
        task.read_text().rsplit(")", 1)[1].split()[0] == "T" for task in Path(f"/proc/{pid}/task").glob("*/stat")
    )

"""The load: wrk with kept-alive connections, and beside it a probe that asks for /health as a kubelet would."""

import json
import subprocess
import threading
import time
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any, Self

from .server import Server

SCRIPT = Path(__file__).with_name("post.lua")
THREADS = 2  # of wrk
PATIENCE = 30  # seconds that wrk waits for an answer
PROBE_EVERY = 0.1  # seconds


@dataclass(frozen=True)
class Measured:
    """One window of load. Times in milliseconds, of the probe the worst; CPU of the server alone, in microseconds per
    request.

    `late_ms`: by how much a request was sent after its time at most, where those are fixed.
    """

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    errors: int
    cpu_us: float
    probe_ms: float
    late_ms: float = 0.0


def measure(
    server: Server,
    path: str,
    bodies: Path,
    *,
    connections: int,
    seconds: int,
    rate: int | None = None,
    afterwards: float = 0.0,
) -> Measured:
    """`bodies`: a file with a JSON body per line; `rate`: requests per second, None: as many as there are answers.

    `afterwards`: seconds after the load in which the server does what belongs to it.
    """
    server.settle()
    before = server.cpu_seconds()
    with _Probe(server) as probe:
        found = _wrk(server.port, path, bodies, connections, seconds, rate)
        time.sleep(afterwards)
        cpu = server.cpu_seconds() - before  # at once: what is still queued now is answered to nobody, and not counted
    errors = found["refused"] + found["broken"] + found["timeouts"]
    answered = found["requests"]
    times = {name: found[name] for name in ("seconds", "p50_ms", "p99_ms", "late_ms")}
    cpu_us = cpu / answered * 1e6 if answered else 0.0
    return Measured(answered, errors=errors, cpu_us=cpu_us, probe_ms=probe.worst * 1e3, **times)


def warm_up(server: Server, path: str, bodies: Path, seconds: int) -> None:
    _wrk(server.port, path, bodies, 16, seconds)


def _wrk(port: int, path: str, bodies: Path, connections: int, seconds: int, rate: int | None = None) -> dict[str, Any]:
    threads = min(THREADS, connections)
    command = [
        *("wrk", "--threads", str(threads), "--connections", str(connections), "--duration", f"{seconds}s"),
        *("--timeout", f"{PATIENCE}s", "--script", str(SCRIPT), f"http://127.0.0.1:{port}{path}", "--", str(bodies)),
        *([] if rate is None else [str(rate / threads)]),
    ]
    output = subprocess.run(command, check=True, capture_output=True, text=True, timeout=seconds + PATIENCE).stdout
    found: dict[str, Any] = json.loads(output.splitlines()[-1])
    return found


class _Probe:
    """Asks for the contender's health path, each time on a new connection, until the block ends; `worst` in seconds."""

    def __init__(self, server: Server) -> None:
        self.worst = 0.0
        self._server = server
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(PROBE_EVERY):
            started = time.perf_counter()
            try:
                self._server.get(self._server.contender.health)
            except (OSError, HTTPException):
                continue  # no answer at all; what wrk met is counted there
            self.worst = max(self.worst, time.perf_counter() - started)

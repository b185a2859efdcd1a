"""Who is measured: every contender with the command that starts it, each with two workers."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

Group = Literal["floor", "tutorial", "offload", "rival", "peer", "slipway"]

WORKERS = 2
SCRIPT = str(Path(sys.executable).with_name("slipway"))


@dataclass(frozen=True)
class Contender:
    """`command` and `environment` may name {port}, {artifact} (a joblib file), {models} (a folder of packed models) and
    {scratch}.

    `ready`: the path whose first 200 ends the cold start; None: the first prediction does. `computes`: False for the
    floors.
    """

    name: str
    group: Group
    command: tuple[str, ...]
    one_row: str = "/predict"
    many_rows: str | None = "/predict-many"
    ready: str | None = None
    health: str = "/health"
    computes: bool = True
    environment: Mapping[str, str] = field(default_factory=dict)

    def path(self, rows: int) -> str | None:
        return self.one_row if rows == 1 else self.many_rows


_GUNICORN = (
    *(sys.executable, "-m", "gunicorn", "--workers", str(WORKERS), "--bind", "127.0.0.1:{port}"),
    *("--no-control-socket", "--log-level", "warning"),
)
_ASGI = ("--worker-class", "uvicorn_worker.UvicornWorker")
_WSGI = ("--worker-class", "gthread", "--threads", "4")  # unlike the default class it keeps connections alive
_AIOHTTP = ("--worker-class", "aiohttp.GunicornUVLoopWebWorker")
_ARTIFACT = {"BENCH_MODEL": "{artifact}"}


def _app(name: str, group: Group, module: str, worker: tuple[str, ...]) -> Contender:
    command = (*_GUNICORN, *worker, f"bench.apps.{module}:app")
    return Contender(name, group, command, computes=group != "floor", environment=_ARTIFACT)


def _offload(name: str, path: str) -> Contender:
    return replace(_app(name, "offload", "fastapi_offload", _ASGI), one_row=path, many_rows=None)


def _mosec(name: str, batch: int) -> Contender:
    command = (sys.executable, "-m", "bench.apps.mosec_app", "--address", "127.0.0.1", "--port", "{port}")
    patience = ("--timeout", "60000", "--log-level", "warning")  # its own 3 s would turn slow answers into errors
    return Contender(name, "peer", command + patience, health="/", environment={**_ARTIFACT, "BENCH_BATCH": str(batch)})


def _slipway(name: str, *flags: str) -> Contender:
    command = (
        *(SCRIPT, "serve", "--models", "{models}", "--port", "{port}"),
        *("--workers", str(WORKERS), "--no-access-log", "--log-level", "warning", "--runtime-dir", "{scratch}", *flags),
    )
    return Contender(name, "slipway", command, many_rows="/predict", ready="/ready")


def _estimator(name: str, execution: str, *flags: str) -> Contender:
    """Slipway without the compiled form that it would answer with."""
    return _slipway(name, "--no-compiled", "--execution", execution, *flags)


# As it comes, and then with the estimator; batching is on unless it is forbidden.
SLIPWAY, INLINE, THREAD, BATCHED, PROCESS = (
    "Slipway",
    *(f"Slipway, {mode}" for mode in ("inline", "thread", "batched", "process")),
)


CONTENDERS = (
    _app("raw ASGI constant", "floor", "raw_asgi", _ASGI),
    _app("FastAPI no-op", "floor", "fastapi_noop", _ASGI),
    _app("FastAPI tutorial", "tutorial", "tutorial", _ASGI),
    _offload("FastAPI, def", "/predict-def"),
    _offload("FastAPI, thread pool", "/predict-thread"),
    _offload("FastAPI, process pool", "/predict-process"),
    _app("Flask", "rival", "flask_app", _WSGI),
    _app("Django", "rival", "django_app", _WSGI),
    _app("Starlette", "rival", "starlette_app", _ASGI),
    _app("aiohttp", "rival", "aiohttp_app", _AIOHTTP),
    _mosec("mosec", 1),
    _mosec("mosec, batches of 32", 32),
    _slipway(SLIPWAY),
    _estimator(INLINE, "inline"),
    _estimator(THREAD, "thread", "--no-batching"),
    _estimator(BATCHED, "thread"),
    _estimator(PROCESS, "process"),
)
RAW, NOOP, TUTORIAL = (contender.name for contender in CONTENDERS[:3])
PEERS = [contender.name for contender in CONTENDERS if contender.group == "peer"]
OURS = [contender.name for contender in CONTENDERS if contender.group == "slipway"]

"""What the numbers were measured on: they mean little without it."""

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

from slipway.system.cpu import cpu_limit

from .server import ROOT

LIBRARIES = (
    *("fastapi", "starlette", "uvicorn", "gunicorn", "pydantic", "flask", "django", "aiohttp", "mosec"),
    *("scikit-learn", "numpy", "onnxruntime", "slipway-serve"),
)


def facts() -> dict[str, Any]:
    return {
        "cpu": _cpu(),
        "cpus": os.cpu_count(),
        "cpu_limit": cpu_limit(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "kernel": platform.release().partition("-")[0],
        "python": platform.python_version(),
        "libraries": {library: version(library) for library in LIBRARIES},
        "wrk": _output(["wrk", "-v"]).partition(" Copyright")[0],
        "revision": _output(["git", "describe", "--always", "--dirty"]) or None,
        "load_average_at_start": os.getloadavg()[0],
    }


class Interference:
    """The share of CPU time that others took of this machine's cores, as far as the kernel tells: stolen by other
    guests.
    """

    def __init__(self) -> None:
        self._before = _jiffies()

    def stolen(self) -> float:
        spent = [now - before for now, before in zip(_jiffies(), self._before, strict=True)]
        return round(spent[7] / max(1, sum(spent[:8])), 4)


def _jiffies() -> list[int]:
    return [int(field) for field in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _output(command: list[str]) -> str:
    try:
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout.strip()
    except OSError:
        return ""

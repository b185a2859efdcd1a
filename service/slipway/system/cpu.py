"""The CPU limit of this process: its cgroup's quota and its affinity. A container sees all CPUs of its host
otherwise.
"""

import math
import os
from collections.abc import Iterator
from pathlib import Path

from .cgroups import groups

# One per library that brings threads of its own: OpenMP (scikit-learn, XGBoost, LightGBM), OpenBLAS (numpy, scipy),
# MKL.
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def cpu_limit(root: Path = Path("/")) -> float:
    """CPUs that this process may use, such as 1.5: the least of its affinity and the quotas of its cgroup and of
    that one's parents.
    """
    return min([float(_affinity()), *_quotas(root)])


def worker_count(limit: float) -> int:
    """One worker per whole CPU, and at least one."""
    return max(1, math.floor(limit))


def thread_variables(limit: float, workers: int) -> dict[str, str]:
    """Environment variables that hold numeric libraries to `limit` CPUs over all workers. They are read when numpy
    is first imported.
    """
    return dict.fromkeys(THREAD_VARIABLES, str(max(1, math.floor(limit / workers))))


def limit_threads(limit: float, workers: int) -> None:
    """Sets these variables where the environment does not say otherwise. Before numpy is imported."""
    for name, value in thread_variables(limit, workers).items():
        os.environ.setdefault(name, value)


def _affinity() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _quotas(root: Path) -> Iterator[float]:
    for version, directory in groups("cpu", root):
        yield from _quota_v2(directory) if version == 2 else _quota_v1(directory)


def _quota_v2(directory: Path) -> Iterator[float]:
    try:
        quota, period = (directory / "cpu.max").read_text().split()
    except OSError:
        return
    if quota != "max":
        yield int(quota) / int(period)


def _quota_v1(directory: Path) -> Iterator[float]:
    try:
        quota = int((directory / "cpu.cfs_quota_us").read_text())
        period = int((directory / "cpu.cfs_period_us").read_text())
    except OSError:
        return
    if quota > 0:  # -1: no limit
        yield quota / period

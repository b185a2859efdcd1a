"""The CPU limit from both kinds of cgroup, and what follows from it."""

import os
from pathlib import Path

import pytest

from slipway.system import cpu

CPUS = float(len(os.sched_getaffinity(0)))


def machine(root: Path, membership: str, **files: str) -> Path:
    """A file tree with /proc/self/cgroup and the given files under /sys/fs/cgroup."""
    for name, content in {
        "proc/self/cgroup": membership,
        **{f"sys/fs/cgroup/{name}": text for name, text in files.items()},
    }.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content + "\n")
    return root


def test_without_cgroups_the_affinity_is_the_limit(tmp_path: Path) -> None:
    assert cpu.cpu_limit(tmp_path) == CPUS


def test_version_2_quota_limits(tmp_path: Path) -> None:
    machine(tmp_path, "0::/", **{"cpu.max": "50000 100000"})
    assert cpu.cpu_limit(tmp_path) == 0.5


def test_version_2_without_a_quota_does_not_limit(tmp_path: Path) -> None:
    machine(tmp_path, "0::/", **{"cpu.max": "max 100000"})
    assert cpu.cpu_limit(tmp_path) == CPUS


def test_the_quota_of_a_parent_group_limits_too(tmp_path: Path) -> None:
    machine(
        tmp_path,
        "0::/kubepods/pod1/container",
        **{"kubepods/pod1/cpu.max": "25000 100000", "kubepods/pod1/container/cpu.max": "50000 100000"},
    )
    assert cpu.cpu_limit(tmp_path) == 0.25


def test_version_1_quota_limits(tmp_path: Path) -> None:
    machine(
        tmp_path,
        "4:memory:/docker/abc\n3:cpu,cpuacct:/docker/abc",
        **{"cpu/docker/abc/cpu.cfs_quota_us": "75000", "cpu/docker/abc/cpu.cfs_period_us": "100000"},
    )
    assert cpu.cpu_limit(tmp_path) == 0.75


def test_version_1_quota_is_found_at_the_mount_when_the_path_is_the_hosts(tmp_path: Path) -> None:
    machine(
        tmp_path, "3:cpu,cpuacct:/docker/abc", **{"cpu/cpu.cfs_quota_us": "40000", "cpu/cpu.cfs_period_us": "100000"}
    )
    assert cpu.cpu_limit(tmp_path) == 0.4


def test_version_1_without_a_quota_does_not_limit(tmp_path: Path) -> None:
    machine(tmp_path, "3:cpu:/", **{"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"})
    assert cpu.cpu_limit(tmp_path) == CPUS


def test_a_quota_above_the_affinity_does_not_raise_the_limit(tmp_path: Path) -> None:
    machine(tmp_path, "0::/", **{"cpu.max": "12800000 100000"})
    assert cpu.cpu_limit(tmp_path) == CPUS


def test_the_affinity_limits_a_process_that_is_pinned(tmp_path: Path) -> None:
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        assert cpu.cpu_limit(tmp_path) == 1.0
    finally:
        os.sched_setaffinity(0, before)


@pytest.mark.parametrize(("limit", "workers"), [(0.25, 1), (1.0, 1), (1.9, 1), (2.0, 2), (7.5, 7)])
def test_there_is_a_worker_per_whole_cpu_and_at_least_one(limit: float, workers: int) -> None:
    assert cpu.worker_count(limit) == workers


@pytest.mark.parametrize(
    ("limit", "workers", "threads"), [(8.0, 2, "4"), (8.0, 3, "2"), (8.0, 8, "1"), (0.5, 1, "1"), (2.0, 4, "1")]
)
def test_numeric_threads_times_workers_stay_within_the_limit(limit: float, workers: int, threads: str) -> None:
    variables = cpu.thread_variables(limit, workers)
    assert variables == {"OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}

"""The memory limit from both kinds of cgroup, and what of it is in use for good."""

from pathlib import Path

from slipway.system.memory import Memory, megabytes, memory
from tests.unit.system.test_cpu import machine


def test_without_cgroups_nothing_limits(tmp_path: Path) -> None:
    assert memory(tmp_path) is None


def test_version_2_has_the_limit_and_files_that_were_read_are_not_in_use(tmp_path: Path) -> None:
    stat = "anon 100\nfile 700\nshmem 20\ninactive_file 680"
    machine(tmp_path, "0::/", **{"memory.max": "1000", "memory.stat": stat})
    assert memory(tmp_path) == Memory(limit=1000, used=120)


def test_version_2_without_a_limit_does_not_limit(tmp_path: Path) -> None:
    machine(tmp_path, "0::/", **{"memory.max": "max", "memory.stat": "anon 100"})
    assert memory(tmp_path) is None


def test_of_a_group_and_its_parents_the_one_with_the_least_room_limits(tmp_path: Path) -> None:
    machine(
        tmp_path,
        "0::/pod/container",
        **{
            "pod/memory.max": "1500",
            "pod/memory.stat": "anon 1200",
            "pod/container/memory.max": "1000",
            "pod/container/memory.stat": "anon 100",
        },
    )
    assert memory(tmp_path) == Memory(limit=1500, used=1200)


def test_version_1_has_the_limit_too_and_no_limit_is_a_large_number(tmp_path: Path) -> None:
    files = {
        "memory/docker/a/memory.limit_in_bytes": "1000",
        "memory/docker/a/memory.stat": "cache 500\ntotal_rss 300\ntotal_shmem 5",
        "memory/docker/memory.limit_in_bytes": "9223372036854771712",
        "memory/docker/memory.stat": "total_rss 3000",
    }
    machine(tmp_path, "4:memory:/docker/a", **files)
    assert memory(tmp_path) == Memory(limit=1000, used=305)


def test_sizes_are_told_in_megabytes() -> None:
    assert [megabytes(size) for size in (1200, 3e5, 9.96e6, 312.4e6)] == ["0.0 MB", "0.3 MB", "10.0 MB", "312 MB"]

"""The memory limit of this process: its cgroup's. Who goes beyond it is killed without a word."""

from pathlib import Path
from typing import NamedTuple

from ..errors import DoesNotFit
from .cgroups import groups

ROOT = Path("/")
_NO_LIMIT = 1 << 60  # version 1 says it with a number that no machine has
# What the kernel cannot take back when memory runs short: not the files that it has read.
_HELD = {2: ("anon", "shmem"), 1: ("total_rss", "total_shmem")}


class Memory(NamedTuple):
    """Bytes, of all processes of the group together."""

    limit: int
    used: int

    @property
    def free(self) -> int:
        return self.limit - self.used


def memory(root: Path | None = None) -> Memory | None:
    """Of the group with the least room, this process's or a parent of it; None where nothing limits it."""
    found = [each for version, group in groups("memory", root or ROOT) if (each := _of(version, group)) is not None]
    return min(found, key=lambda each: each.free, default=None)


def require_room(needed: int) -> None:
    """Raises DoesNotFit where the memory limit leaves less than a file's own size: loaded, it takes no less."""
    there = memory()
    if there is None or needed <= there.free:
        return
    # What is loaded is copied for a moment, and each worker takes some for itself.
    wanted = -(-int(there.used + needed * 1.25 + 128e6) // (1 << 20))
    raise DoesNotFit(
        f"Its file has {megabytes(needed)}, and {megabytes(there.used)} of the memory limit of "
        f"{megabytes(there.limit)} are in use: set the limit (resources.limits.memory) to {wanted}Mi or more"
    )


def _of(version: int, group: Path) -> Memory | None:
    try:
        limit = (group / ("memory.max" if version == 2 else "memory.limit_in_bytes")).read_text().strip()
        if limit == "max" or int(limit) >= _NO_LIMIT:
            return None
        counts = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
    except OSError:
        return None
    return Memory(int(limit), sum(int(counts.get(name, 0)) for name in _HELD[version]))


def megabytes(size: float) -> str:
    """As people write it: 0.3 MB, 312 MB."""
    return f"{size / 1e6:,.0f} MB" if size >= 10e6 else f"{size / 1e6:.1f} MB"

"""The control groups of this process, whose limits a container has."""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath


def groups(controller: str, root: Path = Path("/")) -> Iterator[tuple[int, Path]]:
    """The version (1 or 2) and folder of each group that this process is in, and of that one's parents."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:  # not Linux
        return
    for line in lines:
        _, controllers, group = line.split(":", 2)
        path = PurePosixPath(group).relative_to("/")
        # Inside a container the path may be the host's, of which only the last parent, the mount, is there to read.
        for directory in (path, *path.parents):
            if not controllers:
                yield 2, root / "sys/fs/cgroup" / directory
            elif controller in controllers.split(","):
                yield 1, root / "sys/fs/cgroup" / controller / directory

"""Whether the files of models have changed since they were read: by their sizes, times and inodes, which a ConfigMap's
new links change, too.
"""

import subprocess
from collections.abc import Sequence
from pathlib import Path

from ..errors import ArtifactError
from .folder import OVERRIDES_FILE, find_models

Stamp = tuple[tuple[str, int, int, int], ...]


def stamp(directory: Path) -> Stamp:
    """Of the files in it, not of those in its folders; empty where it cannot be read."""
    try:
        return tuple(sorted(_of_file(path) for path in directory.iterdir() if path.is_file()))
    except OSError:  # one is gone, or is on its way
        return ()


class Watch:
    """`changed` wants to be asked again and again: what is still being copied is waited for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._told = self._seen = self._look()

    def changed(self) -> bool:
        """Once for each change: when two looks have found the same, and it is another than before."""
        before, self._seen = self._seen, self._look()
        if self._seen != before or self._seen == self._told:
            return False
        self._told = self._seen
        return True

    def _look(self) -> dict[str, Stamp] | None:
        """By directory; None where the folder holds no models, or cannot be read."""
        overrides = self._folder / OVERRIDES_FILE
        try:
            found = {str(directory): stamp(directory) for _, _, directory in find_models(self._folder)}
            return found | {OVERRIDES_FILE: (_of_file(overrides),) if overrides.is_file() else ()}
        except (ArtifactError, OSError):
            return None


class Refresh:
    """Looks for new files at an address, again and again, in a process of its own: a source that hangs, or a library's
    threads, do not concern who asks. What it has fetched the Watch sees.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self._command = list(command)
        self._process: subprocess.Popen[bytes] | None = None

    def begin(self) -> None:
        """Unless the last one is still at it."""
        if self._process is None or self._process.poll() is not None:
            self._process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

    def reap(self) -> None:
        """Before anybody else does."""
        if self._process is not None:
            self._process.poll()

    def end(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()


def _of_file(path: Path) -> tuple[str, int, int, int]:
    found = path.stat()
    return path.name, found.st_size, found.st_mtime_ns, found.st_ino

"""The spool: lines on local disk that wait for the database. Bounded, in order, and taken over by a living worker when
its own dies.

Files `<worker>.<number>.jsonl` in one folder per pod; whoever holds the lock on `<worker>.lock` owns that worker's
files.
"""

import errno
import fcntl
import os
import re
import threading
import time
import uuid
from collections import deque
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import BinaryIO

from ..system.files import make_private_folder

SEGMENT_BYTES = 4 * 1024 * 1024  # what is read again at most, when a worker dies between a commit and the end of a file
TRIED_BYTES = 16 * 1024  # a few dozen records
NAMES_TRIED = 5  # more only fail where the file system cannot lock
MEASURED_FOR = 0.25  # seconds for which the size of the others' files is taken as known
_SEGMENT = re.compile(r"(?P<owner>[0-9a-f]{32})\.(?P<number>\d{10})\.jsonl")
_LOCK = re.compile(r"(?P<owner>[0-9a-f]{32})\.lock")


class SpoolFull(Exception):
    """The folder holds as much as it may."""


class Spool:
    """One per worker. Every method may raise OSError; any thread may call them, one runs at a time."""

    def __init__(self, folder: Path, most_bytes: int) -> None:
        self._folder = folder
        self._most_bytes = most_bytes
        self._owner = uuid.uuid4().hex
        self._number = 0
        self._busy = threading.Lock()
        self._locks: dict[str, int] = {}  # descriptors, by whose files they guard
        self._segments: deque[Path] = deque()  # whole or being written, the oldest first
        self._writing: BinaryIO | None = None  # the last of the segments, or none of them
        self._written = 0  # bytes of whole lines in the file that is being written
        self._listed = False  # whether the folder names it after a power cut, too
        self._reading: BinaryIO | None = None
        self._committed = self._read_to = 0  # in the oldest segment
        self._others = 0  # bytes in the folder, when they were last measured
        self._measured_at = float("-inf")
        self._since = 0  # bytes that this worker has written since then

    def start(self) -> None:
        """After the fork: a name of its own, whatever the master was called."""
        self._owner = uuid.uuid4().hex

    @property
    def empty(self) -> bool:
        return not self._segments

    def check(self) -> None:
        """Raises OSError or SpoolFull where nothing could be added. Leaves no more than the worker's lock."""
        with self._busy:
            self._check_room(1)
            self._own()
            written = os.pwrite(self._locks[self._owner], bytes(TRIED_BYTES), 0)
            os.ftruncate(self._locks[self._owner], 0)
            if written < TRIED_BYTES:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def append(self, lines: Sequence[bytes], *, durable: bool, bounded: bool = True) -> None:
        """Adds lines, each with its line break. All of them or none. `durable`: they survive a power cut. Raises
        SpoolFull.
        """
        data = b"".join(lines)
        with self._busy:
            if bounded:
                self._check_room(len(data))
            file = self._writing
            if file is None or self._written + len(data) > SEGMENT_BYTES:
                file = self._begin()
            try:
                left = memoryview(data)
                while left:  # a disk that is nearly full takes a part
                    left = left[file.write(left) :]
                if durable:
                    os.fdatasync(file.fileno())
                    if not self._listed:
                        sync_folder(self._folder)
                        self._listed = True
            except OSError:
                self._take_back(file)
                raise
            self._written += len(data)
            self._since += len(data)

    def read(self, most: int) -> list[bytes]:
        """The oldest lines, at most so many, which stay until `committed`. None are left where there are none."""
        with self._busy:
            while self._segments:
                if self._reading is None:
                    try:
                        self._reading = self._segments[0].open("rb")
                    except FileNotFoundError:  # somebody has tidied up
                        self._drop_oldest()
                        continue
                self._reading.seek(self._committed)
                lines: list[bytes] = []
                for line in self._reading:
                    # Torn by a death in mid-write: nobody was promised that one.
                    if not line.endswith(b"\n") or len(lines) == most:
                        break
                    lines.append(line)
                if lines:
                    self._read_to = self._committed + sum(map(len, lines))
                    return lines
                self._drop_oldest()
            return []

    def committed(self) -> None:
        """What `read` gave last is in the database: it is forgotten here."""
        with self._busy:
            if self._reading is None:  # adopted files have come before what was read
                return
            self._committed = self._read_to
            if self._segments and self._committed >= size_of(self._segments[0]):
                self._drop_oldest()

    def adopt(self) -> int:
        """Takes over the files of workers that are dead, before what is its own; answers how many files."""
        with self._busy:
            if not self._folder.is_dir():
                return 0
            found = 0
            for owner in sorted(
                {match["owner"] for path in self._folder.iterdir() if (match := owned(path))} - self._locks.keys()
            ):
                if self._lock(owner):
                    segments = sorted(self._folder.glob(f"{owner}.*.jsonl"))
                    self._rest()
                    self._segments.extendleft(reversed(segments))
                    found += len(segments)
                    if not segments:
                        self._unlock(owner)
            return found

    def size(self) -> int:
        """Bytes of the files that this worker owns."""
        with self._busy:
            return sum(size_of(path) for path in self._segments)

    def close(self) -> None:
        """Its files are free for others to take over."""
        with self._busy:
            for file in (self._writing, self._reading):
                if file is not None:
                    file.close()
            self._writing = self._reading = None
            self._segments.clear()
            for owner in list(self._locks):
                self._unlock(owner)

    def _check_room(self, size: int) -> None:
        if self._measure() + size > self._most_bytes:
            raise SpoolFull(
                f"the files in {self._folder} have the {self._most_bytes} bytes that SLIPWAY_LOG_SPOOL_BYTES allows"
            )

    def _own(self) -> None:
        """The folder is ours alone: features are nobody else's business."""
        make_private_folder(self._folder)
        for _ in range(NAMES_TRIED):
            if self._owner in self._locks or self._lock(self._owner):
                return
            # Another one took the lock for a dead worker's between its making and its locking.
            self._owner = uuid.uuid4().hex
        raise OSError(f"{self._folder} cannot be locked")

    def _begin(self) -> BinaryIO:
        """A new file for this worker's lines."""
        self._own()
        self._number += 1
        path = self._folder / f"{self._owner}.{self._number:010d}.jsonl"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        if self._writing is not None:
            self._writing.close()
        self._writing, self._written = os.fdopen(descriptor, "wb", buffering=0), 0
        self._listed = False
        self._segments.append(path)
        return self._writing

    def _take_back(self, file: BinaryIO) -> None:
        """A write that failed may have left a part, behind which nothing could be read."""
        try:
            file.truncate(self._written)
            file.seek(self._written)
        except OSError:
            file.close()
            self._writing = None

    def _drop_oldest(self) -> None:
        self._rest()
        path = self._segments.popleft()
        if not self._segments and self._writing is not None:
            self._writing.close()
            self._writing = None
        path.unlink(missing_ok=True)
        self._measured_at = float("-inf")
        owner = path.name.partition(".")[0]
        if owner != self._owner and not any(segment.name.startswith(owner) for segment in self._segments):
            self._unlock(owner)

    def _rest(self) -> None:
        """Whatever is read next is read from the beginning of a file: what the database has already is passed over
        there.
        """
        if self._reading is not None:
            self._reading.close()
            self._reading = None
        self._committed = self._read_to = 0

    def _measure(self) -> int:
        """Bytes in the folder, of all workers together."""
        now = time.monotonic()
        if now - self._measured_at > MEASURED_FOR:
            self._others = sum(map(size_of, listed(self._folder)))
            self._measured_at, self._since = now, 0
        return self._others + self._since

    def _lock(self, owner: str) -> bool:
        """False where its worker lives."""
        path = self._folder / f"{owner}.lock"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Another one took it over, was done with it, and removed it.
            if os.fstat(descriptor).st_ino != path.stat().st_ino:
                raise FileNotFoundError(path)
        except (BlockingIOError, FileNotFoundError):
            os.close(descriptor)
            return False
        self._locks[owner] = descriptor
        return True

    def _unlock(self, owner: str) -> None:
        """The lock's file goes first, where none of the worker's are left: whoever had opened it sees that it is
        gone.
        """
        descriptor = self._locks.pop(owner)
        if not any(self._folder.glob(f"{owner}.*.jsonl")):
            (self._folder / f"{owner}.lock").unlink(missing_ok=True)
        os.close(descriptor)


def owned(path: Path) -> re.Match[str] | None:
    return _SEGMENT.fullmatch(path.name) or _LOCK.fullmatch(path.name)


def listed(folder: Path) -> Iterable[Path]:
    try:
        return [path for path in folder.iterdir() if _SEGMENT.fullmatch(path.name)]
    except FileNotFoundError:
        return []


def size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

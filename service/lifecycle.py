"""Starting, ready, draining: what the master, its workers and `slipway drain` tell each other, in one shared piece of memory."""

import ctypes
import mmap
import os
import signal
import struct
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

FRESH = 10.0  # seconds for which a worker's report counts
SLOTS = 1024  # four generations of the most workers that can be set: a reload begins before the last one has ended

# Written with slices, never with pack_into, which zeroes the bytes first: a reader in another process would see that.
_HEADER = 64
_DRAINING, _EXPECTED, _USED, _ANSWERED, _SCRAPED = 0, 4, 8, 16, 24
_SLOT = 512
_REPORT = struct.Struct("=diH")  # checked_at, pid, length of the error
_CONNECTIONS, _RETIRED, _ERROR, _NOTE = 16, 20, 32, 256
_INT = struct.Struct("=i")
_TIME = struct.Struct("=d")
_LENGTH = struct.Struct("=H")


class Board:
    """Fixed-size shared memory: the drain mark and a slot per worker. Times are CLOCK_MONOTONIC, one clock for all processes."""

    def __init__(self, path: Path | None, slots: int) -> None:
        """Ready once `slots` workers have reported. Creates the file `path`; None: memory of this process and its forks alone."""
        size = _HEADER + SLOTS * _SLOT
        if path is None:
            self._memory = mmap.mmap(-1, size)
        else:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
            try:
                os.ftruncate(descriptor, size)
                self._memory = mmap.mmap(descriptor, size)
            finally:
                os.close(descriptor)
        self.expected = slots

    @classmethod
    def attach(cls, path: Path) -> Self:
        """The board of a server that another process started. Raises FileNotFoundError where none was started."""
        board = cls.__new__(cls)
        with path.open("r+b") as file:
            board._memory = mmap.mmap(file.fileno(), 0)
        return board

    @property
    def draining(self) -> bool:
        return self._memory[_DRAINING] != 0

    @draining.setter
    def draining(self, value: bool) -> None:
        self._memory[_DRAINING] = value

    @property
    def expected(self) -> int:
        """How many workers must be ready."""
        return self._read(_EXPECTED)

    @expected.setter
    def expected(self, workers: int) -> None:
        self._write(_EXPECTED, workers)

    @property
    def answered_at(self) -> float:
        """When the last answer since the drain mark was counted; the drain itself begins it."""
        return self._read_time(_ANSWERED)

    def answered(self) -> None:
        """An answer has just been counted in the metrics. Needed only while draining."""
        self._memory[_ANSWERED : _ANSWERED + _TIME.size] = _TIME.pack(time.monotonic())

    @property
    def scraped_at(self) -> float:
        """When the last scrape of the metrics began; 0 when there was none."""
        return self._read_time(_SCRAPED)

    def scraped(self, began: float) -> None:
        self._memory[_SCRAPED : _SCRAPED + _TIME.size] = _TIME.pack(began)

    def report(self, slot: int, error: str | None) -> None:
        """The worker in this slot has just asked its models: `error` is the first thing that is wrong, None when all is well."""
        at = _offset(slot)
        text = (error or "").encode(errors="replace")[: _NOTE - _ERROR]
        self._memory[at + _ERROR : at + _ERROR + len(text)] = text
        self._memory[at : at + _REPORT.size] = _REPORT.pack(time.monotonic(), os.getpid(), len(text))
        if slot >= self._read(_USED):
            self._write(_USED, slot + 1)

    def note(self, slot: int, text: str | None) -> None:
        """What the worker in this slot has to say beside its report: something is wrong that predictions can do without."""
        at = _offset(slot) + _NOTE
        content = (text or "").encode(errors="replace")[: _SLOT - _NOTE - _LENGTH.size]
        self._memory[at + _LENGTH.size : at + _LENGTH.size + len(content)] = content
        self._memory[at : at + _LENGTH.size] = _LENGTH.pack(len(content))

    def first_note(self) -> str | None:
        """Of the workers that serve."""
        for slot in self._serving():
            at = _offset(slot) + _NOTE
            (length,) = _LENGTH.unpack(self._memory[at : at + _LENGTH.size])
            if length:
                return self._memory[at + _LENGTH.size : at + _LENGTH.size + length].decode(errors="ignore")
        return None

    def connections(self, slot: int, count: int) -> None:
        """The worker in this slot has `count` client connections open."""
        self._write(_offset(slot) + _CONNECTIONS, count)

    def total_connections(self) -> int:
        return sum(self._read(_offset(slot) + _CONNECTIONS) for slot in range(SLOTS))

    def fewest_connections(self, *, besides: int) -> int | None:
        """Of the workers that serve, except the one in the slot `besides`; None when there is no other."""
        others = [slot for slot in self._serving() if slot != besides]
        return min((self._read(_offset(slot) + _CONNECTIONS) for slot in others), default=None)

    def retire(self, slot: int) -> None:
        """The worker in this slot is leaving because others have taken over: what it reports no longer matters."""
        self._memory[_offset(slot) + _RETIRED] = 1

    def clear(self, slot: int) -> None:
        """The worker in this slot is gone."""
        at = _offset(slot)
        self._memory[at : at + _SLOT] = bytes(_SLOT)

    def reported(self, slot: int) -> bool:
        """Whether the worker in this slot has asked its models at least once, however it went."""
        return self._report(slot)[0] > 0

    def verdict(self) -> str | None:
        """None while as many workers as expected have lately answered well and none answered badly; otherwise a sentence."""
        now, ready = time.monotonic(), 0
        for slot in self._serving():
            checked_at, pid, length = self._report(slot)
            if length:
                at = _offset(slot) + _ERROR
                return self._memory[at : at + length].decode(errors="ignore")
            if now - checked_at > FRESH:
                return f"worker {pid} has not checked its models for {now - checked_at:.0f} s"
            ready += 1
        if ready < self.expected:
            return f"{ready} of {self.expected} workers have answered their models' example rows"
        return None

    def _serving(self) -> Iterator[int]:
        """The slots whose workers have begun, and are not leaving."""
        for slot in range(self._read(_USED)):
            if self.reported(slot) and not self._memory[_offset(slot) + _RETIRED]:
                yield slot

    def _report(self, slot: int) -> tuple[float, int, int]:
        at = _offset(slot)
        return _REPORT.unpack(self._memory[at : at + _REPORT.size])

    def _read(self, at: int) -> int:
        value: int = _INT.unpack(self._memory[at : at + _INT.size])[0]
        return value

    def _read_time(self, at: int) -> float:
        value: float = _TIME.unpack(self._memory[at : at + _TIME.size])[0]
        return value

    def _write(self, at: int, value: int) -> None:
        self._memory[at : at + _INT.size] = _INT.pack(value)


def _offset(slot: int) -> int:
    if not 0 <= slot < SLOTS:
        raise IndexError(f"slot {slot} is not between 0 and {SLOTS - 1}")
    return _HEADER + slot * _SLOT


@dataclass(slots=True)
class Lifecycle:
    """The board, and the slot of this process on it: made in the master, shared by reference, the slot set after the fork."""

    board: Board
    slot: int = 0

    @property
    def draining(self) -> bool:
        return self.board.draining


def die_with(parent: int) -> None:
    """The kernel kills this process when its parent (a process id) dies, however that dies. Call it first in a forked child."""
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None, use_errno=True).prctl(pr_set_pdeathsig, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the line above
        os._exit(1)

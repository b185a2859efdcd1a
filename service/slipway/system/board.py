"""Starting, ready, draining: what the master, its workers and `slipway drain` tell each other, in one shared piece
of memory.
"""

import contextlib
import json
import mmap
import os
import struct
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Self

FRESH = 10.0  # seconds for which a worker's report counts
SLOTS = 1024  # four generations of the most workers that can be set: a reload begins before the last one has ended

# Written with slices, never with pack_into, which zeroes the bytes first: a reader in another process would see that.
_DRAINING, _EXPECTED, _USED, _ANSWERED, _SCRAPED, _ASIDE_LENGTH, _SINCE, _ASIDE = 0, 4, 8, 16, 24, 32, 40, 64
_HEADER = 16_384
_REPORT = struct.Struct("=diH")  # checked_at, pid, length of the error
_CONNECTIONS, _RETIRED, _WORN, _UNSTARTED, _ASKING, _ERROR, _NOTE, _MARKS = 16, 20, 21, 22, 24, 32, 256, 512
_MARK = 320  # a model's name and version, what is done with it, and a request's id at its longest
MARKS = 6  # the event loop's, and as many threads' as are likely to run at once; what has no mark is not blamed
_COMPLAINT = _MARKS + MARKS * _MARK
_SLOT = _COMPLAINT + _MARK
_INT = struct.Struct("=i")
_TIME = struct.Struct("=d")
_LENGTH = struct.Struct("=H")


class InHand(NamedTuple):
    """What a worker does with a model: `doing` is load, check or predict; `requests`: the ids of those that it is
    done for.
    """

    model: str  # name and version
    doing: str
    requests: tuple[str, ...]


class Mark:
    """A place on the board for one thing that a worker has in hand. It stays there when the worker dies in the
    middle.
    """

    __slots__ = ("at", "memory")

    def __init__(self, memory: mmap.mmap, at: int) -> None:
        self.memory = memory
        self.at = at

    def begin(self, text: bytes) -> None:
        """`text`: name, version, what is done, and ids, with a blank between; it ends with a newline."""
        at = self.at
        self.memory[at : at + len(text)] = text

    def end(self) -> None:
        self.memory[self.at] = 0


class Board:
    """Fixed-size shared memory: the drain mark and a slot per worker. Times are CLOCK_MONOTONIC, one clock for all
    processes.
    """

    _aside_seen: dict[str, str] = {}  # noqa: RUF012 - replaced as a whole

    def __init__(self, path: Path | None, slots: int) -> None:
        """Ready once `slots` workers have reported. Creates the file `path`; None: memory of this process and its forks
        alone.

        Raises OSError where there is no room for it.
        """
        size = _HEADER + SLOTS * _SLOT
        if path is None:
            self._memory = mmap.mmap(-1, size)
        else:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
            try:
                reserve(descriptor, size)
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
        if value and not self.draining:
            self._memory[_SINCE : _SINCE + _TIME.size] = _TIME.pack(time.monotonic())
        self._memory[_DRAINING] = value

    @property
    def draining_since(self) -> float:
        """When the drain began; means nothing without one."""
        return self._read_time(_SINCE)

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
        """The worker in this slot has just asked its models: `error` is the first thing that is wrong, None when all
        is well.
        """
        at = _offset(slot)
        text = (error or "").encode(errors="replace")[: _NOTE - _ERROR]
        self._memory[at + _ERROR : at + _ERROR + len(text)] = text
        self._memory[at : at + _REPORT.size] = _REPORT.pack(time.monotonic(), os.getpid(), len(text))
        if slot >= self._read(_USED):
            self._write(_USED, slot + 1)

    def note(self, slot: int, text: str | None) -> None:
        """What the worker in this slot has to say beside its report: something is wrong that predictions can do
        without.
        """
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

    def asking(self, slot: int, count: int) -> None:
        """Of the connections of the worker in this slot, `count` have a request in hand. Needed only while draining."""
        self._write(_offset(slot) + _ASKING, count)

    def total_asking(self) -> int:
        return sum(self._read(_offset(slot) + _ASKING) for slot in range(SLOTS))

    def fewest_connections(self, *, besides: int) -> int | None:
        """Of the workers that serve, except the one in the slot `besides`; None when there is no other."""
        others = [slot for slot in self._serving() if slot != besides]
        return min((self._read(_offset(slot) + _CONNECTIONS) for slot in others), default=None)

    def mark(self, slot: int, place: int) -> Mark:
        """One of the MARKS of the worker in this slot."""
        return Mark(self._memory, _offset(slot) + _MARKS + place * _MARK)

    def in_hand(self, slot: int) -> list[InHand]:
        """What the worker in this slot does, or did when it died."""
        at = _offset(slot) + _MARKS
        found = (_in_hand(self._memory[at + place * _MARK : at + (place + 1) * _MARK]) for place in range(MARKS))
        return [each for each in found if each is not None]

    def complain(self, slot: int, text: bytes) -> None:
        """The worker in this slot has lost an inference: why, a blank, and what in the form of a mark. The master
        takes it.
        """
        Mark(self._memory, _offset(slot) + _COMPLAINT).begin(text)

    def take_complaint(self, slot: int) -> tuple[InHand, str] | None:
        """What, and why."""
        at = _offset(slot) + _COMPLAINT
        reason, _, text = self._memory[at : at + _MARK].partition(b" ")
        found = _in_hand(text) if reason[:1] not in (b"", b"\0") else None
        self._memory[at] = 0
        return None if found is None else (found, reason.decode(errors="replace"))

    def wear_out(self, slot: int) -> None:
        """The worker in this slot has a thread that does not return: it serves on until another one does."""
        self._memory[_offset(slot) + _WORN] = 1

    def worn(self, slot: int) -> bool:
        return self._memory[_offset(slot) + _WORN] != 0

    def fail_to_start(self, slot: int) -> None:
        """The worker in this slot could not start, and not for a model's sake."""
        self._memory[_offset(slot) + _UNSTARTED] = 1

    def failed_to_start(self, slot: int) -> bool:
        return self._memory[_offset(slot) + _UNSTARTED] != 0

    @property
    def aside(self) -> dict[str, str]:
        """The models that the master has set aside, by name and version, and why."""
        (length,) = _LENGTH.unpack(self._memory[_ASIDE_LENGTH : _ASIDE_LENGTH + _LENGTH.size])
        # The master is writing: what was there before will do until the next look.
        with contextlib.suppress(ValueError):
            self._aside_seen = json.loads(self._memory[_ASIDE : _ASIDE + length]) if length else {}
        return self._aside_seen

    @aside.setter
    def aside(self, models: dict[str, str]) -> None:
        content = json.dumps(models).encode()
        if len(content) > _HEADER - _ASIDE:  # some hundreds: there is no room for why
            content = json.dumps(dict.fromkeys(list(models)[:100], "it is set aside")).encode()
        self._memory[_ASIDE : _ASIDE + len(content)] = content
        self._memory[_ASIDE_LENGTH : _ASIDE_LENGTH + _LENGTH.size] = _LENGTH.pack(len(content))

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
        """None while as many workers as expected have lately answered well and none answered badly; otherwise a
        sentence.
        """
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


def _in_hand(content: bytes) -> InHand | None:
    if not content[0]:
        return None
    name, version, doing, *requests = content.partition(b"\n")[0].decode(errors="replace").split(" ")
    return InHand(f"{name} {version}", doing, tuple(filter(None, requests)))


def reserve(descriptor: int, size: int) -> None:
    """Makes the file that long, and its pages its own: writing to a mapped page that memory has no room for ends a
    process by SIGBUS.

    Raises OSError where there is no room.
    """
    if sys.platform == "linux":
        os.posix_fallocate(descriptor, 0, size)
    else:
        os.ftruncate(descriptor, size)


@dataclass(slots=True)
class Lifecycle:
    """The board, and the slot of this process on it: made in the master, shared by reference, the slot set after the
    fork.
    """

    board: Board
    slot: int = 0

    @property
    def draining(self) -> bool:
        return self.board.draining

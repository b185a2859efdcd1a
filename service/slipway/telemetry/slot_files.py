"""Metric values in the files of a slot, counted up with less ado than by the library itself: each request counts five
times.

The files lie in memory that may be full: what finds no room there is counted for nobody, and said to be, for a page
that a mapped file has and memory has not would end the process.
"""

import errno
import logging
import mmap
import os
import struct
from bisect import bisect_left
from collections.abc import Callable
from typing import Any

from prometheus_client import Counter, Histogram
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.values import MultiProcessValue

from ..system.board import reserve

log = logging.getLogger("slipway.metrics")

_DOUBLE = struct.Struct("=d")
_FILE_BYTES = 1 << 16  # at first; it doubles
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

# Of all processes: whether series have been lost. Inherited with the fork, and in no file system that may be full.
_lost = mmap.mmap(-1, mmap.PAGESIZE)


def series_lost() -> bool:
    """Whether there has been no room for a series in some process, since the server began."""
    return _lost[0] != 0


class ReservedDict(MmapedDict):
    """The library's file of values, all of whose pages are its own. What finds no room in it shares a place that
    nobody reads.
    """

    def __init__(self, filename: str, read_mode: bool = False) -> None:
        try:
            _reserve(filename, _FILE_BYTES)
        except OSError as exc:
            if exc.errno not in _NO_ROOM:
                raise
            _say_lost(filename)
            self._f = None  # type: ignore[assignment]  # memory of this process alone, which has the shape of a file
            self._fname, self._capacity, self._used = filename, _FILE_BYTES, 8
            self._m = mmap.mmap(-1, _FILE_BYTES)
            self._positions: dict[str, int] = {}
        else:
            super().__init__(filename, read_mode)  # type: ignore[no-untyped-call]

    def _init_value(self, key: str) -> None:
        # The length, the padding, two doubles, and the place that nobody reads.
        needed = self._used + len(key.encode()) + 64
        capacity = self._capacity
        while capacity < needed:
            capacity *= 2
        if capacity > self._capacity:
            try:
                if self._f is None:
                    raise OSError(errno.ENOSPC, "no file")
                reserve(self._f.fileno(), capacity)
            except OSError as exc:
                if exc.errno not in _NO_ROOM:
                    raise
                _say_lost(self._fname)
                self._positions[key] = self._capacity - 16
                return
        super()._init_value(key)  # type: ignore[no-untyped-call]


def _reserve(filename: str, size: int) -> None:
    descriptor = os.open(filename, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        reserve(descriptor, max(size, os.fstat(descriptor).st_size))
    finally:
        os.close(descriptor)


def _say_lost(filename: str) -> None:
    if not _lost[0]:
        log.error(
            "metrics are lost, for there is no room for them in %s: set SLIPWAY_RUNTIME_DIR to a larger folder",
            os.path.dirname(filename),
        )
    _lost[0] = 1


def slot_values(slot: Callable[[], str]) -> Any:
    """A class for prometheus_client.values.ValueClass. One thread counts; the first `set` after a fork finds the new
    slot.
    """

    base: Any = MultiProcessValue(slot)  # type: ignore[no-untyped-call]

    class SlotValue(base):  # type: ignore[misc]
        _value: float

        def inc(self, amount: float) -> None:
            self._value = value = self._value + amount
            file = self._file
            at = file._positions[self._key]
            file._m[at : at + _DOUBLE.size] = _DOUBLE.pack(value)

    return SlotValue


def observer(histogram: Histogram) -> Callable[[float], None]:
    """The `observe` of a histogram with its labels set, which it need not verify again each time."""
    add_up, bounds = histogram._sum.inc, histogram._upper_bounds
    count = [bucket.inc for bucket in histogram._buckets]

    def observe(amount: float) -> None:
        add_up(amount)
        count[bisect_left(bounds, amount)](1)

    return observe


def counter(counter: Counter) -> Callable[[float], None]:
    """The `inc` of a counter with its labels set, as above; only for what never sinks."""
    inc: Callable[[float], None] = counter._value.inc
    return inc

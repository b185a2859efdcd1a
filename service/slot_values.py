"""Metric values in the files of a slot, counted up with less ado than by the library itself: each request counts five times."""

import struct
from bisect import bisect_left
from collections.abc import Callable
from typing import Any

from prometheus_client import Counter, Histogram
from prometheus_client.values import MultiProcessValue

_DOUBLE = struct.Struct("=d")


def slot_values(slot: Callable[[], str]) -> Any:
    """A class for prometheus_client.values.ValueClass. One thread counts; the first `set` after a fork finds the new slot."""

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

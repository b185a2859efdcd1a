"""What this worker does with which model, on the board: the master reads it there when the worker has died in the
middle.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Literal

from ..system.board import MARKS, Lifecycle, Mark

Doing = Literal["load", "check", "predict"]
Reason = Literal["hung", "died"]


class Marks:
    """Of one process. `inline` is the event loop's own; the others are taken in turn by threads, and there may be
    none left.
    """

    def __init__(self, lifecycle: Lifecycle) -> None:
        self._lifecycle = lifecycle
        self.start()

    def start(self) -> None:
        """After the fork: from now on they are those of this worker's slot."""
        board, slot = self._lifecycle.board, self._lifecycle.slot
        self.inline = board.mark(slot, 0)
        self._free: list[Mark] = [board.mark(slot, place) for place in range(1, MARKS)]

    @property
    def workers(self) -> int:
        """How many there are to be, this one included."""
        return self._lifecycle.board.expected

    @contextmanager
    def held(self, model: str, doing: Doing, requests: Iterable[str] = ()) -> Iterator[None]:
        """While a thread does this for a model, which is its name and version."""
        try:
            mark = self._free.pop()
        except IndexError:
            yield
            return
        mark.begin(text(model, doing, requests))
        try:
            yield
        finally:
            mark.end()
            self._free.append(mark)

    def given_up(self, model: str, doing: Doing, requests: Iterable[str] = (), reason: Reason = "hung") -> None:
        """Tells the master of what does not return, or has ended a child process."""
        self._lifecycle.board.complain(self._lifecycle.slot, reason.encode() + b" " + text(model, doing, requests))

    def wear_out(self) -> None:
        """A thread is lost: asks the master for another worker in the place of this one."""
        self._lifecycle.board.wear_out(self._lifecycle.slot)


def text(model: str, doing: Doing, requests: Iterable[str] = ()) -> bytes:
    """As a mark has it; of many requests' ids, as many as there is room for."""
    content = f"{model} {doing}"
    for request in requests:
        if len(content) + len(request) > 300:
            break
        content += f" {request}"
    return f"{content}\n".encode()

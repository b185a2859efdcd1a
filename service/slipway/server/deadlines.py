"""What a client must do in time: ask at all, end what it asks, and read its answers."""

import asyncio
from abc import abstractmethod
from typing import Any

from uvicorn import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from .timeouts import Timeouts
from .transport import Flow, takes_its_answers


class Deadlines(HttpToolsProtocol):
    """The clock of a connection, and what it looks at."""

    __slots__ = (
        "_begun_at",
        "_clock",
        "_due",
        "_ended_at",
        "_head_bytes",
        "_head_complete",
        "_idle_since",
        "_refused",
        "_timeouts",
        "_unread",
        "_unread_since",
    )

    def __init__(
        self, config: Config, server_state: ServerState, app_state: dict[str, Any], timeouts: Timeouts
    ) -> None:
        super().__init__(config, server_state, app_state)
        self._timeouts = timeouts
        self.flow: Flow
        self._refused = False  # what still comes is thrown away
        # Since the piece in which a request began or its body went on; None between requests.
        self._head_bytes: int | None = None
        self._head_complete = False  # of the request that is being read
        self._begun_at: float  # when the request that is being read began
        # When the last request was complete, or its answer: what a client sends in between does not count.
        self._idle_since: float
        self._unread: int  # bytes, when the client was last found not to read
        self._unread_since: float
        self._ended_at: float
        self._clock: asyncio.TimerHandle  # rings at `_due`
        self._due: float

    @abstractmethod
    def _give_up(self) -> None:
        """On a request that does not arrive."""

    def idle_since(self) -> float | None:
        """Since when the client has neither asked anything whole nor been answered; None while a whole request of
        its waits for us.
        """
        if self._head_bytes is not None:
            return self._begun_at
        return self._idle_since if self._is_quiet() or self.flow.write_paused or self._refused else None

    def is_asking(self) -> bool:
        """Whether a request is on its way, or its answer."""
        return self._head_bytes is not None or not self._is_quiet() or self.flow.write_paused or self.flow.read_paused

    def close_if_idle(self, since: float) -> None:
        """Where nothing has been asked since then: the client keeps it for later, and can open another elsewhere."""
        if not (self.is_asking() or self._refused) and self._idle_since <= since:
            self.transport.close()

    def _is_quiet(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def pause_writing(self) -> None:
        super().pause_writing()
        self._begin_to_wait_for_reader()

    def _begin_to_wait_for_reader(self) -> None:
        self._unread = self.transport.get_write_buffer_size()
        self._unread_since = self.loop.time()
        self._look_by(self._unread_since + self._timeouts.unread)

    def _reading_time(self) -> float:
        return self._timeouts.request if self._head_complete else self._timeouts.head

    def _look_at(self, due: float) -> None:
        self._due = due
        self._clock = self.loop.call_at(due, self._look)

    def _look_by(self, due: float) -> None:
        if due < self._due:
            self._clock.cancel()
            self._look_at(due)

    def _look(self) -> None:
        """One clock for the whole connection: to set one anew for every request costs as much as a small model."""
        if self.transport.is_closing():  # which has a clock of its own
            return
        now, keep_alive = self.loop.time(), self.timeout_keep_alive
        self._due = float("inf")
        if self.flow.write_paused:
            due, act = self._unread_since + self._timeouts.unread, self._cut_unless_read
        elif self._refused and self._is_quiet():
            due, act = self._ended_at + self._timeouts.goodbye, self.transport.abort
        elif self._head_bytes is not None and not self.flow.read_paused:
            due, act = self._begun_at + self._reading_time(), self._give_up
        elif not self._is_quiet() or self.flow.read_paused:
            self._begun_at = now  # it is we who do not read on
            self._look_at(now + min(keep_alive, self._timeouts.head))
            return
        else:
            due, act = self._idle_since + keep_alive, self.transport.close
        if due > now:
            self._look_at(due)
        else:
            act()

    def _cut_unless_read(self) -> None:
        if takes_its_answers(self._unread, self.transport.get_write_buffer_size()):
            self._begin_to_wait_for_reader()
        else:
            self.transport.abort()

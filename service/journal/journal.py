"""The prediction log as the predictor and the API see it: keep this answer, and this outcome."""

import logging
import time
from collections.abc import Callable
from random import random

from ..answers import Answers
from ..batch import Batch
from ..caller import Caller
from ..errors import LogAway, LogFull
from ..loaded import LoadedModel
from ..log_metrics import LogMetrics
from ..logs import request_id
from ..settings import Durability, Settings
from .answered import Answered, Recorder
from .backlog import Backlog
from .link import Link
from .memory import MOST_ROWS
from .record import Feedback
from .row_keys import new_key, row_key
from .spool import Spool
from .store import Store
from .writer import Writer

Headers = tuple[tuple[bytes, bytes], ...]
ID_HEADER = b"x-prediction-id"
QUIET_SECONDS = 60.0  # between two lines that say the same

log = logging.getLogger("slipway.log")


class Journal:
    """One per worker. Costs nothing before its first use: no thread, no connection, no file. `start` after the fork."""

    def __init__(
        self, settings: Settings, recorder: Recorder, metrics: LogMetrics, connect: Callable[[], Store], prepare: Callable[[], None]
    ) -> None:
        self.durability: Durability = settings.log
        self._refuse = settings.log_overflow == "refuse"
        self._metrics = metrics
        self._say_at = 0.0
        self._spool = Spool(settings.log_spool, settings.log_spool_bytes)
        self._backlog = backlog = Backlog(self._spool, metrics, refuse=self._refuse)
        link = Link(connect, prepare, metrics, needed=settings.log == "sync")
        self._writer = Writer(link, backlog, recorder, metrics, commit=settings.log == "sync")
        self._memory = self._writer.memory

    @property
    def trouble(self) -> str | None:
        """What keeps records from the database, as a sentence; None while nothing is known to."""
        return self._writer.trouble

    @property
    def note(self) -> str | None:
        """All that is wrong, with the spool, too."""
        return "; ".join(filter(None, (self.trouble, self._backlog.trouble))) or None

    async def start(self) -> None:
        self._spool.start()
        self._metrics.database_up(True)
        if self.durability != "off":
            self._writer.start()
        if self.durability == "sync":
            await self._writer.connect()

    async def close(self) -> None:
        """After the last answer."""
        await self._writer.close()

    def put(self, model: LoadedModel, batch: Batch, answers: Answers, caller: Caller, *, always: bool = False) -> Headers:
        """Headers for the answer, as ASGI has them; it is kept in the background. As set, and sampled by the model's rate, or `always`.

        Raises LogFull past the bounds, where those refuse.
        """
        rows = len(answers.predictions)
        if (not always and model.log_rate < 1.0 and random() >= model.log_rate) or not self._takes(rows):
            return ()
        answered = self._answered(model, batch, answers, caller)
        self._memory.put(answered, rows)
        if self.durability == "off":
            self._writer.start()
        return () if self._backlog.dropping and self.trouble is not None else ((ID_HEADER, answered[0][0].encode()),)

    async def keep(self, model: LoadedModel, batch: Batch, answers: Answers, caller: Caller) -> Headers:
        """The same, once it is on disk or committed. Raises also LogAway where it cannot be committed."""
        rows = len(answers.predictions)
        if (model.log_rate < 1.0 and random() >= model.log_rate) or not self._takes(rows):
            return ()
        answered = self._answered(model, batch, answers, caller)
        kept = await caller.wait(self._writer.keep(answered, rows))
        header = (ID_HEADER, answered[0][0].encode())
        if self.durability == "sync":
            if not kept:
                raise LogAway(f"The answer cannot be logged before it is given: {self.trouble or 'the database is away'}")
            return (header, (b"x-logged", b"true"))
        if not kept and self._refuse:
            raise LogFull("The answer cannot be logged before it is given: neither its spool nor its database takes records")
        return () if not kept and self._backlog.dropping and self.trouble is not None else (header,)

    def feedback(self, outcomes: list[tuple[str, int, str]], client: str | None) -> None:
        """True outcomes: the key of a request's first row, the row's position in it, and the outcome as JSON text. Raises LogFull."""
        if self._memory.rows >= MOST_ROWS or self._backlog.refusing:
            self._refuse_or_drop(len(outcomes), refuse=True)
        now, (first, _) = time.time(), new_key()
        rows = enumerate(outcomes)
        self._memory.put_rows([Feedback(row_key(first, i), now, row_key(key, at), outcome, client) for i, (key, at, outcome) in rows])
        self._writer.start()

    def _answered(self, model: LoadedModel, batch: Batch, answers: Answers, caller: Caller) -> Answered:
        key, caller.key = caller.key or new_key(), None
        seconds = time.monotonic() - caller.arrival
        identity, now, rows = request_id.get(), time.time_ns(), batch.rows or batch
        return (key, now, identity, caller.dialect, caller.client, model, rows, answers.predictions, answers.confidences, seconds)

    def _takes(self, rows: int) -> bool:
        if self._memory.rows >= MOST_ROWS or self._backlog.refusing:
            self._refuse_or_drop(rows)
            return False
        return True

    def _refuse_or_drop(self, rows: int, *, refuse: bool = False) -> None:
        why = "its database is away, and the spool is full" if self._backlog.refusing else f"{MOST_ROWS} rows wait to be written already"
        if self._refuse or refuse:
            raise LogFull(f"The prediction log takes no more records: {why}")
        self._metrics.counted("dropped", rows)
        if time.monotonic() >= self._say_at:
            self._say_at = time.monotonic() + QUIET_SECONDS
            log.error("Records of the prediction log are dropped: %s", why)

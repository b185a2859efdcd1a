"""The prediction log as the predictor and the API see it: keep this answer, and this outcome."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Sequence
from random import random

from ..engine.call import Call, MustWait
from ..engine.loaded_model import LoadedModel
from ..errors import ArtifactError, LogAway, LogFull
from ..model.answers import Answers
from ..model.batch import Batch
from ..model.rows import MOST_NAMES
from ..model.signature import Signature
from ..settings import Durability, Settings
from ..telemetry.log_metrics import LogMetrics
from ..telemetry.request_id import new_key, request_id, row_key
from .backlog import Backlog
from .bounds import MOST_ROWS
from .database import Database, open_store
from .queue import Answered, Recorder
from .record import Feedback
from .redaction import Redaction
from .spool import Spool
from .stores.errors import StoreAway
from .stores.size_bound import SizeBound
from .upkeep.embedded import prepare
from .writer import Writer

Headers = tuple[tuple[bytes, bytes], ...]
ID_HEADER = b"x-prediction-id"
QUIET_SECONDS = 60.0  # between two lines that say the same
LOOK_SECONDS = 10.0  # between two looks for the oldest row
LONGEST_REQUEST = 3600.0  # seconds from a request, which its key tells, to its answer, which its row does
CLOCK_SKEW = 300.0  # seconds that another server's clock may be ahead
UNASKED_BYTES = 64 * 1024 * 1024  # in the file, and in the spool, where the log is off and single requests leave rows

log = logging.getLogger("slipway.log")


def allowed(settings: Settings, most_bytes: int) -> int:
    """Of the bytes that a setting allows."""
    return min(most_bytes, UNASKED_BYTES) if settings.log == "off" else most_bytes


class PredictionLog:
    """One per worker. Costs nothing before its first use: no thread, no connection, no file. `start` after the fork."""

    def __init__(self, settings: Settings, database: Database, recorder: Recorder, metrics: LogMetrics) -> None:
        self.durability: Durability = settings.log
        self._refuse = settings.log_overflow == "refuse"
        self._metrics = metrics
        self._say_at = 0.0
        self._look_at = 0.0
        self._since = 0.0  # the time of the oldest request whose rows are kept
        self._spool = Spool(settings.log_spool, allowed(settings, settings.log_spool_bytes))
        self._database = database
        self._backlog = Backlog(self._spool, metrics, refuse=self._refuse)
        self._writer = Writer(database, self._backlog, recorder, metrics, commit=settings.log == "sync")

    @property
    def trouble(self) -> str | None:
        """What keeps records from the database, as a sentence; None while nothing is known to."""
        return self._database.trouble

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
            with contextlib.suppress(StoreAway):  # known to `trouble`
                await self._database.open()

    async def close(self) -> None:
        """After the last answer."""
        await self._writer.close()

    def put(self, model: LoadedModel, batch: Batch, answers: Answers, call: Call, *, always: bool = False) -> Headers:
        """Headers for the answer, as ASGI has them; it is kept in the background. As set, and sampled by the model's
        rate, or `always`.

        Raises LogFull past the bounds, where those refuse.
        """
        if (not always and model.log_rate < 1.0 and random() >= model.log_rate) or not self._takes(answers):
            return ()
        answered = _answered(model, batch, answers, call)
        self._writer.queue.put(answered)
        if self.durability == "off":
            self._writer.start()
        return () if self._backlog.dropping and self.trouble is not None else ((ID_HEADER, answered.key.encode()),)

    async def keep(self, model: LoadedModel, batch: Batch, answers: Answers, call: Call) -> Headers:
        """The same, once it is on disk or committed. Raises also LogAway where it cannot be committed."""
        if (model.log_rate < 1.0 and random() >= model.log_rate) or not self._takes(answers):
            return ()
        answered = _answered(model, batch, answers, call)
        kept = await call.wait(self._writer.keep(answered))
        header = (ID_HEADER, answered.key.encode())
        if self.durability == "sync":
            if not kept:
                raise LogAway(
                    f"The answer cannot be logged before it is given: {self.trouble or 'the database is away'}"
                )
            return (header, (b"x-logged", b"true"))
        if not kept and self._refuse:
            raise LogFull(
                "The answer cannot be logged before it is given: neither its spool nor its database takes records"
            )
        return () if not kept and self._backlog.dropping and self.trouble is not None else (header,)

    def feedback(self, outcomes: list[tuple[str, int, str]], client: str | None) -> None:
        """True outcomes: the key of a request's first row, the row's position in it, and the outcome as JSON text.
        Raises LogFull.
        """
        if self._writer.outcomes.full or self._backlog.refusing:
            raise LogFull("The prediction log takes no more feedback for now: too much of it waits to be stored")
        now, first = time.time(), new_key()
        rows = enumerate(outcomes)
        self._writer.outcomes.put(
            [Feedback(row_key(first, i), now, row_key(key, at), outcome, client) for i, (key, at, outcome) in rows]
        )
        self._writer.start()

    async def kept(self, call: Call) -> tuple[float, float]:
        """Between which times, in seconds since 1970, a request was made whose rows may be here; from 0 where that
        is not known.
        """
        if time.monotonic() >= self._look_at:
            if not call.waits:
                raise MustWait
            await call.wait(asyncio.ensure_future(self._look()))
        return self._since, time.time() + CLOCK_SKEW

    async def _look(self) -> None:
        self._look_at = time.monotonic() + LOOK_SECONDS
        self._writer.start()  # whose end closes what is opened here
        try:
            oldest = await self._database.oldest()
            self._since = (time.time() if oldest is None else oldest) - LONGEST_REQUEST
        except StoreAway:
            self._since = 0.0

    def _takes(self, answers: Answers) -> bool:
        refusing = self._backlog.refusing
        if self._writer.queue.rows < MOST_ROWS and not refusing:
            return True
        why = (
            "its database is away, and the spool is full"
            if refusing
            else (f"{MOST_ROWS} rows wait to be written already")
        )
        if self._refuse:
            raise LogFull(f"The prediction log takes no more records: {why}")
        self._metrics.counted("dropped", len(answers.predictions))
        if time.monotonic() >= self._say_at:
            self._say_at = time.monotonic() + QUIET_SECONDS
            log.error("Records of the prediction log are dropped: %s", why)
        return False


def _answered(model: LoadedModel, batch: Batch, answers: Answers, call: Call) -> Answered:
    key, call.key = call.key or new_key(), None
    latency_ms = int((time.monotonic() - call.arrival) * 1e7) / 1e4  # what round() would do takes three times as long
    rows = batch.rows or batch
    return Answered(
        key,
        time.time(),
        request_id.get(),
        call.path,
        call.client,
        model,
        rows,
        answers.predictions,
        answers.confidences,
        latency_ms,
    )


def open_log(
    settings: Settings, signatures: Sequence[tuple[str, Signature | None]], metrics: LogMetrics
) -> PredictionLog:
    """`signatures` by model, None where it is not known yet. What is needed is imported before the fork, and an
    embedded file made.

    Raises ArtifactError for settings that cannot be met.
    """
    url = settings.log_database.get_secret_value()
    if settings.log != "off":
        try:
            open_store(url)  # connects to nothing yet
        except ValueError as exc:
            raise ArtifactError(str(exc)) from None
    bound = SizeBound(allowed(settings, settings.log_database_bytes), metrics, deletes=settings.log != "off")
    database = Database(lambda: open_store(url, bound), lambda: prepare(url), metrics)
    return PredictionLog(settings, database, Recorder(_redaction(settings, signatures), metrics), metrics)


def _redaction(settings: Settings, signatures: Sequence[tuple[str, Signature | None]]) -> Redaction:
    key = settings.log_hash_key.get_secret_value() if settings.log_hash_key else ""
    redaction = Redaction(settings.log_omit, settings.log_hash, key.encode(), settings.log_record_bytes)
    seen = [(model, signature) for model, signature in signatures if signature is not None]
    if unknown := redaction.unknown(seen):
        named = [
            f"SLIPWAY_{name.upper()}"
            for name in ("log_omit", "log_hash")
            if not set(unknown).isdisjoint(getattr(settings, name))
        ]
        known = sorted({f"{model}.{column}" for model, signature in seen for column in signature.names or ()})
        there = f"{', '.join(known[:MOST_NAMES])}{', …' if len(known) > MOST_NAMES else ''}" or "none with names"
        sentence = f"{' and '.join(named)}: no model has the columns {', '.join(unknown)}; there are {there}"
        if all(signature is not None and signature.columns is not None for _, signature in signatures):
            raise ArtifactError(sentence)
        log.warning("%s, as far as their columns are known", sentence)
    return redaction

"""What the master does of a reload before it loads: sees that the files of models have changed, and has a child try
them.
"""

import logging
import time
from collections.abc import Callable, Mapping, Set
from functools import partial
from pathlib import Path
from signal import Signals

from ..sources.changes import Refresh, Watch
from ..telemetry.metrics import Metrics
from .rehearsal import Rehearsing, Tell

log = logging.getLogger("slipway.server")


class Reloading:
    """`rehearse` is called in the child with what is refused already, and answers what is. Only what has changed is
    loaded.

    `seconds`: for each model; `signals`: the master's. `interval`: seconds between two looks at the folder, and with
    `refresh` at where its models come from; 0: none.
    """

    def __init__(
        self,
        rehearse: Callable[[Mapping[str, str], Tell], dict[str, str]],
        seconds: float,
        signals: Set[Signals],
        folder: Path,
        interval: float,
        metrics: Metrics,
        refresh: Refresh | None = None,
    ) -> None:
        self._metrics = metrics
        self._rehearse = rehearse
        self._seconds = seconds
        self._signals = signals
        self._watch = Watch(folder) if interval else None
        self._refresh = refresh if interval else None
        self._interval = interval
        self._look_at = 0.0
        self._rehearsal: Rehearsing | None = None
        self._refused: dict[str, str] = {}

    def begin(self) -> None:
        """Anew, if it has begun: the folder may be another by now."""
        self._refused = {}
        self._try()

    def look(self) -> dict[str, str] | None:
        """About once a second. Once the new files have been tried: which are refused, by name and version, and why."""
        if self._watch is not None and time.monotonic() >= self._look_at:
            self._look_at = time.monotonic() + self._interval
            if self._refresh is not None:
                self._refresh.begin()
            if self._watch.changed():
                log.info("the files of models have changed, and are tried")
                self.begin()
        if self._rehearsal is None or (verdict := self._rehearsal.verdict()) is None:
            return None
        self.end()
        if verdict.wrong is not None:
            self._metrics.reloaded("failed")
            log.error("the models stay as they are, for they cannot be read again: %s", verdict.wrong)
            return None
        self._refused |= verdict.refused
        if verdict.culprit is None:
            return self._refused
        self._try()  # what comes after it
        return None

    def reap(self) -> None:
        """Before anybody else does."""
        if self._rehearsal is not None:
            self._rehearsal.reap()
        if self._refresh is not None:
            self._refresh.reap()

    def end(self) -> None:
        """Of the child."""
        if self._rehearsal is not None:
            self._rehearsal.end()
            self._rehearsal = None

    def _try(self) -> None:
        self.end()
        try:
            self._rehearsal = Rehearsing(partial(self._rehearse, self._refused), self._seconds, self._signals)
        except OSError as exc:
            self._metrics.reloaded("failed")
            log.error("the models stay as they are, for no process can be had to read them again: %s", exc)

"""The master's memory of models that hang or take their worker along: who does it again and again is set aside."""

import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Literal

from ..system.board import Board, InHand
from ..telemetry.metrics import Metrics

log = logging.getLogger("slipway.models")

Reason = Literal["hung", "died"]

# Each costs a worker, or a child process, and whatever that had in hand. One may be a row of its own sort, two a
# coincidence.
MOST = 3
WITHIN = 600.0  # seconds: who does it less often is replaced as quickly as it breaks
ASIDE = 600.0  # seconds until it is tried again; a client's row that it cannot take may be gone by then

_SENTENCES: dict[Reason, str] = {"hung": "it did not return in time", "died": "it ended its process"}


class Quarantine:
    """Of a server: the workers read on the board which models not to ask."""

    def __init__(self, board: Board, metrics: Metrics, now: Callable[[], float] = time.monotonic) -> None:
        self._board = board
        self._metrics = metrics
        self._now = now
        self._strikes: dict[str, deque[tuple[float, Reason]]] = {}
        self._until: dict[str, float] = {}
        self._why: dict[str, str] = {}

    def lost(self, in_hand: Sequence[InHand], reason: Reason, how: str) -> None:
        """A worker is gone, with this in hand. `how` it ended, for the log."""
        for each in in_hand:
            name, version = each.model.split(" ")
            self._metrics.inference_lost(name, version, reason)
            log.error(
                "model %s (%s): %s; %s",
                each.model,
                each.doing,
                _SENTENCES[reason],
                how,
                extra={"request_ids": each.requests},
            )
        if len({each.model for each in in_hand}) == 1:  # of several nobody knows which one it was
            self.strike(in_hand[0], reason)

    def strike(self, culprit: InHand, reason: Reason) -> None:
        """It has done so once more."""
        now = self._now()
        strikes = self._strikes.setdefault(culprit.model, deque(maxlen=MOST))
        strikes.append((now, reason))
        if len(strikes) < MOST or now - strikes[0][0] > WITHIN or culprit.model in self._until:
            return
        what = _told([reason for _, reason in strikes])
        strikes.clear()
        # What fails before it has answered anybody would fail again at once, and cost workers each time.
        self._until[culprit.model] = now + ASIDE if culprit.doing == "predict" else float("inf")
        again = (
            f"it is tried again after {ASIDE / 60:.0f} minutes"
            if culprit.doing == "predict"
            else ("it is tried again after a restart")
        )
        self._why[culprit.model] = f"set aside: {MOST} times within {WITHIN / 60:.0f} minutes {what}; {again}"
        log.error("model %s is %s", culprit.model, self._why[culprit.model])
        self._show()

    def release(self) -> None:
        """Call it about once a second: lets those go whose time has come."""
        now = self._now()
        over = [model for model, until in self._until.items() if until <= now]
        for model in over:
            del self._until[model], self._why[model]
            log.warning("model %s is tried again", model)
        if over:
            self._show()

    def clear(self) -> None:
        """The models have been read anew: they are others, or mended."""
        self._strikes.clear()
        self._until.clear()
        self._why.clear()
        self._show()

    def _show(self) -> None:
        self._board.aside = self._why


def _told(reasons: Sequence[Reason]) -> str:
    counts = {reason: reasons.count(reason) for reason in reasons}
    if len(counts) == 1:
        return _SENTENCES[reasons[0]]
    return " or ".join(f"{_SENTENCES[reason]} ({count})" for reason, count in counts.items())

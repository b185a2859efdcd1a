"""What `slipway bench` found: the ways to run a model in a table, and which of them to choose."""

from dataclasses import dataclass
from typing import Literal

Way = Literal["compiled", "inline", "batched", "thread", "process"]
CACHED = "cached"  # no way to run a model: a repeated row through the prediction cache
LONE, BUSY = 1, 16  # callers at once

# The simplest first. All but the first run the estimator.
RUNS: dict[Way, str] = {
    "compiled": "the compiled form answers",
    "inline": "on the event loop",
    "batched": "in a thread, where calls that wait are joined",
    "thread": "in threads, each call alone",
    "process": "in a child process",
}
PINS: dict[Way, str] = {
    "compiled": "compiled = true",
    "inline": 'execution = "inline"',
    "batched": 'execution = "thread"',
    "thread": 'execution = "thread", batching = false',
    "process": 'execution = "process"',
}
WORTH_IT = 1.2  # a way must do so much better than a simpler one to be recommended
WORTH_COMPILING = 0.0001  # seconds: a dearer row costs more than the HTTP around it


@dataclass(frozen=True)
class Measurement:
    """Seconds. `cpu`: of all processes, per request; `loop_delay`: a look at the event loop is this late in one of a
    hundred cases.
    """

    requests_per_second: float
    p50: float
    p99: float
    cpu: float
    loop_delay: float

    @property
    def capacity(self) -> float:
        """Requests per second of a worker that has one CPU: here, a way may have used the others as well."""
        return min(self.requests_per_second, 1 / max(self.cpu, 1e-9))


@dataclass(frozen=True)
class Comparison:
    """`measurements` by way (or CACHED) and callers; `automatic`: the server's own choice; `moment`: s that a request
    may hold the loop.

    `packed_form`: whether it was packed with a compiled form, which may be unusable here; `notes` say why.
    """

    measurements: dict[tuple[str, int], Measurement]
    automatic: Way
    moment: float
    packed_form: bool = False
    notes: tuple[str, ...] = ()

    @property
    def recommended(self) -> Way:
        """The simplest way with about the highest capacity; inline only where a request holds the event loop for a
        moment.
        """
        measured = [way for way in RUNS if (way, LONE) in self.measurements]
        fit = [way for way in measured if way != "inline" or self.measurements[way, LONE].p50 < self.moment]
        most = max(self.measurements[way, BUSY].capacity for way in fit)
        return next(way for way in fit if self.measurements[way, BUSY].capacity * WORTH_IT >= most)

    def table(self) -> str:
        lines = [("way", "callers", "requests/s", "p50 ms", "p99 ms", "CPU µs", "event loop late by ms")]
        for (way, callers), found in self.measurements.items():
            times = (
                f"{found.p50 * 1e3:.3f}",
                f"{found.p99 * 1e3:.3f}",
                f"{found.cpu * 1e6:,.0f}",
                f"{found.loop_delay * 1e3:.1f}",
            )
            lines.append((way, str(callers), f"{found.requests_per_second:,.0f}", *times))
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        return "\n".join(
            f"{line[0]:{widths[0]}}"
            + "".join(f"  {cell:>{width}}" for cell, width in zip(line[1:], widths[1:], strict=True))
            for line in lines
        )

    def verdict(self) -> str:
        """What to do, in sentences."""
        chosen, compiled = self.recommended, ("compiled", LONE) in self.measurements
        advice = [f"Recommended: {chosen} ({RUNS[chosen]}), which the server does by itself."]
        if chosen != self.automatic:
            pins = PINS[chosen] if chosen == "compiled" or not compiled else f"compiled = false, {PINS[chosen]}"
            advice = [
                f"Recommended: {chosen} ({RUNS[chosen]}), by `{pins}` in models.toml; the server itself would choose "
                f"{self.automatic}."
            ]
        if not self.packed_form and self.measurements["inline", LONE].p50 > WORTH_COMPILING:
            advice.append(
                "It has no compiled form: `slipway pack --compile` writes one, where it is quicker and proven to "
                "answer alike."
            )
        repeated, computed = self.measurements[CACHED, LONE].p50, self.measurements[chosen, LONE].p50
        if repeated * WORTH_IT < computed:
            advice.append(
                f"What was asked before: {repeated * 1e6:,.0f} µs from the cache (/predict-cached) instead of "
                f"{computed * 1e6:,.0f} µs."
            )
        return "\n".join(advice)

"""What a run found, as it is written to JSON, and the medians and ratios that the tables show."""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from operator import attrgetter
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple, Self

from .contenders import CONTENDERS
from .load import Measured
from .workloads import MODELS


class Row(NamedTuple):
    """What all contenders are compared at: a model, rows per request and connections."""

    model: str
    rows: int
    connections: int

    @property
    def load(self) -> str:
        rows = "one row" if self.rows == 1 else f"{self.rows} rows"
        return f"{rows} · {self.connections} connection{'s' * (self.connections > 1)}"


@dataclass(frozen=True)
class Measurement:
    contender: str
    model: str
    rows: int
    connections: int
    round: int
    measured: Measured

    @property
    def row(self) -> Row:
        return Row(self.model, self.rows, self.connections)


@dataclass(frozen=True)
class Start:
    """`cold_start`: seconds from the command to the first good answer; `pss_mib`: after the load."""

    contender: str
    model: str
    round: int
    cold_start: float
    pss_mib: float


def requests_per_second(measured: Measured) -> float:
    return measured.requests / measured.seconds


Figure = Callable[[Measured], float]
P50, P99, CPU, PROBE = (attrgetter(name) for name in ("p50_ms", "p99_ms", "cpu_us", "probe_ms"))


@dataclass
class Run:
    """`began`: UTC, to the minute; `stolen`: share of CPU time that other guests of the host took meanwhile.

    `forms`: compiled ones by model; `own`: what `slipway bench` printed.
    """

    began: str
    command: str
    machine: dict[str, Any]
    rounds: int
    seconds: int
    stolen: float = 0.0
    forms: dict[str, str | None] = field(default_factory=dict)
    own: str = ""
    measurements: list[Measurement] = field(default_factory=list)
    starts: list[Start] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Self:
        content = json.loads(path.read_text(encoding="utf-8"))
        content["measurements"] = [
            Measurement(**{**each, "measured": Measured(**each["measured"])}) for each in content["measurements"]
        ]
        content["starts"] = [Start(**each) for each in content["starts"]]
        return cls(**content)

    def rows(self) -> list[Row]:
        return sorted(
            {each.row for each in self.measurements},
            key=lambda row: (list(MODELS).index(row.model), row.rows, row.connections),
        )

    def models(self) -> list[str]:
        return [model for model in MODELS if any(each.model == model for each in self.measurements)]

    def most_connections(self) -> int:
        return max(each.connections for each in self.measurements)

    def contenders(self, row: Row) -> list[str]:
        """Those measured there, in the order of the list of contenders."""
        there = {each.contender for each in self.measurements if each.row == row}
        return [contender.name for contender in CONTENDERS if contender.name in there]

    def figure(self, contender: str, row: Row, of: Figure = requests_per_second) -> float | None:
        """The median over the rounds; None where it was not measured."""
        found = list(self._by_round(contender, row, of).values())
        return median(found) if found else None

    def ratio(self, contender: str, other: str | None, row: Row, of: Figure = requests_per_second) -> float | None:
        """The median of the rounds' own ratios: what drifts between rounds cancels out."""
        if other is None:
            return None
        mine, theirs = self._by_round(contender, row, of), self._by_round(other, row, of)
        found = [mine[number] / theirs[number] for number in mine if theirs.get(number)]
        return median(found) if found else None

    def errors(self, contender: str, row: Row) -> int:
        return sum(each.measured.errors for each in self._at(contender, row))

    def best(self, contenders: Iterable[str], row: Row) -> str | None:
        """The one with the most requests per second there."""
        speeds = {name: speed for name in contenders if (speed := self.figure(name, row)) is not None}
        return max(speeds, key=speeds.__getitem__, default=None)

    def started(self, contender: str, model: str) -> tuple[float, float] | None:
        """The medians of cold start (s) and memory (MiB); None where it was not measured."""
        found = [each for each in self.starts if (each.contender, each.model) == (contender, model)]
        return (median(each.cold_start for each in found), median(each.pss_mib for each in found)) if found else None

    def _at(self, contender: str, row: Row) -> Iterator[Measurement]:
        return (each for each in self.measurements if each.contender == contender and each.row == row)

    def _by_round(self, contender: str, row: Row, of: Figure) -> dict[int, float]:
        return {each.round: of(each.measured) for each in self._at(contender, row) if each.measured.requests}

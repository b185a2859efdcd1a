"""`python -m bench.log`: what the prediction log costs, by itself in one run with a server whose log is off;
docs/log.md shows it.
"""

import argparse
import json
import shlex
import shutil
import signal
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import median, quantiles

from prometheus_client.parser import text_string_to_metric_families

from slipway.prediction_log.bounds import BOUNDS
from slipway.prediction_log.reading.pages import Chosen, count
from slipway.prediction_log.upkeep.maintenance import migrate
from tests.database.cluster import Cluster

from . import docs, machine, tables
from .contenders import CONTENDERS, SLIPWAY, Contender
from .load import Measured, measure, warm_up
from .results import CPU, P50, P99, Figure, requests_per_second
from .server import ROOT, Server
from .validate import validate
from .workloads import PackedModel, pack

OFF = next(contender for contender in CONTENDERS if contender.name == SLIPWAY)
RATE = 5000  # requests per second, of one row each
CONNECTIONS = 64
MOST_CPU_US = {"PostgreSQL": 35, "SQLite": 35}  # a row, above the log off
MOST_P99, LEAST_SPEED = 3, 0.5  # of what they are with the log off
CATCH_UP = 60.0  # seconds that a server may take to store what it has answered flat out
PAGE = ROOT / "docs/log.md"


@dataclass(frozen=True)
class Round:
    """`fixed`: at RATE, window by window; `flat_out`: as fast as it answers; `answered`: all rows, as the server
    counts them.
    """

    fixed: list[Measured]
    flat_out: Measured
    answered: int


Rounds = dict[str, list[Round]]  # by the name of the database, or "off"


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # as Ctrl-C: no server stays behind
    parser = argparse.ArgumentParser(prog="python -m bench.log", description="Measures what the prediction log costs.")
    # Many short windows, all servers beside each other: a shared machine's speed moves within seconds, and more than
    # what is looked for.
    parser.add_argument("--rounds", type=int, default=10, help="each with servers of its own (default: 10)")
    parser.add_argument(
        "--windows", type=int, default=5, help="of each server in a round at the fixed rate (default: 5)"
    )
    parser.add_argument("--seconds", type=int, default=2, help="length of a window (default: 2)")
    parser.add_argument(
        "--output",
        type=Path,
        default=ROOT / "bench/results/log.json",
        metavar="FILE",
        help="(default: bench/results/log.json)",
    )
    parser.add_argument("--docs", action="store_true", help="put the figures into docs/log.md, too")
    options = parser.parse_args()
    if shutil.which("wrk") is None:
        print("bench: wrk is missing; on Debian or Ubuntu: apt-get install wrk", file=sys.stderr)
        return 1
    began, facts, interference = datetime.now(UTC), machine.facts(), machine.Interference()
    # On a disk, unlike what other runs leave behind: SQLite waits for it.
    with tempfile.TemporaryDirectory(prefix="bench-log-") as folder, Cluster() as cluster:
        scratch = Path(folder)
        databases = {"PostgreSQL": cluster.url(), "SQLite": f"sqlite:///{scratch / 'log.db'}"}
        rounds = _carry_out(options, databases, pack("iris", scratch), scratch)
        stored = {name: count(url, Chosen()) for name, url in databases.items()}
    command = shlex.join(["python", "-m", "bench.log", *sys.argv[1:]])
    heading = (
        f"{began:%Y-%m-%d %H:%M} UTC, `{command}`, revision {facts['revision']}: {options.rounds} rounds,"
        f" {options.windows} windows of {options.seconds} s in each; {facts['cpus']} CPUs ({facts['cpu']}),"
        f" {interference.stolen():.1%} of their time stolen"
    )
    text = f"{heading}\n\n{_table(rounds, stored)}\n\n{_verdicts(rounds)}"
    print(text)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    found = {name: [asdict(each) for each in some] for name, some in rounds.items()}
    options.output.write_text(
        json.dumps({"heading": heading, "machine": facts, "rounds": found, "stored": stored}, indent=1) + "\n"
    )
    if options.docs:
        docs.put(PAGE, {"log": text})
    return 0


def _carry_out(options: argparse.Namespace, databases: dict[str, str], model: PackedModel, scratch: Path) -> Rounds:
    """All servers are up at once and asked in turn, another one first in each window."""
    servers = {"off": OFF}
    for name, url in databases.items():
        migrate(url)
        log = {"SLIPWAY_LOG": "async", "SLIPWAY_LOG_DATABASE": url, "SLIPWAY_LOG_SPOOL": str(scratch / f"{name}-spool")}
        servers[name] = replace(OFF, name=f"{SLIPWAY}, log in {name}", environment=log)
    rounds: Rounds = {name: [] for name in servers}
    for number in range(options.rounds):
        print(f"round {number + 1} of {options.rounds}", file=sys.stderr)
        for name, found in _measure(servers, model, scratch, options).items():
            rounds[name].append(found)
    return rounds


def _measure(
    contenders: dict[str, Contender], model: PackedModel, scratch: Path, options: argparse.Namespace
) -> dict[str, Round]:
    workload = model.workload(1)
    bodies = scratch / "bodies.txt"
    bodies.write_text("\n".join(workload.bodies) + "\n")
    with ExitStack() as up:
        servers = {name: up.enter_context(Server(contender, model, scratch)) for name, contender in contenders.items()}

        def window(name: str, rate: int | None) -> Measured:
            return measure(
                servers[name],
                contenders[name].one_row,
                bodies,
                connections=CONNECTIONS,
                seconds=options.seconds,
                rate=rate,
                afterwards=2 * BOUNDS.flush,  # until the last rows are written
            )

        for name, server in servers.items():
            validate(server, workload)
            warm_up(server, contenders[name].one_row, bodies, 1)
            _catch_up(server, contenders[name])
        fixed: dict[str, list[Measured]] = {name: [] for name in servers}
        names = deque(servers)
        for _ in range(options.windows):
            for name in names:
                fixed[name].append(window(name, RATE))
            names.rotate()
        found = {}
        for name in names:
            flat_out = window(name, None)
            found[name] = Round(fixed[name], flat_out, _catch_up(servers[name], contenders[name]))
        return found


def _catch_up(server: Server, contender: Contender) -> int:
    """Waits, within bounds, until the database has what went by way of the spool. Returns the number of predictions
    so far.
    """
    answered = _counted(server, "slipway_predictions_total")
    deadline = time.monotonic() + CATCH_UP
    while contender is not OFF and _counted(server, "slipway_log_records_total", outcome="stored") < answered:
        if time.monotonic() > deadline:
            break
        time.sleep(BOUNDS.flush)
    return answered


def _counted(server: Server, name: str, **labels: str) -> int:
    families = text_string_to_metric_families(server.get("/metrics")[1].decode())
    samples = [sample for family in families for sample in family.samples if sample.name == name]
    return int(sum(sample.value for sample in samples if labels.items() <= sample.labels.items()))


def _table(rounds: Rounds, stored: dict[str, int]) -> str:
    header = [
        "log",
        "p50 ms",
        "p99 ms",
        "CPU µs a row",
        "latest start ms",
        "flat out, requests/s",
        "errors",
        "rows answered",
        "stored",
    ]
    lines = []
    for name, some in rounds.items():
        windows = [window for each in some for window in each.fixed]
        at_rate = [tables.number(median(map(of, windows))) for of in (P50, P99, CPU)]
        late = tables.number(max(window.late_ms for window in windows))
        speed = tables.whole(median(requests_per_second(each.flat_out) for each in some))
        errors = sum(window.errors for each in some for window in (*each.fixed, each.flat_out))
        rows = [tables.whole(sum(each.answered for each in some)), tables.whole(stored.get(name))]
        lines.append([name, *at_rate, late, speed, str(errors), *rows])
    return tables.table(header, lines)


def _verdicts(rounds: Rounds) -> str:
    """Medians of the ratios and differences of windows next to each other, and between what half of them lie: drift
    cancels out.
    """

    def compared(
        name: str, how: Callable[[float, float], float], windows: Callable[[Round], list[Measured]], of: Figure
    ) -> list[float]:
        mine, off = ([window for each in rounds[which] for window in windows(each)] for which in (name, "off"))
        found = [how(of(one), of(other)) for one, other in zip(mine, off, strict=True)]
        return quantiles(found * 2 if len(found) == 1 else found, n=4, method="inclusive")

    lines = []
    for name, most in MOST_CPU_US.items():
        p99 = compared(name, float.__truediv__, lambda one: one.fixed, P99)
        cpu = compared(name, float.__sub__, lambda one: one.fixed, CPU)
        speed = compared(name, float.__truediv__, lambda one: [one.flat_out], requests_per_second)
        for what, bound, quarters, met in (
            (f"p99 at {RATE:,} requests/s ÷ off", f"≤ {MOST_P99}", p99, p99[1] <= MOST_P99),
            ("CPU µs a row above off", f"≤ {most}", cpu, cpu[1] <= most),
            ("requests/s flat out ÷ off", f"≥ {LEAST_SPEED}", speed, speed[1] >= LEAST_SPEED),
        ):
            low, figure, high = map(tables.number, quarters)
            lines.append([name, what, bound, figure, f"{low} – {high}", "yes" if met else "**no**"])
    return tables.table(["log", "figure", "target", "measured", "half of them", "met"], lines, slice(2, 5))


if __name__ == "__main__":
    sys.exit(main())

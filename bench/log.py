"""`python -m bench.log`: what the prediction log costs, by itself in one run with a server whose log is off; docs/log.md shows it."""

import argparse
import json
import shlex
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import median, quantiles

from prometheus_client.parser import text_string_to_metric_families

from service.journal.maintenance import migrate
from service.journal.reading import Chosen, count
from service.journal.writer import FLUSH_SECONDS
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
MOST_CPU_US = {"PostgreSQL": 15, "SQLite": 25}  # a row, above the log off
MOST_P99, LEAST_SPEED = 1.5, 0.6  # of what they are with the log off
CATCH_UP = 60.0  # seconds that a server may take to store what it has answered flat out
PAGE = ROOT / "docs/log.md"


@dataclass(frozen=True)
class Round:
    """`fixed`: at RATE; `flat_out`: as fast as it answers; `answered`: rows, as the server counts them, warm-up and all."""

    fixed: Measured
    flat_out: Measured
    answered: int


Rounds = dict[str, list[Round]]  # by the name of the database, or "off"


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # as Ctrl-C: no server stays behind
    parser = argparse.ArgumentParser(prog="python -m bench.log", description="Measures what the prediction log costs.")
    # Many and short: a server's CPU differs more from start to start, by where its memory lies, than from window to window.
    parser.add_argument("--rounds", type=int, default=16, help="each with servers of its own (default: 16)")
    parser.add_argument("--seconds", type=int, default=3, help="length of a window; two of them a server and round (default: 3)")
    parser.add_argument(
        "--output", type=Path, default=ROOT / "bench/results/log.json", metavar="FILE", help="(default: bench/results/log.json)"
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
        f"{began:%Y-%m-%d %H:%M} UTC, `{command}`, revision {facts['revision']}: {options.rounds} rounds, windows of {options.seconds} s;"
        f" {facts['cpus']} CPUs ({facts['cpu']}), {interference.stolen():.1%} of their time stolen"
    )
    text = f"{heading}\n\n{_table(rounds, stored)}\n\n{_verdicts(rounds)}"
    print(text)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    found = {name: [asdict(each) for each in some] for name, some in rounds.items()}
    options.output.write_text(json.dumps({"heading": heading, "machine": facts, "rounds": found, "stored": stored}, indent=1) + "\n")
    if options.docs:
        docs.put(PAGE, {"log": text})
    return 0


def _carry_out(options: argparse.Namespace, databases: dict[str, str], model: PackedModel, scratch: Path) -> Rounds:
    """Round by round every server in turn, another one first in each."""
    servers = {"off": OFF}
    for name, url in databases.items():
        migrate(url)
        log = {"SLIPWAY_LOG": "async", "SLIPWAY_LOG_DATABASE": url, "SLIPWAY_LOG_SPOOL": str(scratch / f"{name}-spool")}
        servers[name] = replace(OFF, name=f"{SLIPWAY}, log in {name}", environment=log)
    rounds: Rounds = {name: [] for name in servers}
    for number in range(options.rounds):
        names = list(servers)
        for name in (*names[number % len(names) :], *names[: number % len(names)]):
            print(f"round {number + 1}: {name}", file=sys.stderr)
            rounds[name].append(_measure(servers[name], model, scratch, options.seconds))
    return rounds


def _measure(contender: Contender, model: PackedModel, scratch: Path, seconds: int) -> Round:
    workload = model.workload(1)
    bodies = scratch / "bodies.txt"
    bodies.write_text("\n".join(workload.bodies) + "\n")
    with Server(contender, model, scratch) as server:
        validate(server, workload)
        warm_up(server, contender.one_row, bodies, 1)
        _catch_up(server, contender)
        fixed, flat_out = (
            measure(
                server,
                contender.one_row,
                bodies,
                connections=CONNECTIONS,
                seconds=seconds,
                rate=rate,
                afterwards=2 * FLUSH_SECONDS,  # until the last rows are written
            )
            for rate in (RATE, None)
        )
        return Round(fixed, flat_out, _catch_up(server, contender))


def _catch_up(server: Server, contender: Contender) -> int:
    """Waits, within bounds, until the database has what went by way of the spool. Returns the number of predictions so far."""
    answered = _counted(server, "slipway_predictions_total")
    deadline = time.monotonic() + CATCH_UP
    while contender is not OFF and _counted(server, "slipway_log_records_total", outcome="stored") < answered:
        if time.monotonic() > deadline:
            break
        time.sleep(FLUSH_SECONDS)
    return answered


def _counted(server: Server, name: str, **labels: str) -> int:
    families = text_string_to_metric_families(server.get("/metrics")[1].decode())
    samples = [sample for family in families for sample in family.samples if sample.name == name]
    return int(sum(sample.value for sample in samples if labels.items() <= sample.labels.items()))


def _table(rounds: Rounds, stored: dict[str, int]) -> str:
    header = ["log", "p50 ms", "p99 ms", "CPU µs a row", "latest start ms", "flat out, requests/s", "errors", "rows answered", "stored"]
    lines = []
    for name, some in rounds.items():
        at_rate = [tables.number(median(of(each.fixed) for each in some)) for of in (P50, P99, CPU)]
        late = tables.number(max(each.fixed.late_ms for each in some))
        speed = tables.whole(median(requests_per_second(each.flat_out) for each in some))
        errors = sum(each.fixed.errors + each.flat_out.errors for each in some)
        rows = [tables.whole(sum(each.answered for each in some)), tables.whole(stored.get(name))]
        lines.append([name, *at_rate, late, speed, str(errors), *rows])
    return tables.table(header, lines)


def _verdicts(rounds: Rounds) -> str:
    """Medians of the rounds' own ratios and differences: what drifts between rounds cancels out. And between what half of them lie."""

    def compared(name: str, how: Callable[[float, float], float], window: Callable[[Round], Measured], of: Figure) -> list[float]:
        found = [how(of(window(mine)), of(window(off))) for mine, off in zip(rounds[name], rounds["off"], strict=True)]
        return quantiles(found * 2 if len(found) == 1 else found, n=4, method="inclusive")

    lines = []
    for name, most in MOST_CPU_US.items():
        p99 = compared(name, float.__truediv__, lambda one: one.fixed, P99)
        cpu = compared(name, float.__sub__, lambda one: one.fixed, CPU)
        speed = compared(name, float.__truediv__, lambda one: one.flat_out, requests_per_second)
        for what, bound, quarters, met in (
            (f"p99 at {RATE:,} requests/s ÷ off", f"≤ {MOST_P99}", p99, p99[1] <= MOST_P99),
            ("CPU µs a row above off", f"≤ {most}", cpu, cpu[1] <= most),
            ("requests/s flat out ÷ off", f"≥ {LEAST_SPEED}", speed, speed[1] >= LEAST_SPEED),
        ):
            low, figure, high = map(tables.number, quarters)
            lines.append([name, what, bound, figure, f"{low} – {high}", "yes" if met else "**no**"])
    return tables.table(["log", "figure", "target", "measured", "half of the rounds", "met"], lines, slice(2, 5))


if __name__ == "__main__":
    sys.exit(main())

"""`python -m bench`: measures, prints the tables, writes results.json, tables.md and chart.svg."""

import argparse
import shlex
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

from . import chart, docs, tables
from .contenders import CONTENDERS, Group
from .results import Run
from .run import Plan, carry_out
from .server import ROOT
from .workloads import MODELS

OUTPUT = ROOT / "bench/results"
FULL: dict[str, Any] = {
    "models": list(MODELS),
    "rows": [1, 100],
    "connections": [1, 16, 64],
    "rounds": 5,
    "minutes": 90.0,
}
MUST_HOLD: dict[str, Any] = {**FULL, "connections": [1, 64], "minutes": 30.0}  # what the targets are about
TARGETED: set[Group] = {"floor", "tutorial", "peer", "slipway"}
QUICK: dict[str, Any] = {
    "models": ["iris"],
    "rows": [1, 100],
    "connections": [16],
    "rounds": 1,
    "minutes": 1.0,
    "warm_up": 0,
}


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # as Ctrl-C: no server stays behind
    parser = argparse.ArgumentParser(
        prog="python -m bench", description="Measures Slipway beside what it could be replaced with."
    )
    parser.add_argument(
        "--minutes",
        type=float,
        help="length of the whole run (default: 90, with --must-hold 30); windows are 1 s at least",
    )
    parser.add_argument("--rounds", type=int, help="times that every contender has its turn (default: 5)")
    parser.add_argument("--models", nargs="+", choices=MODELS, help="(default: both)")
    parser.add_argument("--rows", nargs="+", type=int, help="rows per request (default: 1 100)")
    parser.add_argument(
        "--connections", nargs="+", type=int, help="kept-alive connections (default: 1 16 64, with --must-hold 1 64)"
    )
    parser.add_argument(
        "--only", nargs="+", metavar="TEXT", help="contenders whose name has one of these in it, such as no-op slipway"
    )
    parser.add_argument("--without", nargs="+", metavar="TEXT", default=[], help="not these, in the same way")
    extent = parser.add_mutually_exclusive_group()
    extent.add_argument(
        "--must-hold",
        action="store_true",
        help="only what the targets compare: the floors, the tutorial, mosec and Slipway",
    )
    extent.add_argument(
        "--quick", action="store_true", help="a smoke test of two minutes: iris, one round, 16 connections unless given"
    )
    parser.add_argument(
        "--output", type=Path, default=OUTPUT, metavar="DIR", help="where to write (default: bench/results)"
    )
    parser.add_argument("--docs", action="store_true", help="put the figures into docs/benchmarks.md, too")
    parser.add_argument("--render", type=Path, metavar="RESULTS.json", help="measure nothing: show an earlier run")
    options = parser.parse_args()

    if options.render:
        run = Run.read(options.render)
    else:
        if shutil.which("wrk") is None:
            print("bench: wrk is missing; on Debian or Ubuntu: apt-get install wrk", file=sys.stderr)
            return 1
        plan = _plan(options)
        if not plan.contenders:
            parser.error(f"--only fits none of: {', '.join(contender.name for contender in CONTENDERS)}")
        print(
            f"{plan.servers} servers to start, {plan.windows} windows of {plan.seconds} s: about "
            f"{plan.expected_minutes:.0f} minutes",
            file=sys.stderr,
        )
        command = shlex.join(["python", "-m", "bench", *sys.argv[1:]])
        run = carry_out(plan, command, options.output / "results.json")
    _show(run, options)
    return 1 if run.failures else 0


def _plan(options: argparse.Namespace) -> Plan:
    wanted = [text.lower() for text in options.only or [""]]
    contenders = [
        contender
        for contender in CONTENDERS
        if any(text in contender.name.lower() for text in wanted)
        and not any(text.lower() in contender.name.lower() for text in options.without)
        and (not options.must_hold or contender.group in TARGETED)
    ]
    defaults = QUICK if options.quick else MUST_HOLD if options.must_hold else FULL
    given = {name: value for name, value in vars(options).items() if name in FULL and value is not None}
    return Plan(contenders, **{**defaults, **given})


def _show(run: Run, options: argparse.Namespace) -> None:
    text = tables.everything(run)
    print(text)
    if run.measurements:
        options.output.mkdir(parents=True, exist_ok=True)
        (options.output / "tables.md").write_text(text + "\n", encoding="utf-8")
        chart.draw(run, options.output / "chart.svg")
        if options.docs:
            docs.write(run)
            chart.draw(run, docs.CHART)


if __name__ == "__main__":
    sys.exit(main())

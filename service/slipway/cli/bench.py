"""`slipway bench`: the ways of running a model, measured."""

import argparse
import sys
from pathlib import Path

from ..system.escaping import printable
from .flags import Commands, UsageError, add_command, add_settings, settings_of

MOST_SECONDS = 3600


def add_to(commands: Commands) -> None:
    parser = add_command(commands, "bench", run, "Measure each way of running a model, and recommend one")
    parser.add_argument("directory", metavar="DIR", type=Path, help="a model's folder, such as models/iris/1")
    parser.add_argument("--rows", type=int, default=1, metavar="N", help="rows in a request (default: 1)")
    parser.add_argument(
        "--seconds",
        type=float,
        default=30.0,
        metavar="S",
        help="time to measure for, if no request is dear (default: 30)",
    )
    add_settings(parser, ("threads", "processes", "trust", "trust_key", "trusted_types", "allow_version_mismatch"))


def run(options: argparse.Namespace) -> int:
    from ..system.cpu import cpu_limit, limit_threads, worker_count

    settings, limit = settings_of(options), cpu_limit()
    if not 1 <= options.rows <= settings.max_rows:
        raise UsageError(
            f"--rows must be from 1 to {settings.max_rows}: a server refuses requests of more rows than "
            "SLIPWAY_MAX_ROWS"
        )
    if not 0 < options.seconds <= MOST_SECONDS:
        raise UsageError(f"--seconds must be above 0, and at most {MOST_SECONDS}")
    limit_threads(limit, settings.workers or worker_count(limit))
    # Not earlier: numpy reads these limits when it is imported.
    from ..prediction.benchmark import compare

    comparison = compare(options.directory, settings, rows=options.rows, seconds=options.seconds)
    for note in comparison.notes:
        print(f"note: {printable(note)}", file=sys.stderr)
    print(comparison.table(), comparison.verdict(), sep="\n\n")
    return 0

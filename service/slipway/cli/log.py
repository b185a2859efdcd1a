"""`slipway log …`: the prediction log's schema and upkeep, and what is in it."""

import argparse
import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ..prediction_log.stores.errors import StoreAway
from .flags import Commands, UsageError, add_settings, settings_of

if TYPE_CHECKING:
    from ..prediction_log.reading.pages import Chosen

MOST_ROWS = 1_000_000  # that `tail` shows

Command = Callable[[argparse.Namespace, str], None]


def add_to(commands: Commands) -> None:
    group = commands.add_parser("log", help="look after the prediction log, and read it")
    commands = group.add_subparsers(title="commands", metavar="COMMAND", required=True)

    _add(commands, "migrate", _migrate, "Bring the database's schema up to date, or make it; two at once are safe")

    maintain = _add(
        commands, "maintain", _maintain, "Make PostgreSQL's partitions for the days ahead, and delete what is too old"
    )
    add_settings(maintain, ("log_retention_days",))

    tail = _add(commands, "tail", _tail, "Show the newest rows")
    tail.add_argument("-n", "--rows", type=int, default=20, metavar="N", help="how many (default: 20)")
    tail.add_argument("-f", "--follow", action="store_true", help="go on with those that come, until Ctrl-C")
    _add_model(tail)

    export = _add(
        commands,
        "export",
        _export,
        "Write rows into a file, oldest first, with the latest feedback of each as its outcome",
    )
    export.add_argument(
        "--output", type=Path, required=True, metavar="FILE", help="FILE.csv, or FILE.parquet (needs pyarrow)"
    )
    add_settings(export, ("csv_defuse",))
    _add_model(export)
    _add_period(export)

    stats = _add(commands, "stats", _stats, "Count rows, latencies, answers and feedback of each model")
    _add_model(stats)
    _add_period(stats)


def _add(commands: Commands, name: str, run: Command, sentence: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=sentence[0].lower() + sentence[1:], description=f"{sentence}."
    )
    add_settings(parser, ("log_database",))
    parser.set_defaults(run=lambda options: _run(run, options))
    return parser


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", metavar="NAME", help="of this model only")
    parser.add_argument("--version", metavar="V", help="of this version only")


def _add_period(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--since", metavar="TIME", help="from this time on: 2026-11-01, 2026-11-01T12:00 (UTC), or 7d, 12h, 30m ago"
    )
    parser.add_argument("--until", metavar="TIME", help="before this time")


def _run(command: Command, options: argparse.Namespace) -> int:
    with _sentences():
        command(options, settings_of(options).log_database.get_secret_value())
    return 0


@contextlib.contextmanager
def _sentences() -> Iterator[None]:
    try:
        yield
    except (StoreAway, ValueError) as error:
        raise UsageError(str(error)) from error


def _chosen(options: argparse.Namespace) -> "Chosen":
    from ..prediction_log.reading.pages import Chosen, moment

    given = vars(options)
    since, until = (None if given.get(name) is None else moment(given[name]) for name in ("since", "until"))
    if since is not None and until is not None and since >= until:
        raise UsageError(
            f"--since {options.since} is not before --until {options.until}: there can be no rows between them"
        )
    return Chosen(options.model, options.version, since, until)


def _known(options: argparse.Namespace, url: str) -> "Chosen":
    """What is chosen. Raises ValueError where the log has never seen the model or its version: the name may be
    misspelt.
    """
    from ..prediction_log.reading.pages import require_known

    chosen = _chosen(options)
    require_known(url, chosen)
    return chosen


def _migrate(_: argparse.Namespace, url: str) -> None:
    from ..prediction_log.upkeep.maintenance import migrate

    before, after = migrate(url)
    print(
        f"The schema was {after} already"
        if before == after
        else f"The schema is {after} now; it was {before or 'not there'}"
    )


def _maintain(options: argparse.Namespace, url: str) -> None:
    from ..prediction_log.upkeep.maintenance import maintain

    done = maintain(url, settings_of(options).log_retention_days)
    print(
        f"Partitions made: {done.created}, dropped: {done.dropped}; rows moved out of the default partition: "
        f"{done.moved:,},"
        f" deleted: {done.deleted:,}"
    )


def _tail(options: argparse.Namespace, url: str) -> None:
    from ..prediction_log.reading.export import line
    from ..prediction_log.reading.pages import follow, newest

    if not 0 < options.rows <= MOST_ROWS:
        raise UsageError(
            f"--rows must be from 1 to {MOST_ROWS}, which are held in memory; `slipway log export` writes any number"
        )
    try:
        chosen = _known(options, url)
    except ValueError as error:
        if not options.follow:
            raise
        print(f"{error}: waiting for some", file=sys.stderr)
        chosen = _chosen(options)
    rows = (follow if options.follow else newest)(url, options.rows, chosen)
    if not rows:
        print("The log has no such rows.", file=sys.stderr)
    for row in rows:
        print(line(row), flush=options.follow)


def _export(options: argparse.Namespace, url: str) -> None:
    from ..prediction_log.reading.export import export

    rows = export(url, options.output, _known(options, url), defuse=settings_of(options).csv_defuse)
    print(f"Exported {rows:,} rows into {options.output}", file=sys.stderr)


def _stats(options: argparse.Namespace, url: str) -> None:
    from ..prediction_log.reading.statistics import report, statistics

    print(report(statistics(url, _known(options, url))))

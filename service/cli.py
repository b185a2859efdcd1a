"""The command line. Each command imports what it needs when it runs: `slipway drain` and `--help` must be quick."""

import argparse
import errno
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from . import __version__
from .contained import Escaped, contained
from .errors import ArtifactError
from .escaping import printable
from .flags import CommandParser, UsageError, add_settings, misspelt_variables, settings_of, spoken, typed_in
from .log_commands import add_log_commands
from .settings import Execution, Settings

if TYPE_CHECKING:
    from .packing import Packed

EXAMPLES = ("iris", "breast-cancer", "diabetes", "passengers")
CHECK_FAILED = 1
UNUSABLE = 2  # also what argparse exits with
MOST_BENCH_SECONDS = 3600

Commands = Any  # argparse's class of sub-parsers is private
Command = Callable[[argparse.Namespace], int]


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs a command and raises SystemExit: 0; 1 where a check fails; 2, with a sentence on stderr, for what a user can mend."""
    options = _parser().parse_args(sys.argv[1:] if arguments is None else arguments)
    run: Command = options.run
    if run is not _serve:  # which says it in its log
        for sentence in misspelt_variables():
            print(f"slipway: warning: {sentence}", file=sys.stderr)
    try:
        code = run(options)
        sys.stdout.flush()
    except (ArtifactError, UsageError, Escaped) as error:
        print(f"slipway: {printable(spoken(str(error), typed_in(options)))}", file=sys.stderr)
        code = UNUSABLE
    except ModuleNotFoundError as error:  # the image for compiled models has not all of them
        print(f"slipway: this command needs the Python module {error.name!r}, which is not installed here", file=sys.stderr)
        code = UNUSABLE
    except OSError as error:  # of `slipway predict … | head`, or of a disk that is full
        if error.errno not in (errno.EPIPE, errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the interpreter would try once more to flush
        code = 0
        if error.errno != errno.EPIPE:
            print(f"slipway: the output cannot be written: {error.strerror}", file=sys.stderr)
            code = UNUSABLE
    except KeyboardInterrupt:
        code = 130
    sys.exit(code)


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(prog="slipway", description="Serve fitted scikit-learn models, from a joblib file to Kubernetes.")
    parser.add_argument("--version", action="version", version=f"slipway {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    example = _add(commands, "example", _example, "Train an example model and pack it")
    example.add_argument("name", metavar="NAME", choices=EXAMPLES, help=", ".join(EXAMPLES))
    _add_output(example)

    pack = _add(commands, "pack", _pack, "Write a model directory with a manifest that vouches for it")
    pack.add_argument("model", metavar="MODEL.joblib", type=Path, help="file that joblib.dump wrote of a fitted estimator")
    pack.add_argument("--name", required=True, help="name of the model, as in /models/NAME/predict")
    pack.add_argument(
        "--version", default="1", metavar="V", help="version (default: 1); the highest one is served unless models.toml says otherwise"
    )
    pack.add_argument(
        "--data", type=Path, metavar="FILE", help="CSV or Parquet to learn column types and ranges from, and to take example rows of"
    )
    pack.add_argument(
        "--target",
        action="append",
        metavar="COLUMN",
        help="column of the data that the model predicts, to be left out; several, as A,B or with the flag repeated, name its outputs",
    )
    pack.add_argument(
        "--missing", metavar="WORD,…", help="words that mean a missing value in the CSV's text, where only the empty cell does (NA,null)"
    )
    pack.add_argument("--no-header", action="store_true", help="the CSV's first row holds values, not names")
    pack.add_argument("--labels", metavar="A,B,…", help="names for the classes, in the order of classes_")
    pack.add_argument(
        "--columns", type=Path, metavar="FILE.toml", help="bounds, allowed values and descriptions of columns (docs/models.md)"
    )
    pack.add_argument("--compile", action="store_true", help="write a compiled form too, where it is proven on --data and quicker")
    pack.add_argument("--execution", choices=get_args(Execution), default="auto", help="where inference runs (default: auto, as measured)")
    pack.add_argument("--lazy", action="store_true", help="load on the first request")
    pack.add_argument("--optional", action="store_true", help="the service is ready even without this model")
    pack.add_argument("--default", action="store_true", help="answers where a request names no model")
    _add_output(pack)

    check = _add(commands, "check", _check, "Verify what would be served: digest, versions and the answers to the example rows")
    check.add_argument("directory", metavar="DIR", type=Path, help="a model's folder, such as models/iris/1, or a folder of models")
    _add_loading(check)

    predict = _add(commands, "predict", _predict, "Answer the rows of a file, as the server would")
    predict.add_argument("directory", metavar="DIR", type=Path, help="a model's folder, such as models/iris/1")
    predict.add_argument("--data", type=Path, required=True, metavar="FILE", help="CSV or Parquet with the model's columns")
    predict.add_argument("--missing", metavar="WORD,…", help="words that mean a missing value in text (default: as when it was packed)")
    predict.add_argument("--no-header", action="store_true", help="the CSV's first row holds values, in the order of the model's columns")
    predict.add_argument("--output", type=Path, metavar="FILE.csv", help="where to write the answers (default: standard output)")
    add_settings(predict, ("csv_defuse",))
    _add_loading(predict)

    bench = _add(commands, "bench", _bench, "Measure each way of running a model, and recommend one")
    bench.add_argument("directory", metavar="DIR", type=Path, help="a model's folder, such as models/iris/1")
    bench.add_argument("--rows", type=int, default=1, metavar="N", help="rows in a request (default: 1)")
    bench.add_argument("--seconds", type=float, default=30.0, metavar="S", help="time to measure for, if no request is dear (default: 30)")
    add_settings(bench, ("threads", "processes", "trust", "allow_version_mismatch"))

    drift = _add(commands, "drift", _drift, "Compare what a model was asked and answered with the data at packing, or with another time")
    drift.add_argument("--model", required=True, metavar="NAME", help="name of the model")
    drift.add_argument("--version", metavar="V", help="its version (default: the one that is served where none is named)")
    drift.add_argument("--reference", metavar="FROM..TO", help="period of the prediction log (default: the data at packing)")
    drift.add_argument("--current", required=True, metavar="FROM..TO", help="2026-11-01..2026-11-08 in UTC, or 7d.. for the last 7 days")
    drift.add_argument("--output", type=Path, default=Path("drift.html"), metavar="FILE.html", help="the report (default: drift.html)")
    add_settings(drift, ("models", "log_database"))

    serve = _add(commands, "serve", _serve, "Serve a folder of models until SIGTERM or Ctrl-C")
    serve.add_argument("--reload", action="store_true", help="one process that starts anew when code or models change: for development")
    add_settings(serve, Settings.model_fields)

    add_log_commands(commands.add_parser("log", help="look after the prediction log, and read it"))

    drain = _add(commands, "drain", _drain, "Make the clients of this machine's server leave, and wait until they have")
    add_settings(drain, ("port", "runtime_dir", "drain_timeout"))
    return parser


def _add(commands: Commands, name: str, run: Command, sentence: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=sentence[0].lower() + sentence[1:], description=f"{sentence}.")
    parser.set_defaults(run=run)
    return parser


def _add_output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--output", type=Path, default=Path("models"), metavar="DIR", help="folder of models to write into (default: models)"
    )
    parser.add_argument("--force", action="store_true", help="replace the version if it exists")


def _add_loading(parser: argparse.ArgumentParser) -> None:
    add_settings(parser, ("trust", "allow_version_mismatch", "compiled"))


def _example(options: argparse.Namespace) -> int:
    from .examples import train_and_pack

    _report(train_and_pack(options.name, options.output, force=options.force), options.output)
    return 0


def _pack(options: argparse.Namespace) -> int:
    from .columns import read_declarations
    from .manifest import Serving
    from .packing import pack

    declarations = {} if options.columns is None else read_declarations(options.columns)
    if options.target is not None and options.data is None:
        raise UsageError("--target names a column of --data, which is not given")
    if options.compile and options.data is None:
        raise UsageError("--compile proves the compiled form on the rows of --data, which is not given")
    with contained:  # whatever reads the estimator may run its code
        packed = pack(
            options.model,
            name=options.name,
            version=options.version,
            output=options.output,
            data=options.data,
            target=options.target,
            missing=_words(options.missing),
            header=not options.no_header,
            labels=None if options.labels is None else [label.strip() for label in options.labels.split(",")],
            declarations=declarations,
            serving=Serving(execution=options.execution, lazy=options.lazy, optional=options.optional, default=options.default),
            force=options.force,
            compiled=options.compile,
        )
    _report(packed, options.output)
    return 0


def _words(listed: str | None) -> list[str]:
    return [] if listed is None else [word.strip() for word in listed.split(",") if word.strip()]


def _report(packed: "Packed", models: Path) -> None:
    for note in packed.notes:
        print(f"note: {printable(note)}", file=sys.stderr)
    print(f"Packed {packed.directory}")
    if packed.compilation is not None and (form := packed.compilation.form) is not None:
        print(f"Compiled into {form.file}: {packed.compilation.won}")
    print("Next: slipway serve" + ("" if models == Path("models") else f" --models {models}"))


def _check(options: argparse.Namespace) -> int:
    from .checking import check, models_in

    settings, failed = settings_of(options), False
    for directory in models_in(options.directory):
        print(directory)
        is_off = False
        allow, compiled = settings.allow_version_mismatch, settings.compiled
        for verdict in check(directory, trust=settings.trust, allow_version_mismatch=allow, compiled=compiled):
            sentence = printable(spoken(verdict.sentence, typed_in(options)))
            print(f"  {verdict.state:5} {verdict.subject:9} {sentence}", flush=True)
            is_off = is_off or verdict.state == "off"
        print(f"  {'off' if is_off else 'ok':5} verdict   {'not fit to serve' if is_off else 'fit to serve'}")
        failed = failed or is_off
    return CHECK_FAILED if failed else 0


def _predict(options: argparse.Namespace) -> int:
    from .checking import open_model
    from .offline import predict_file

    settings = settings_of(options)
    allow, compiled = settings.allow_version_mismatch, settings.compiled
    artifact = open_model(options.directory, trust=settings.trust, allow_version_mismatch=allow, compiled=compiled)
    missing = None if options.missing is None else _words(options.missing)
    header, defuse = not options.no_header, settings.csv_defuse
    done = predict_file(artifact, options.data, options.output, missing=missing, header=header, defuse=defuse)
    for note in [*artifact.notes, *done.notes]:
        print(f"note: {printable(note)}", file=sys.stderr)
    where = f" into {options.output}" if options.output else ""
    print(f"Answered {done.rows} rows with {artifact.name} {artifact.version}{where}", file=sys.stderr)
    return 0


def _bench(options: argparse.Namespace) -> int:
    from .cpu import cpu_limit, limit_threads, worker_count

    settings, limit = settings_of(options), cpu_limit()
    if not 1 <= options.rows <= settings.max_rows:
        raise UsageError(f"--rows must be from 1 to {settings.max_rows}: a server refuses requests of more rows than SLIPWAY_MAX_ROWS")
    if not 0 < options.seconds <= MOST_BENCH_SECONDS:
        raise UsageError(f"--seconds must be above 0, and at most {MOST_BENCH_SECONDS}")
    limit_threads(limit, settings.workers or worker_count(limit))
    # Not earlier: numpy reads these limits when it is imported.
    from .benchmark import compare

    comparison = compare(options.directory, settings, rows=options.rows, seconds=options.seconds)
    for note in comparison.notes:
        print(f"note: {printable(note)}", file=sys.stderr)
    print(comparison.table(), comparison.verdict(), sep="\n\n")
    return 0


def _drift(options: argparse.Namespace) -> int:
    from .drift_command import drift

    drift(options)
    return 0


def _serve(options: argparse.Namespace) -> int:
    from .server import serve

    serve(settings_of(options), reload=options.reload, typed=typed_in(options))
    return 0


def _drain(options: argparse.Namespace) -> int:
    from .drain import drain

    drain(settings_of(options))
    return 0

"""`slipway predict`: the rows of a file, answered as the server would."""

import argparse
import sys
from pathlib import Path

from ..system.escaping import printable
from .flags import Commands, add_command, add_loading, add_settings, settings_of, words


def add_to(commands: Commands) -> None:
    parser = add_command(commands, "predict", run, "Answer the rows of a file, as the server would")
    parser.add_argument("directory", metavar="DIR", type=Path, help="a model's folder, such as models/iris/1")
    parser.add_argument(
        "--data", type=Path, required=True, metavar="FILE", help="CSV or Parquet with the model's columns"
    )
    parser.add_argument(
        "--missing", metavar="WORD,…", help="words that mean a missing value in text (default: as when it was packed)"
    )
    parser.add_argument(
        "--no-header", action="store_true", help="the CSV's first row holds values, in the order of the model's columns"
    )
    parser.add_argument(
        "--output", type=Path, metavar="FILE.csv", help="where to write the answers (default: standard output)"
    )
    add_settings(parser, ("csv_defuse",))
    add_loading(parser)


def run(options: argparse.Namespace) -> int:
    from ..model.artifact import open_model
    from ..model.verify import Trusted
    from ..packing.predict_file import predict_file
    from ..sources.folder import model_in

    settings = settings_of(options)
    allow, compiled = settings.allow_version_mismatch, settings.compiled
    directory = model_in(options.directory)
    artifact = open_model(
        directory,
        trust=settings.trust,
        allow_version_mismatch=allow,
        compiled=compiled,
        trusted=Trusted.by(settings),
    )
    missing = None if options.missing is None else words(options.missing)
    header, defuse = not options.no_header, settings.csv_defuse
    done = predict_file(artifact, options.data, options.output, missing=missing, header=header, defuse=defuse)
    for note in [*artifact.notes, *done.notes]:
        print(f"note: {printable(note)}", file=sys.stderr)
    where = f" into {options.output}" if options.output else ""
    print(f"Answered {done.rows} rows with {artifact.name} {artifact.version}{where}", file=sys.stderr)
    return 0

"""`slipway pack`: a model directory out of a model's file."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from ..model.contained import contained
from ..settings import Execution
from ..system.escaping import printable
from .flags import Commands, UsageError, add_command, add_output, add_settings, settings_of, words

if TYPE_CHECKING:
    from ..packing.pack import Packed


def add_to(commands: Commands) -> None:
    parser = add_command(commands, "pack", run, "Write a model directory with a manifest that vouches for it")
    parser.add_argument(
        "model",
        metavar="MODEL",
        type=Path,
        help="file of a fitted model: joblib, pickle, skops, ONNX, XGBoost's JSON or UBJ, LightGBM's text",
    )
    parser.add_argument("--name", required=True, help="name of the model, as in /models/NAME/predict")
    parser.add_argument(
        "--version",
        default="1",
        metavar="V",
        help="version (default: 1); the highest one is served unless models.toml says otherwise",
    )
    parser.add_argument(
        "--data",
        type=Path,
        metavar="FILE",
        help="CSV or Parquet to learn column types and ranges from, and to take example rows of",
    )
    parser.add_argument(
        "--target",
        action="append",
        metavar="COLUMN",
        help="column of the data that the model predicts, to be left out; several, as A,B or with the flag repeated, "
        "name its outputs",
    )
    parser.add_argument(
        "--missing",
        metavar="WORD,…",
        help="words that mean a missing value in the CSV's text, where only the empty cell does (NA,null)",
    )
    parser.add_argument("--no-header", action="store_true", help="the CSV's first row holds values, not names")
    parser.add_argument("--labels", metavar="A,B,…", help="names for the classes, in the order of classes_")
    parser.add_argument(
        "--columns",
        type=Path,
        metavar="FILE.toml",
        help="bounds, allowed values and descriptions of columns (docs/models.md)",
    )
    parser.add_argument(
        "--code", type=Path, metavar="DIR", help="folder of your own modules that the model needs, to go with it"
    )
    parser.add_argument(
        "--compile", action="store_true", help="write a compiled form too, where it is proven on --data and quicker"
    )
    parser.add_argument(
        "--execution",
        choices=get_args(Execution),
        default="auto",
        help="where inference runs (default: auto, as measured)",
    )
    parser.add_argument("--lazy", action="store_true", help="load on the first request")
    parser.add_argument("--optional", action="store_true", help="the service is ready even without this model")
    parser.add_argument("--default", action="store_true", help="answers where a request names no model")
    add_output(parser)
    add_settings(parser, ("trusted_types",))


def run(options: argparse.Namespace) -> int:
    from ..model.manifest import Serving
    from ..model.verify import Trusted
    from ..packing.columns import read_declarations
    from ..packing.pack import pack

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
            missing=words(options.missing),
            header=not options.no_header,
            labels=None if options.labels is None else [label.strip() for label in options.labels.split(",")],
            declarations=declarations,
            serving=Serving(
                execution=options.execution, lazy=options.lazy, optional=options.optional, default=options.default
            ),
            force=options.force,
            compiled=options.compile,
            code=options.code,
            trusted=Trusted.by(settings_of(options)),
        )
    report(packed, options.output)
    return 0


def report(packed: "Packed", models: Path) -> None:
    for note in packed.notes:
        print(f"note: {printable(note)}", file=sys.stderr)
    print(f"Packed {packed.directory}")
    if packed.compilation is not None and (form := packed.compilation.form) is not None:
        print(f"Compiled into {form.file}: {packed.compilation.won}")
    print("Next: slipway serve" + ("" if models == Path("models") else f" --models {models}"))

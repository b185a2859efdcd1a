"""The command line. Each command is a file, which imports what it needs when it runs: `slipway drain` and `--help`
must be quick.
"""

import argparse
import errno
import os
import sys
from collections.abc import Callable, Sequence

from .. import __version__
from ..errors import ArtifactError
from ..model.contained import Escaped
from ..settings import misspelt_variables, spoken
from ..system.escaping import printable
from . import (
    bench,
    check,
    drain,
    drift,
    example,
    fetch,
    log,
    models,
    pack,
    predict,
    push,
    rollback,
    serve,
    sign,
    verify,
)
from .flags import CommandParser, UsageError, typed_in

COMMANDS = (
    example,
    pack,
    check,
    predict,
    bench,
    sign,
    verify,
    fetch,
    push,
    drift,
    serve,
    models,
    rollback,
    log,
    drain,
)  # as `slipway --help` lists them
UNUSABLE = 2  # also what argparse exits with

Command = Callable[[argparse.Namespace], int]


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs a command and raises SystemExit: 0; 1 where a check fails; 2, with a sentence on stderr, for what a user
    can mend.
    """
    options = _parser().parse_args(sys.argv[1:] if arguments is None else arguments)
    run: Command = options.run
    if run is not serve.run:  # which says it in its log
        for sentence in misspelt_variables():
            print(f"slipway: warning: {sentence}", file=sys.stderr)
    try:
        code = run(options)
        sys.stdout.flush()
    except (ArtifactError, UsageError, Escaped) as error:
        print(f"slipway: {printable(spoken(str(error), typed_in(options)))}", file=sys.stderr)
        code = UNUSABLE
    except ModuleNotFoundError as error:  # the image for compiled models has not all of them
        print(
            f"slipway: this command needs the Python module {error.name!r}, which is not installed here",
            file=sys.stderr,
        )
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
    parser = CommandParser(
        prog="slipway", description="Serve fitted scikit-learn models, from a joblib file to Kubernetes."
    )
    parser.add_argument("--version", action="version", version=f"slipway {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    for command in COMMANDS:
        command.add_to(commands)
    return parser

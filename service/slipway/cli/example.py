"""`slipway example`: trains an example model and packs it."""

import argparse

from .flags import Commands, add_command, add_output
from .pack import report

EXAMPLES = ("iris", "breast-cancer", "diabetes", "passengers")


def add_to(commands: Commands) -> None:
    parser = add_command(commands, "example", run, "Train an example model and pack it")
    parser.add_argument("name", metavar="NAME", choices=EXAMPLES, help=", ".join(EXAMPLES))
    add_output(parser)


def run(options: argparse.Namespace) -> int:
    from ..packing.example_models import train_and_pack

    report(train_and_pack(options.name, options.output, force=options.force), options.output)
    return 0

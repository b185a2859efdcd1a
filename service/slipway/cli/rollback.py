"""`slipway rollback`: back to the version before."""

import argparse

from .flags import Commands, add_command, add_settings, settings_of


def add_to(commands: Commands) -> None:
    parser = add_command(commands, "rollback", run, "Pin the version before the one that answers")
    parser.add_argument("name", metavar="NAME")
    add_settings(parser, ("models",))


def run(options: argparse.Namespace) -> int:
    from ..sources.pins import roll_back

    before, now = roll_back(settings_of(options).models, options.name)
    print(
        f"{options.name} is pinned to {now}, which was before {before}; `slipway models unpin {options.name}` ends that"
    )
    return 0

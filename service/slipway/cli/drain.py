"""`slipway drain`: for a preStop hook; what it imports must be little."""

import argparse

from .flags import Commands, add_command, add_settings, settings_of


def add_to(commands: Commands) -> None:
    parser = add_command(
        commands, "drain", run, "Make the clients of this machine's server leave, and wait until they have"
    )
    add_settings(parser, ("port", "runtime_dir", "drain_timeout"))


def run(options: argparse.Namespace) -> int:
    from ..server.drain import drain

    drain(settings_of(options))
    return 0

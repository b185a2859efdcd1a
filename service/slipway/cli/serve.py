"""`slipway serve`: the server, until SIGTERM or Ctrl-C."""

import argparse

from ..settings import Settings
from .flags import Commands, add_command, add_settings, settings_of, typed_in


def add_to(commands: Commands) -> None:
    parser = add_command(commands, "serve", run, "Serve a folder of models until SIGTERM or Ctrl-C")
    parser.add_argument(
        "--reload", action="store_true", help="one process that starts anew when code or models change: for development"
    )
    add_settings(parser, Settings.model_fields)


def run(options: argparse.Namespace) -> int:
    from ..server.master import serve

    serve(settings_of(options), reload=options.reload, typed=typed_in(options))
    return 0

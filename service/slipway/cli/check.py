"""`slipway check`: whether a model directory would be served, and what vouches for it."""

import argparse
from pathlib import Path

from ..settings import spoken
from ..system.escaping import printable
from .flags import Commands, add_command, add_loading, settings_of, typed_in

FAILED = 1  # the exit code


def add_to(commands: Commands) -> None:
    parser = add_command(
        commands, "check", run, "Verify what would be served: digest, versions and the answers to the example rows"
    )
    parser.add_argument(
        "directory", metavar="DIR", type=Path, help="a model's folder, such as models/iris/1, or a folder of models"
    )
    add_loading(parser)


def run(options: argparse.Namespace) -> int:
    from ..model.verify import Trusted
    from ..packing.check import check
    from ..sources.folder import models_in

    settings, failed = settings_of(options), False
    for directory in models_in(options.directory):
        print(directory)
        is_off = False
        allow, compiled = settings.allow_version_mismatch, settings.compiled
        for verdict in check(
            directory,
            trust=settings.trust,
            allow_version_mismatch=allow,
            compiled=compiled,
            trusted=Trusted.by(settings),
        ):
            sentence = printable(spoken(verdict.sentence, typed_in(options)))
            print(f"  {verdict.state:5} {verdict.subject:9} {sentence}", flush=True)
            is_off = is_off or verdict.state == "off"
        print(f"  {'off' if is_off else 'ok':5} verdict   {'not fit to serve' if is_off else 'fit to serve'}")
        failed = failed or is_off
    return FAILED if failed else 0

"""`slipway verify`: whether the signature of a model directory is of a key that is trusted. Nothing is loaded."""

import argparse
from pathlib import Path

from ..errors import ArtifactError
from ..system.escaping import printable
from .flags import Commands, UsageError, add_command, add_settings, settings_of

FAILED = 1


def add_to(commands: Commands) -> None:
    parser = add_command(commands, "verify", run, "Verify the signature of a model directory, and load nothing")
    parser.add_argument(
        "directory", metavar="DIR", type=Path, help="a model's folder, such as models/iris/1, or a folder of models"
    )
    add_settings(parser, ("trust_key",))


def run(options: argparse.Namespace) -> int:
    from ..model.artifact import verify_signed
    from ..sources.folder import models_in

    key, failed = settings_of(options).trust_key, False
    if key is None:
        raise UsageError("--trust-key names the public key or the certificates to verify with, and is not given")
    for directory in models_in(options.directory):
        try:
            print(f"{directory}: {verify_signed(directory, key)} is signed, and all its files are as they were")
        except ArtifactError as error:
            print(printable(str(error)))
            failed = True
    return FAILED if failed else 0

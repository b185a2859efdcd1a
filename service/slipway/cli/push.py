"""`slipway push`: model directories into an OCI registry."""

import argparse
from pathlib import Path

from .flags import Commands, add_command


def add_to(commands: Commands) -> None:
    parser = add_command(commands, "push", run, "Push model directories to an OCI registry, as an image of /models")
    parser.add_argument("directory", metavar="DIR", type=Path, help="a model's folder, or a folder of models")
    parser.add_argument("address", metavar="ADDRESS", help="oci://REGISTRY/NAME:TAG")


def run(options: argparse.Namespace) -> int:
    from ..sources.folder import models_in
    from ..sources.push import push

    digest = push(models_in(options.directory), options.address)
    print(f"Pushed {options.address}@{digest}")
    return 0

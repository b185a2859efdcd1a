"""`slipway sign`: a signature of a model directory, which SLIPWAY_TRUST=signed asks for."""

import argparse
from pathlib import Path

from .flags import Commands, UsageError, add_command


def add_to(commands: Commands) -> None:
    parser = add_command(commands, "sign", run, "Sign a model directory, as OpenSSF's model signing does")
    parser.add_argument("directory", metavar="DIR", type=Path, help="a model's folder, such as models/iris/1")
    parser.add_argument(
        "--key", metavar="KEY.pem", type=Path, required=True, help="private key of an elliptic curve, in PEM"
    )
    parser.add_argument("--certificate", metavar="CERT.pem", type=Path, help="certificate of that key, to sign with")
    parser.add_argument("--chain", metavar="PEM", type=Path, nargs="+", default=[], help="certificates above it")


def run(options: argparse.Namespace) -> int:
    from ..model.signing import sign
    from ..sources.folder import models_in

    if options.chain and options.certificate is None:
        raise UsageError("--chain names the certificates above --certificate, which is not given")
    for directory in models_in(options.directory):
        print(f"Signed {sign(directory, options.key, options.certificate, options.chain)}")
    return 0

"""`slipway fetch`: models from an address, verified, into the cache or a folder."""

import argparse
import sys
from pathlib import Path

from ..system.escaping import printable
from .flags import Commands, UsageError, add_command, add_settings, settings_of

UNREACHABLE = 3


def add_to(commands: Commands) -> None:
    parser = add_command(commands, "fetch", run, "Fetch models from an address, and verify them")
    parser.add_argument(
        "address",
        metavar="ADDRESS",
        nargs="?",
        help="s3://BUCKET/FOLDER, gs://…, az://…, https://…, oci://REGISTRY/NAME:TAG, models:/NAME@ALIAS or "
        "models:/NAME/VERSION; #sha256=… pins the archive or the manifest (default: SLIPWAY_SOURCE)",
    )
    parser.add_argument("--output", type=Path, metavar="DIR", help="folder of models to put them into")
    parser.add_argument("--force", action="store_true", help="replace versions that exist there with other files")
    add_settings(parser, ("fetch_cache", "fetch_cache_bytes", "fetch_headers"))


def run(options: argparse.Namespace) -> int:
    from ..sources.address import parse
    from ..sources.fetching import fetch, place_in
    from ..sources.opening import opener
    from ..sources.remote import Unreachable

    settings = settings_of(options)
    address = options.address or settings.source
    if address is None:
        raise UsageError("ADDRESS is not given, and SLIPWAY_SOURCE is not set")
    try:
        parsed = parse(address)
        fetched = fetch(parsed, settings.fetch_cache, settings.fetch_cache_bytes, opener(settings.fetch_headers))
    except Unreachable as error:
        print(f"slipway: {printable(str(error))}", file=sys.stderr)
        return UNREACHABLE
    if options.output is not None:
        for directory in place_in(options.output, fetched.folder, force=options.force):
            print(f"Fetched {directory}")
    else:
        print(f"{'Fetched' if fetched.changed else 'Unchanged:'} {fetched.folder}")
    return 0

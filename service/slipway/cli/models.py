"""`slipway models`: the versions in the folder of models, and which of them answer."""

import argparse
from collections.abc import Sequence

from .flags import Commands, add_command, add_settings, settings_of

_HEAD = ("MODEL", "VERSION", "", "SIZE")


def add_to(commands: Commands) -> None:
    group = add_command(commands, "models", _list, "List the models in a folder, or pin which version of one answers")
    add_settings(group, ("models",))
    commands = group.add_subparsers(title="commands", metavar="COMMAND")
    pin = add_command(commands, "pin", _pin, "Have this version answer where none is named, whatever is higher")
    pin.add_argument("name", metavar="NAME")
    pin.add_argument("version", metavar="VERSION")
    add_settings(pin, ("models",))
    unpin = add_command(commands, "unpin", _unpin, "Have the highest version answer again")
    unpin.add_argument("name", metavar="NAME")
    add_settings(unpin, ("models",))


def _list(options: argparse.Namespace) -> int:
    from ..model.artifact import size
    from ..sources.pins import held
    from ..system.memory import megabytes

    rows = [
        (
            each.name,
            each.version,
            "default, pinned" if each.pinned else "default" if each.default else "",
            megabytes(size(each.directory)),
        )
        for each in held(settings_of(options).models)
    ]
    print("\n".join(_columns([_HEAD, *rows])))
    return 0


def _columns(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _pin(options: argparse.Namespace) -> int:
    from ..sources.pins import pin

    pin(settings_of(options).models, options.name, options.version)
    print(f"{options.name} {options.version} is pinned")
    return 0


def _unpin(options: argparse.Namespace) -> int:
    from ..sources.pins import unpin

    version = unpin(settings_of(options).models, options.name)
    print(f"{options.name} is no longer pinned: {version}, the highest version, answers")
    return 0

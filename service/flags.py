"""A flag for every setting: it goes before the variable, which goes before the default."""

import argparse
import json
from collections.abc import Iterable
from pathlib import Path
from types import UnionType
from typing import Any, Literal, get_args, get_origin

from pydantic import SecretStr, ValidationError
from pydantic_settings import SettingsError

from .settings import Settings

METAVARS: dict[Any, str] = {int: "N", float: "NUMBER", Path: "PATH"}


class UsageError(Exception):
    """An option or a variable that cannot be used; the message names it."""


def add_settings(parser: argparse.ArgumentParser, names: Iterable[str]) -> None:
    """A flag per setting. None has a default: what is not given is the environment's to say."""
    for name in names:
        field = Settings.model_fields[name]
        annotation: Any = field.annotation
        if get_origin(annotation) is UnionType:  # T | None
            annotation = get_args(annotation)[0]
        value = field.default.get_secret_value() if isinstance(field.default, SecretStr) else field.default
        default = "unset" if value is None else json.dumps(value, default=str).strip('"')
        kind: dict[str, Any] = {"metavar": METAVARS.get(annotation, "TEXT")}
        if annotation is bool:
            kind = {"action": argparse.BooleanOptionalAction}
        elif get_origin(annotation) is Literal:
            kind = {"choices": get_args(annotation)}
        elif get_origin(annotation) is list:
            kind = {"nargs": "+", "metavar": "TEXT"}
        parser.add_argument(
            _flag(name),
            default=argparse.SUPPRESS,
            help=f"{field.description} [{_variable(name)}, default: {default or 'empty'}]".replace("%", "%%"),
            **kind,
        )


def settings_of(options: argparse.Namespace) -> Settings:
    """Flags before variables before defaults. Raises UsageError naming the flag or the variable."""
    given = {name: value for name, value in vars(options).items() if name in Settings.model_fields}
    try:
        return Settings(**given)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ""
        if first["loc"]:
            name = str(first["loc"][0])
            where = f"{_flag(name) if name in given else _variable(name)}: "
        raise UsageError(f"{where}{first['msg'].removeprefix('Value error, ')}") from None
    except SettingsError as error:
        raise UsageError(f"{error}: lists are written as JSON") from None


def _flag(setting: str) -> str:
    return "--" + setting.replace("_", "-")


def _variable(setting: str) -> str:
    return f"{Settings.model_config['env_prefix']}{setting.upper()}"

"""A flag for every setting: it goes before the variable, which goes before the default."""

import argparse
import json
import re
from collections.abc import Callable, Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path
from types import UnionType
from typing import Any, Literal, get_args, get_origin

from pydantic import SecretStr, ValidationError
from pydantic_settings import SettingsError

from ..settings import ADDRESS, Settings, flag_of, spoken, variable_of

METAVARS: dict[Any, str] = {int: "N", float: "NUMBER", Path: "PATH"}


Commands = Any  # argparse's class of sub-parsers is private


class UsageError(Exception):
    """An option or a variable that cannot be used; the message names it."""


class CommandParser(argparse.ArgumentParser):
    """Of one command. A flag that it does not have is an error with its own usage and the nearest flag, before
    anything else is.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        self._flags: list[str] = []
        self._is_group = False
        super().__init__(*args, **options | {"allow_abbrev": False})

    def add_argument(self, *args: Any, **options: Any) -> argparse.Action:
        action = super().add_argument(*args, **options)
        self._flags += action.option_strings
        return action

    def add_subparsers(self, **options: Any) -> Any:
        self._is_group = True
        return super().add_subparsers(**options)

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> Any:
        given = list(args or ())
        ends = [place for place, word in enumerate(given) if word == "--" or (self._is_group and word[:1] != "-")]
        own = given[: ends[0]] if ends else given  # what follows the name of a command is that command's
        for flag in [word.partition("=")[0] for word in own if re.match(r"--?[A-Za-z]", word) and " " not in word]:
            if flag not in self._flags and not (flag[:2] in self._flags and flag[1] != "-"):  # -n5 is -n 5
                near = get_close_matches("--" + flag.lstrip("-"), self._flags, 1)
                self.error(f"there is no flag {flag}" + (f": did you mean {near[0]}?" if near else ""))
        return super().parse_known_args(args, namespace)


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
            flag_of(name),
            default=argparse.SUPPRESS,
            help=f"{field.description} [{variable_of(name)}, default: {default or 'empty'}]".replace("%", "%%"),
            **kind,
        )


def settings_of(options: argparse.Namespace) -> Settings:
    """Flags before variables before defaults. Raises UsageError naming the flag or the variable."""
    typed = typed_in(options)
    try:
        return Settings(**{name: value for name, value in vars(options).items() if name in typed})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = str(first["loc"][0]) if first["loc"] else ""
        if name == "port" and name not in typed and ADDRESS.fullmatch(str(first["input"])):
            raise UsageError(
                f"SLIPWAY_PORT is {first['input']}, which Kubernetes sets in every pod beside a Service called "
                "slipway: give that Service"
                " another name, set enableServiceLinks: false in the pod's spec, or set SLIPWAY_PORT there yourself"
            ) from None
        where = f"{variable_of(name)}: " if name else ""
        raise UsageError(spoken(f"{where}{first['msg'].removeprefix('Value error, ')}", typed)) from None
    except SettingsError as error:
        named = re.search(r'field "(\w+)"', str(error))
        where = variable_of(named[1]) if named and named[1] in Settings.model_fields else str(error)
        raise UsageError(f'{where}: it is a list, which is written as JSON, such as ["a", "b"]') from None


def typed_in(options: argparse.Namespace) -> set[str]:
    """The settings that were given as flags."""
    return vars(options).keys() & Settings.model_fields.keys()


def add_command(
    commands: Commands, name: str, run: Callable[[argparse.Namespace], int], sentence: str
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=sentence[0].lower() + sentence[1:], description=f"{sentence}."
    )
    parser.set_defaults(run=run)
    return parser


def add_output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("models"),
        metavar="DIR",
        help="folder of models to write into (default: models)",
    )
    parser.add_argument("--force", action="store_true", help="replace the version if it exists")


def add_loading(parser: argparse.ArgumentParser) -> None:
    add_settings(parser, ("trust", "trust_key", "trusted_types", "allow_version_mismatch", "compiled"))


def words(listed: str | None) -> list[str]:
    return [] if listed is None else [word.strip() for word in listed.split(",") if word.strip()]

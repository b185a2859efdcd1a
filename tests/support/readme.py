"""The README's `$ curl` lines and the answers printed under them."""

import argparse
import json
import math
import re
import shlex
from pathlib import Path
from typing import Any, NamedTuple

README = Path(__file__).resolve().parents[2] / "README.md"
ADDRESS = "http://127.0.0.1:8000"
TIMES = {"latency_ms"}  # differ from call to call


class Example(NamedTuple):
    command: str
    answer: Any


class Request(NamedTuple):
    method: str
    path: str
    headers: dict[str, str]
    body: str | None


def examples() -> list[Example]:
    """Every curl line of the README's console blocks with its answer, which is JSON."""
    found = []
    for block in re.findall(r"^```console\n(.*?)^```", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL):
        for command, answer in re.findall(r"^\$ (curl (?:.*\\\n)*.*)\n((?:(?!\$ ).+\n)*)", block, re.MULTILINE):
            found.append(Example(command.replace("\\\n", ""), json.loads(answer)))
    return found


def request(command: str) -> Request:
    """What curl sends for this line. Any flag that is not known here ends the test."""
    curl = argparse.ArgumentParser(prog="curl", exit_on_error=False)
    curl.add_argument("-s", action="store_true")
    curl.add_argument("-H", action="append", default=[])
    curl.add_argument("-d")
    curl.add_argument("url")
    line = curl.parse_args(shlex.split(command)[1:])
    headers = dict(header.split(": ", 1) for header in line.H)
    if line.d is not None:
        headers = {"Content-Type": "application/x-www-form-urlencoded", **headers}
    return Request("GET" if line.d is None else "POST", line.url.removeprefix(ADDRESS), headers, line.d)


def agrees(printed: Any, actual: Any) -> bool:
    """The same keys and values; numbers to six digits, times any number, and `…` in a printed string stands for
    anything.
    """
    if isinstance(printed, dict):
        return (
            isinstance(actual, dict)
            and printed.keys() == actual.keys()
            and all(
                isinstance(actual[key], float) if key in TIMES else agrees(value, actual[key])
                for key, value in printed.items()
            )
        )
    if isinstance(printed, list):
        return isinstance(actual, list) and len(printed) == len(actual) and all(map(agrees, printed, actual))
    if isinstance(printed, float):
        return isinstance(actual, float) and math.isclose(printed, actual, rel_tol=1e-6, abs_tol=1e-9)
    if isinstance(printed, str) and "…" in printed:
        return (
            isinstance(actual, str) and re.fullmatch(".*".join(map(re.escape, printed.split("…"))), actual) is not None
        )
    return type(printed) is type(actual) and bool(printed == actual)

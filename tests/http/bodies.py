"""Bodies of a given size for every path: valid ones, and wrong ones of many shapes, to compare what they cost."""

import json
from collections.abc import Callable, Iterator
from itertools import count, cycle
from typing import Any, NamedTuple

from slipway.telemetry.request_id import new_key

KEY = new_key()  # of a row that might have been answered just now
DEPTH = 150  # JSON parsers stop at 200


class Target(NamedTuple):
    """A path with a model behind it. `rows`: valid ones, by column; columns None: a model that tells nothing of
    them.
    """

    path: str
    kind: str
    columns: list[str] | None
    rows: list[list[Any]]


class Body(NamedTuple):
    shape: str
    content: bytes


def filled(size: int, before: str, parts: Iterator[str], after: str, between: str = ",") -> bytes:
    """As many parts as there is room for."""
    room = size - len(before) - len(after)
    taken: list[str] = []
    for part in parts:
        room -= len(part) + len(between)
        if room < 0:
            break
        taken.append(part)
    return (before + between.join(taken) + after).encode()


def padded(size: int, text: str) -> bytes:
    """Blanks behind it: the same value in a body of the size wanted."""
    return text.encode() + b" " * (size - len(text))


# What a list may hold in the place of what is wanted there.
VALUES: dict[str, Callable[[], Iterator[str]]] = {
    "objects": lambda: cycle(["{}"]),
    "lists": lambda: cycle(["[]"]),
    "lists of one": lambda: cycle(["[0]"]),
    "objects of one": lambda: cycle(['{"":0}']),
    "empty strings": lambda: cycle(['""']),
    "equal strings": lambda: cycle(['"ab"']),
    "strings": lambda: (f'"{i:x}"' for i in count()),
    "numbers as strings": lambda: (f'"{i}.5"' for i in count()),
    "nulls": lambda: cycle(["null"]),
    "trues": lambda: cycle(["true"]),
    "small numbers": lambda: cycle(["0"]),
    "numbers": lambda: (f"{i}.5" for i in count()),
    "large integers": lambda: cycle(["9" * 30]),
    "huge integers": lambda: cycle(["9" * 400]),
    "NaN": lambda: cycle(["NaN"]),
    "infinities": lambda: cycle(["1e999"]),
    "deep objects": lambda: cycle(['{"":' * DEPTH + "0" + "}" * DEPTH]),
    "deep lists": lambda: cycle(["[" * DEPTH + "]" * DEPTH]),
    "wide objects": lambda: ("{" + ",".join(f'"{i}{j:x}":0' for j in range(100)) + "}" for i in count()),
    "a mixture": lambda: cycle(['""', "null", "0", "{}", "[]", "NaN", '{"a":[{"b":"c"}]}']),
}


def wrong_values(size: int) -> Iterator[tuple[str, str]]:
    """Name and JSON text of values that are wrong nearly everywhere, of about this size."""
    for name, parts in VALUES.items():
        yield f"list of {name}", filled(size, "[", parts(), "]").decode()
    yield "object of many keys", filled(size, "{", (f'"{i:x}":0' for i in count()), "}").decode()
    yield "object of many long keys", filled(size, "{", (f'"{i:x}{"k" * 120}":0' for i in count()), "}").decode()
    yield "object of one key again and again", filled(size, "{", cycle(['"a":0']), "}").decode()
    yield "object of lists", filled(size, "{", (f'"{i:x}":[]' for i in count()), "}").decode()
    yield "long string", '"' + "a" * (size - 2) + '"'
    yield "long string of escapes", '"' + "\\n" * ((size - 2) // 2) + '"'
    yield "long number", "9" * size
    yield "number of many decimals", "0." + "1" * (size - 2)
    yield "brackets", "[" * size
    yield "braces", '{"":' * (size // 4)


def wrong_bodies(target: Target, size: int) -> Iterator[Body]:
    """Nearly all of them are: of two members of one name the last one counts, and a number may have many digits."""
    for place, before, after in _places(target):
        for name, value in wrong_values(size - len(before) - len(after)):
            yield Body(f"{name} as {place}", (before + value + after).encode())
            if name.startswith("list") and place in ("body", "instances", "features", "outcome"):
                yield Body(f"{name} as {place}, not closed", (before + value[:-1]).encode())
    yield from _nearly_right(target, size)


def _places(target: Target) -> Iterator[tuple[str, str, str]]:
    """Where in a body something can be wrong: name, and the text around it."""
    yield "body", "", ""
    yield "unknown field", '{"unknown":', "}"
    yield "instances", '{"instances":', "}"
    if target.kind == "feedback":
        for field in ("prediction_id", "position", "outcome"):
            others = {"prediction_id": KEY, "position": 0, "outcome": 1}
            del others[field]
            start = json.dumps(others)[:-1] + f',"{field}":'
            yield field, start, "}"
            yield f"{field} of the second instance", f'{{"instances":[{json.dumps(others | {field: 1})},{start}', "}]}"
        return
    row = json.dumps(target.rows[0])
    if target.kind == "positional":
        yield "features", '{"features":', "}"
        yield "second row", f'{{"instances":[{row},', "]}"
        yield "first value", '{"features":[', f",{row[1:]}}}"
        yield "last value", f'{{"features":{row[:-1]},', "]}"
        yield "beside features", f'{{"features":{row},"more":', "}"
    if target.columns is not None:
        by_column = json.dumps(dict(zip(target.columns, target.rows[0], strict=True)))
        yield (
            "value of the second row by column",
            f'{{"instances":[{by_column},{by_column[:-1]},{json.dumps(target.columns[0])}:',
            "}]}",
        )
        if target.kind == "named":
            yield "value by column", f"{by_column[:-1]},{json.dumps(target.columns[0])}:", "}"


def _nearly_right(target: Target, size: int) -> Iterator[Body]:
    """What is right but for its last part, or its width."""
    if target.kind == "feedback":
        rows = [json.dumps({"prediction_id": KEY, "position": 0, "outcome": outcome}) for outcome in (1, "a", [0, 1])]
        odd = ['{"prediction_id":0}', "0", json.dumps({"prediction_id": KEY, "outcome": 1, "more": 1})]
    else:
        rows = [json.dumps(row, separators=(",", ":")) for row in target.rows]
        width = len(target.rows[0])
        odd = ["[]", json.dumps([{}] * width), json.dumps([*target.rows[0], 1]), "0"]
    sorts = [("rows", rows, odd)]
    if target.columns is not None:
        by_column = [dict(zip(target.columns, row, strict=True)) for row in target.rows]
        wrong = [{}, {"more": 1}, by_column[0] | {"more": 1}, by_column[0] | {target.columns[0]: {}}]
        sorts.append(("rows by column", list(map(json.dumps, by_column)), list(map(json.dumps, wrong))))
    for name, right, odd in sorts:
        for other in odd:
            yield Body(f"{name}, then {other}", filled(size, '{"instances":[', cycle(right), f",{other}]}}"))
            yield Body(f"{name}, each {other}", filled(size, '{"instances":[', cycle([other]), "]}"))
            yield Body(f"{name}, half {other}", filled(size, '{"instances":[', cycle([*right, other]), f",{other}]}}"))
        yield Body(f"{name}, not closed", filled(size, '{"instances":[', cycle(right), ""))


def valid_bodies(target: Target, size: int, most_rows: int) -> Iterator[Body]:
    """Dear ones: as many rows, values or digits as there is room for."""
    if target.kind == "feedback":
        for outcome in ("1", "1.5", '"a"', "[1,2]", "[" + ",".join(["1.5"] * 200) + "]"):
            row = f'{{"prediction_id":"{KEY}","outcome":{outcome}}}'
            yield Body(f"outcomes {outcome[:20]}", filled(size, '{"instances":[', _most([row], most_rows), "]}"))
        return
    if target.columns is not None:
        rows = [json.dumps(dict(zip(target.columns, row, strict=True)), separators=(",", ":")) for row in target.rows]
        if target.kind == "one":
            yield Body("one row", padded(size, rows[0]))
            return
        yield Body("rows by column", filled(size, '{"instances":[', _most(rows, most_rows), "]}"))
        if target.kind == "named":
            yield Body("one row", padded(size, rows[0]))
    if target.kind == "positional" or target.columns is None:
        rows = [json.dumps(row, separators=(",", ":")) for row in target.rows]
        yield Body("rows", filled(size, '{"instances":[', _most(rows, most_rows), "]}"))
    if target.kind == "positional":
        yield Body("one row", padded(size, f'{{"features":{rows[0]}}}'))
        if target.columns is None:
            yield Body("one wide row", filled(size, '{"features":[', cycle(["0"]), "]}"))
            yield Body("one wide row of decimals", filled(size, '{"features":[', (f"{i}.5" for i in count()), "]}"))


def _most(rows: list[str], count: int) -> Iterator[str]:
    return (row for row, _ in zip(cycle(rows), range(count), strict=False))

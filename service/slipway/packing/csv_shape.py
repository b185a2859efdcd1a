"""The shape of a CSV, looked at before its cells are read: its encoding, the names in its header, and that all rows
are as long.
"""

import bz2
import csv
import gzip
import lzma
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import ArtifactError

# As pandas opens them.
_OPENED_BY: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}


def listed(names: Any) -> str:
    names = [str(name) for name in names]
    return ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")


def first_row(path: Path) -> list[str]:
    """The cells of the first row, as they are. Raises ArtifactError where there is none, and what reading a file
    raises.
    """
    with records(path) as rows:
        row: list[str] = next(rows, [])
    if not "".join(row).strip():
        raise ArtifactError(
            f"The first line of {path} is empty: it must be a row of names, or of values with --no-header"
        )
    return row


def check_rows(path: Path, width: int, *, has_header: bool) -> None:
    """Raises ArtifactError at the first row that has more cells or fewer: pandas would shift, drop or make up
    values.
    """
    with records(path) as rows:
        for row in rows:
            if len(row) == width or (width > 1 and not "".join(row).strip(" \t")):  # an empty line
                continue
            where = f"Line {rows.line_num} of {path} has {len(row)} cells"
            if not has_header:
                raise ArtifactError(
                    f"{where}, but without a header each row must have the {width} of the columns, in their order, and "
                    "no others"
                )
            ends = "; it ends with a comma, which the header does not" if len(row) == width + 1 and not row[-1] else ""
            raise ArtifactError(
                f"{where}, but its header has {width} names: give each row one cell for each name{ends}"
            )


def check_header(path: Path, row: Sequence[str], known: Collection[str] | None, *, by_place: bool = False) -> None:
    """Raises ArtifactError where the first row looks like one of values. `by_place`: the names mean nothing, so that
    none is a number.
    """
    if known is not None and set(row) & set(known):
        return
    numbers = [name for name in row if _is_number(name)]
    counted = list(row) == [str(place) for place in range(len(row))]
    fractions = [name for name in numbers if not name.strip().lstrip("+-").isdigit()]
    if (len(numbers) == len(row) and not counted) or fractions or (by_place and numbers and not counted):
        raise ArtifactError(
            f"The first row of {path} is taken for the names of its columns, but holds numbers ({listed(numbers)}): "
            "say --no-header if it is a row of values, or give the columns names"
        )


def check_twice(path: Path, row: Sequence[str], known: Collection[str]) -> None:
    """Raises ArtifactError where a name that is wanted stands there twice, unless the second is known as pandas
    names it.
    """
    twice = sorted({name for name in row if name in known and row.count(name) > 1 and f"{name}.1" not in known})
    if twice:
        raise ArtifactError(
            f"The header of {path} has these names twice: {listed(twice)}; leave out the columns that are not meant"
        )


def naming_hint(names: Iterable[Any], wanted: Collection[str]) -> str:
    """Words where the names of a file lack those that are wanted, and it can be told why."""
    names = [str(name) for name in names]
    if blanks := [name for name in names if name != name.strip() and name.strip() in wanted]:
        return f"; these have blanks around them, take them out: {listed(map(repr, blanks))}"
    by_case = {name.lower(): name for name in wanted}
    if alike := [name for name in names if name not in wanted and name.lower() in by_case]:
        return f"; names must be the same to the letter, these are not: {listed(alike)}"
    return ""


@contextmanager
def records(path: Path, separator: str = ",") -> Iterator[Any]:
    """A reader of the rows, each a list of its cells."""
    limit = csv.field_size_limit(sys.maxsize)  # a document in a cell may have any length
    try:
        with _OPENED_BY.get(path.suffix.lower(), open)(path, "rt", encoding="utf-8-sig", newline="") as file:
            yield csv.reader(file, delimiter=separator)
    finally:
        csv.field_size_limit(limit)


def _is_number(name: str) -> bool:
    try:
        float(name)
    except ValueError:
        return False
    return True

"""What a data file is, told by its first bytes and lines: its kind, its separator, a line that speaks to Excel
alone.
"""

import re
import zipfile
from collections.abc import Collection
from itertools import islice
from pathlib import Path

from ..errors import ArtifactError
from .csv_shape import records

HEAD = 512  # bytes
_WORKBOOK = 'a workbook of Excel: save it there as "CSV UTF-8 (comma delimited)"'
_KINDS = (
    (rb"PAR1[\x00-\x08\x0e-\x1f]", "a table of Parquet: name it .parquet"),
    (rb"\xd0\xcf\x11\xe0", _WORKBOOK),
    (rb"ARROW1\x00", "a table of Arrow (Feather): write it with to_parquet()"),
    (rb"SQLite format 3\x00", "a database of SQLite: write the table into a CSV"),
    (rb"\x80[\x02-\x05]", "a pickle: write the frame in it with to_parquet(), or with to_csv(index=False)"),
    (
        rb"(\xef\xbb\xbf)?\s*(?i:<!doctype html|<html)",
        "a page of HTML: what it was downloaded from answered with one, get it anew",
    ),
    (rb'(\xef\xbb\xbf)?\s*(\[\s*[\[{]|\{\s*")', "JSON: write the frame with to_parquet(), or with to_csv(index=False)"),
)
_COMPRESSED = ((rb"\x1f\x8b", "gzip", ".gz"), (rb"BZh[1-9]1AY&SY", "bzip2", ".bz2"), (rb"\xfd7zXZ", "xz", ".xz"))
_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars"}
_DECIMAL_COMMA = r"\s*[-+]?\d[\d.]*,\d+\s*"
_NUMBER = rf"\s*[-+]?[\d.]*\s*|{_DECIMAL_COMMA}"


def look_at(path: Path, known: Collection[str], *, is_parquet: bool, has_header: bool) -> None:
    """Raises ArtifactError where it is not what its name says, or a CSV of another dialect; else what reading raises.

    `known`: names of columns that are expected, and may look like anything.
    """
    with path.open("rb") as file:
        head = file.read(HEAD)
    kind = _kind(path, head)
    if is_parquet:
        if not head.startswith(b"PAR1"):
            other = kind or "no such file, name it .csv if it is a CSV"
            raise ArtifactError(f"{path} cannot be read as Parquet: it is {other}")
        return
    what = kind or _line_of_excel(path) or _separated(path, known, has_header=has_header)
    if what is not None:
        raise ArtifactError(f"{path} cannot be read as CSV: {'it is ' if kind else ''}{what}")


def _kind(path: Path, head: bytes) -> str | None:
    for magic, name, ending in _COMPRESSED:
        if re.match(magic, head):
            return None if path.suffix.lower() == ending else f"compressed by {name}: name it .csv{ending}"
    if head.startswith(b"PK\x03\x04"):
        return _WORKBOOK if _holds_workbook(path) else "a zip archive: unpack it, and name the CSV that is in it"
    return next((what for magic, what in _KINDS if re.match(magic, head)), None)


def _holds_workbook(path: Path) -> bool:
    if not zipfile.is_zipfile(path):
        return path.suffix.lower().startswith(".xls")
    with zipfile.ZipFile(path) as archive:
        return any(name.startswith("xl/") for name in archive.namelist())


def _line_of_excel(path: Path) -> str | None:
    line = ",".join(_first_rows(path, ",")[0])
    if not re.fullmatch(r"sep=.", line):
        return None
    way = "take it out" + ("" if line == "sep=," else ", and save the others with commas")
    return f"its first line, {line}, speaks to Excel alone: {way}"


def _separated(path: Path, known: Collection[str], *, has_header: bool) -> str | None:
    """Words for rows of several cells by another separator, and by commas of a single name, or of numbers cut in
    two.
    """
    names = _first_rows(path, ",")[0]
    if set(names) & set(known) or (has_header and len(names) > 1):
        return None
    for separator, word in _SEPARATORS.items():
        rows = _first_rows(path, separator)
        if len(set(map(len, rows))) > 1 or len(rows[0]) < 2:
            continue
        if has_header or all(re.fullmatch(_NUMBER, cell) for cell in rows[0]):
            has_decimals = any(re.fullmatch(_DECIMAL_COMMA, cell) for cell in rows[-1])
            first = "header" if has_header else "first row"
            way = "save it with commas" + (", and its numbers with points" if has_decimals else "")
            return f"its {first} is separated by {word}: {way}"
    return None


def _first_rows(path: Path, separator: str) -> list[list[str]]:
    with records(path, separator) as rows:
        return list(islice(rows, 2)) or [[]]

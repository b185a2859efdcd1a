"""Text that clients and models made up, where it could do something: drive a terminal, or run as a spreadsheet's
formula.
"""

import csv
import re
from collections.abc import Iterable
from typing import Any, TextIO

# As OWASP lists them: what begins with one of these is a formula to some spreadsheet.
_FORMULA = re.compile("[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
_NUMBER = re.compile(r"[-+]?\d+(\.\d*)?([eE][-+]?\d+)?")


def printable(text: str) -> str:
    """One line for a terminal: control, bidirectional and separating characters stand as their escapes."""
    return text if text.isprintable() else "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)


def defused(cells: Iterable[Any]) -> list[Any]:
    """A row of a CSV file with an apostrophe before every text that would be a formula. Numbers stay, as text, too."""
    return [
        f"'{cell}" if isinstance(cell, str) and _FORMULA.match(cell) and not _NUMBER.fullmatch(cell) else cell
        for cell in cells
    ]


class CsvWriter:
    """Rows of a CSV file, each ended by a line feed. `defuse`: text that a spreadsheet would take for a formula."""

    def __init__(self, file: TextIO, *, defuse: bool) -> None:
        self._file = file
        self._defuse = defuse
        # Python before 3.13 quotes a carriage return only where it is part of the line's end, and every reader ends a
        # row at a bare one.
        self._writer = csv.writer(self, lineterminator="\r\n")

    def write(self, line: str) -> None:
        self._file.write(line.removesuffix("\r\n") + "\n")

    def rows(self, rows: Iterable[Iterable[Any]]) -> None:
        self._writer.writerows(map(defused, rows) if self._defuse else rows)

"""What clients and models made up does no harm on a terminal and in a spreadsheet."""

import csv
import io
import unicodedata
from itertools import product

import pandas as pd
import pytest

from slipway.system.escaping import CsvWriter, defused, printable


def test_nothing_that_drives_a_terminal_or_moves_text_is_printed() -> None:
    for code in range(0x110000):
        if unicodedata.category(chr(code)) in ("Cc", "Cf", "Cs", "Zl", "Zp"):
            shown = printable(f"a{chr(code)}b")
            assert shown.isprintable()
            assert shown[0] + shown[-1] == "ab"
    assert printable("évén → 💥 'a' \\") == "évén → 💥 'a' \\"
    assert printable("\x1b[2J\x9b\u202e\u2028\n") == r"\x1b[2J\x9b\u202e\u2028\n"


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff20"])
def test_text_that_would_be_a_formula_gets_an_apostrophe(start: str) -> None:
    assert defused([f"{start}cmd|' /C calc'!A0", 1]) == [f"'{start}cmd|' /C calc'!A0", 1]


def test_numbers_and_other_text_stay() -> None:
    row = [-1, -1.5, None, True, "-1", "-1.5e-7", "+3", "yes", "", "a=b", '{"x": "=1"}']
    assert defused(row) == row
    assert defused(["-1+cmd|' /C calc'!A0", "-"]) == ["'-1+cmd|' /C calc'!A0", "'-"]


SEPARATORS = ["\n", "\r", "\r\n", "\v", "\f", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029"]


def test_no_line_separator_in_a_cell_begins_a_row_of_a_csv() -> None:
    cells = [
        f"{before}{separator}=HYPERLINK(1){after}"
        for before, separator, after in product(["x", '"', "a,b"], SEPARATORS, ["", "\r"])
    ]
    rows = [["key", "outcome"], *([str(place), cell] for place, cell in enumerate(cells))]
    file = io.StringIO(newline="")
    CsvWriter(file, defuse=True).rows(rows)
    text = file.getvalue()
    assert list(csv.reader(io.StringIO(text, newline=""))) == rows
    read = pd.read_csv(io.BytesIO(text.encode()), dtype=str, keep_default_na=False)
    assert read.to_numpy().tolist() == rows[1:]
    assert text.startswith("key,outcome\n0,")
    assert text.endswith("\n")
    assert not text.endswith("\r\n")

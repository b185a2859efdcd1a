"""What clients and models made up does no harm on a terminal and in a spreadsheet."""

import unicodedata

import pytest

from slipway.system.escaping import defused, printable


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

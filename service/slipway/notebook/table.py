"""Facts in two columns, as text for a terminal and as HTML for a notebook; nothing of a model's own is let through."""

from collections.abc import Sequence
from html import escape

from ..system.escaping import printable

Fact = tuple[str, str]

_CELL = "text-align:left;vertical-align:top;padding:.15rem .6rem .15rem 0"


def text_of(title: str, facts: Sequence[Fact]) -> str:
    width = max((len(subject) for subject, _ in facts), default=0)
    lines = [f"  {subject:{width}}  {sentence}" for subject, sentence in facts]
    return "\n".join(map(printable, [title, *lines]))


def html_of(title: str, facts: Sequence[Fact]) -> str:
    rows = "".join(
        f'<tr><th style="{_CELL}">{escape(printable(subject))}</th>'
        f'<td style="{_CELL}">{escape(printable(sentence))}</td></tr>'
        for subject, sentence in facts
    )
    return f"<div><strong>{escape(printable(title))}</strong><table>{rows}</table></div>"

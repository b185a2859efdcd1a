"""The two plots of a report, as SVG inside its HTML."""

from collections.abc import Sequence
from html import escape

from .bins import Array
from .psi import MUCH, SOME

WIDTH, HEIGHT, BELOW = 640, 150, 34
LINE_WIDTH, LINE_HEIGHT = 132, 28
MOST_IN_A_LINE = 7  # names of bins
LONGEST = 14  # characters of a bin's name below its bars


def bars(bins: Sequence[str], reference: Array, current: Array) -> str:
    """A pair of bars per bin: its share in the reference and in the current rows. Its name and the figures are its
    tooltip.
    """
    highest = max(float(reference.max()), float(current.max()), 0.01)
    step = WIDTH / len(bins)
    parts = []
    for i, name in enumerate(bins):
        pair = []
        for share, kind, offset in ((float(reference[i]), "reference", 0.12), (float(current[i]), "current", 0.5)):
            height = share / highest * (HEIGHT - 16)
            x = (i + offset) * step
            pair.append(
                f'<rect class="{kind}" x="{x:.1f}" y="{HEIGHT - height:.1f}" width="{0.38 * step:.1f}" '
                f'height="{height:.1f}"/>'
            )
        shown = name if len(name) <= LONGEST else name[: LONGEST - 1] + "…"
        # Of many names every other one a line lower: they are wider than their bars.
        y = HEIGHT + 13 + (14 if i % 2 and len(bins) > MOST_IN_A_LINE else 0)
        label = f'<text x="{(i + 0.5) * step:.1f}" y="{y}" text-anchor="middle">{escape(shown)}</text>'
        title = f"<title>{escape(name)}: {reference[i]:.1%} in the reference, {current[i]:.1%} now</title>"
        parts.append(f"<g>{title}{''.join(pair)}{label}</g>")
    top = f'<text x="2" y="10" class="scale">{highest:.0%}</text>'
    axis = f'<line x1="0" x2="{WIDTH}" y1="{HEIGHT}" y2="{HEIGHT}"/>'
    return (
        f'<svg class="bars" viewBox="0 0 {WIDTH} {HEIGHT + BELOW}" role="img" aria-label="Shares by '
        f'bin">{top}{axis}{"".join(parts)}</svg>'
    )


def course(values: Sequence[float | None]) -> str:
    """A bar per slice of time, coloured by what its PSI means; a gap where there were few rows."""
    highest = max([MUCH * 1.2, *(value for value in values if value is not None)])
    step = LINE_WIDTH / len(values)
    parts = []
    for i, value in enumerate(values):
        if value is not None:
            height = max(1.5, value / highest * LINE_HEIGHT)
            place = f'x="{i * step:.1f}" y="{LINE_HEIGHT - height:.1f}" width="{step - 1:.1f}" height="{height:.1f}"'
            parts.append(f'<rect class="{level(value)}" {place}><title>{value:.3f}</title></rect>')
    y = LINE_HEIGHT - MUCH / highest * LINE_HEIGHT
    line = f'<line class="threshold" x1="0" x2="{LINE_WIDTH}" y1="{y:.1f}" y2="{y:.1f}"/>'
    size = f'width="{LINE_WIDTH}" height="{LINE_HEIGHT}" viewBox="0 0 {LINE_WIDTH} {LINE_HEIGHT}"'
    return f'<svg class="course" {size} role="img" aria-label="PSI over time">{"".join(parts)}{line}</svg>'


def level(value: float) -> str:
    return "much" if value >= MUCH else "some" if value >= SOME else "none"

"""A report of drift: a page of HTML that needs nothing else, and a few lines for the terminal."""

from collections.abc import Iterable
from html import escape

from ..system.escaping import printable
from .periods import SLICES, Compared, Drift
from .plots import bars, course, level
from .psi import FEWEST_ROWS, MUCH, SOME

WORDS = {"none": "stable", "some": "worth a look", "much": "drifted"}
HEADINGS = {"feature": "Features", "prediction": "Predictions", "confidence": "Confidence of the predicted class"}
KEY = "".join(
    f'<span class="key" style="background:var(--{name})"></span>{word}'
    for name, word in (("reference", "reference"), ("current", "now"))
)

STYLE = """
:root { color-scheme: light dark; --ink: #1d2733; --faint: #6b7683; --line: #dfe3e8; --paper: #fff; --card: #f7f8fa;
  --reference: #9aa7b8; --current: #1f7a5c; --none: #5b9a80; --some: #c98a1b; --much: #c0392b; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e8ee; --faint: #97a2b0; --line: #333c47; --paper: #14181d;
  --card: #1b2027;
  --reference: #66738a; --current: #4cb58f; --none: #4f9a7b; --some: #e0a53a; --much: #e8695b; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin-bottom: .2rem; } h2 { font-size: 1.1rem; margin-top: 2.2rem; }
p.facts { color: var(--faint); margin-top: 0; }
table { border-collapse: collapse; width: 100%; }
th { text-align: left; font-weight: 600; color: var(--faint); font-size: .85rem; }
th, td { padding: .3rem .6rem .3rem 0; border-bottom: 1px solid var(--line); vertical-align: middle; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
.scroll { overflow-x: auto; } a { color: inherit; }
.badge { display: inline-block; padding: 0 .55rem; border-radius: 1rem; color: #fff;
  font-size: .8rem; white-space: nowrap; }
.badge.none { background: var(--none); } .badge.some { background: var(--some); }
.badge.much { background: var(--much); }
section.variable { background: var(--card); border: 1px solid var(--line); border-radius: 8px;
  padding: .8rem 1rem; margin: .8rem 0; }
section.variable h3 { font-size: 1rem; margin: 0 0 .4rem; }
section.variable h3 small { color: var(--faint); font-weight: 400; }
svg text { font-size: 10.5px; fill: var(--ink); }
svg text.scale { fill: var(--faint); } svg line { stroke: var(--line); }
svg.bars { width: 100%; height: auto; } svg line.threshold { stroke: var(--faint); stroke-dasharray: 3 3; }
rect.reference { fill: var(--reference); } rect.current { fill: var(--current); }
rect.none { fill: var(--none); } rect.some { fill: var(--some); } rect.much { fill: var(--much); }
.key { display: inline-block; width: .8em; height: .8em; border-radius: 2px; margin: 0 .3em 0 1em; }
details { margin-top: .3rem; } summary { cursor: pointer; color: var(--faint); font-size: .85rem; }
"""


def html(model: str, drift: Drift) -> str:
    """The whole page. Names come from the model and from clients: they are escaped."""
    reference = "the data at packing" if drift.reference is None else str(drift.reference)
    facts = (
        f"{drift.current_rows:,} rows from {drift.current}, compared with {drift.reference_rows:,} of {reference}. "
        "Times are UTC."
    )
    sections = "".join(_section(part, [each for each in drift.variables if each.part == part]) for part in HEADINGS)
    title = escape(f"Drift of {model}")
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title><style>{STYLE}</style></head>
<body><h1>{title}</h1><p class="facts">{escape(facts)}</p>
<p><strong>{escape(verdict(drift))}</strong>{"".join(f"<br>{escape(note)}" for note in notes(drift))}</p>
<h2>Summary</h2><div class="scroll"><table><thead><tr><th>variable<th><th class="number">PSI<th class="number">KS
<th class="number">missing before<th class="number">now<th>PSI in {SLICES} parts of the period</tr></thead>
<tbody>{"".join(_line(each) for each in ranked(drift.variables))}</tbody></table></div>
<p class="facts">PSI, the population stability index, is 0 where the shares of all bins are equal; from {SOME}
on it is worth a look, from {MUCH} on (the dashed line) it is drift. KS is the largest distance of the two
distribution functions, at the ends of the bins.</p>
{sections}</body></html>
"""


def text(model: str, drift: Drift) -> str:
    """The verdict, and a line per variable, the most drifted first."""
    width = max(len(each.variable.name) for each in drift.variables)
    lines = [f"{'':{width}}  {'PSI':>7}  {'KS':>5}  {'missing':>17}"]
    for each in ranked(drift.variables):
        ks = "" if each.ks is None else f"{each.ks:.2f}"
        missing = f"{each.reference[-1]:.1%} → {each.current[-1]:.1%}"
        lines.append(f"{each.variable.name:{width}}  {each.psi:7.3f}  {ks:>5}  {missing:>17}  {WORDS[level(each.psi)]}")
    return "\n".join(map(printable, [f"{model}: {verdict(drift)}", *notes(drift), "", *lines]))


def verdict(drift: Drift) -> str:
    much = [
        each.variable.name
        for each in ranked(drift.variables)
        if level(each.psi) == "much" and each.part != "confidence"
    ]
    if drift.current_rows < FEWEST_ROWS:
        few = f"Too few rows to tell: {drift.current_rows:,}, where {FEWEST_ROWS} are needed"
        return f"{few}; beyond the threshold: {', '.join(much)}." if much else f"{few}."
    if not much:
        return "Nothing has drifted."
    return (
        f"{len(much)} of {sum(each.part != 'confidence' for each in drift.variables)} have drifted: {', '.join(much)}."
    )


def notes(drift: Drift) -> list[str]:
    found = []
    parts = [each for each in drift.variables if each.part != "confidence" and level(each.psi) != "much"]
    if names := [
        each.variable.name
        for each in parts
        if any(value is not None and level(value) == "much" for value in each.slices)
    ]:
        found.append(f"Below the threshold as a whole, but not in parts of the period: {', '.join(names)}.")
    if drift.left_out:
        found.append(f"{drift.left_out:,} rows of the log do not have the model's columns, and were left out.")
    if drift.unusable:
        found.append(f"The log does not hold these columns, or only as hashes: {', '.join(drift.unusable)}.")
    return found


def ranked(variables: Iterable[Compared]) -> list[Compared]:
    return sorted(variables, key=lambda each: -each.psi)


def _line(each: Compared) -> str:
    name, kind = escape(each.variable.name), level(each.psi)
    ks = "" if each.ks is None else f"{each.ks:.2f}"
    return (
        f'<tr><td><a href="#{each.part}-{name}">{name}</a><td><span class="badge {kind}">{WORDS[kind]}</span>'
        f'<td class="number">{each.psi:.3f}<td class="number">{ks}<td class="number">{each.reference[-1]:.1%}'
        f'<td class="number">{each.current[-1]:.1%}<td>{course(each.slices)}</tr>'
    )


def _section(part: str, variables: list[Compared]) -> str:
    if not variables:
        return ""
    cards = "".join(_card(each) for each in ranked(variables))
    return f'<h2>{HEADINGS[part]}</h2><p class="facts">Share of the rows in each bin:{KEY}</p>{cards}'


def _card(each: Compared) -> str:
    name, kind = escape(each.variable.name), level(each.psi)
    bins = each.variable.bins
    rows = "".join(
        f'<tr><td>{escape(label)}<td class="number">{before:.2%}<td class="number">{now:.2%}</tr>'
        for label, before, now in zip(bins, each.reference.tolist(), each.current.tolist(), strict=True)
    )
    what = " <small>length of the text</small>" if each.variable.kind == "length" else ""
    return (
        f'<section class="variable" id="{each.part}-{name}"><h3>{name}{what} <span class="badge {kind}">PSI '
        f"{each.psi:.3f}</span></h3>"
        f"{bars(bins, each.reference, each.current)}<details><summary>figures</summary>"
        f'<table><tr><th>bin<th class="number">reference<th class="number">now</tr>{rows}</table></details></section>'
    )

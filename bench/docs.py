"""Puts the figures of a run into docs/benchmarks.md, between its marks `<!-- bench:NAME -->` and `<!-- /bench:NAME
-->`.
"""

from collections.abc import Mapping
from pathlib import Path

from . import tables
from .results import Run
from .server import ROOT

PAGE = ROOT / "docs/benchmarks.md"
CHART = ROOT / "docs/benchmarks.svg"


def write(run: Run, page: Path = PAGE) -> None:
    put(page, parts(run))


def put(page: Path, named: Mapping[str, str]) -> None:
    """Raises ValueError where the page lacks a mark."""
    text = page.read_text(encoding="utf-8")
    for name, part in named.items():
        opening, closing = f"<!-- bench:{name} -->\n", f"<!-- /bench:{name} -->"
        before, _, rest = text.partition(opening)
        _, found, after = rest.partition(closing)
        if not found:
            raise ValueError(f"{page} lacks the marks {opening.strip()} and {closing}")
        text = f"{before}{opening}{part}\n{closing}{after}"
    page.write_text(text, encoding="utf-8")


def parts(run: Run) -> dict[str, str]:
    """What stands on the page, by the name of its marks."""
    return {
        "facts": tables.facts(run),
        "targets": tables.must_hold(run),
        "against": tables.against(run),
        "all": "\n\n".join(f"#### {tables.title(row)}\n\n{tables.comparison(run, row)}" for row in run.rows()),
        "starts": tables.starts(run),
        "frameworks": tables.frameworks(run),
        "offloading": tables.offloading(run),
        "own": tables.own(run),
    }

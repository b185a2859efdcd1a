"""The chart of docs/benchmarks.md: requests per second of one-row predictions at the most connections."""

from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .contenders import CONTENDERS, TUTORIAL, Group
from .results import Row, Run
from .workloads import TITLES

COLOURS: dict[Group, str] = {
    "floor": "#c9ccd1",
    "tutorial": "#e0873a",
    "offload": "#efc08f",
    "rival": "#8b95a5",
    "peer": "#5a6b86",
    "slipway": "#1f7a5c",
}
LEGEND: dict[Group, str] = {
    "floor": "computes nothing",
    "tutorial": "the tutorial's app",
    "rival": "other frameworks",
    "peer": "mosec",
    "slipway": "Slipway",
}
# Text stays text, and the same run makes the same file.
STYLE: Any = {"svg.hashsalt": "slipway", "svg.fonttype": "none", "font.family": "sans-serif", "font.size": 10}


def draw(run: Run, path: Path) -> None:
    """Writes an SVG or PNG, by the path's suffix."""
    rows = [Row(model, 1, run.most_connections()) for model in run.models()]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(6.2 * len(rows), 5.2), layout="constrained")
        for axes, row in zip(figure.subplots(1, len(rows), squeeze=False)[0], rows, strict=True):
            _bars(axes, run, row)
        handles = [matplotlib.patches.Patch(color=COLOURS[group], label=text) for group, text in LEGEND.items()]
        figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False)
        figure.suptitle(
            f"One row per request, {rows[0].connections} connections, 2 workers: requests per second (× the tutorial's "
            "app)"
        )
        figure.savefig(path, dpi=150, metadata={"Date": None} if path.suffix == ".svg" else None)


def _bars(axes: Axes, run: Run, row: Row) -> None:
    shown = [
        contender
        for contender in CONTENDERS
        if contender.group != "offload" and run.figure(contender.name, row) is not None
    ]
    shown.sort(key=lambda contender: run.figure(contender.name, row) or 0)
    speeds = [run.figure(contender.name, row) or 0 for contender in shown]
    bars = axes.barh(
        [contender.name for contender in shown], speeds, color=[COLOURS[contender.group] for contender in shown]
    )
    ratios = [run.ratio(contender.name, TUTORIAL, row) for contender in shown]
    axes.bar_label(
        bars,
        [f"{speed:,.0f}" + (f" (× {ratio:.1f})" if ratio else "") for speed, ratio in zip(speeds, ratios, strict=True)],
        padding=3,
    )
    axes.set_title(TITLES[row.model], fontsize=11)
    axes.margins(x=0.22)
    axes.xaxis.set_visible(False)
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    axes.tick_params(left=False)

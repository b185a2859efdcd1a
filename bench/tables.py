"""The tables of a run, in Markdown that a terminal shows well, too."""

from collections.abc import Iterable, Sequence

from .contenders import CONTENDERS, NOOP, OURS, PEERS, RAW, SLIPWAY, TUTORIAL
from .frameworks import FRAMEWORKS
from .results import CPU, P50, P99, PROBE, Row, Run
from .targets import TARGETS
from .workloads import TITLES

ENOUGH_ROUNDS = 5
QUIET = 0.25  # load average per CPU
FIGURES = slice(1, None)  # all columns but the first
NOTHING = "–"  # not measured
OFFLOADING = [TUTORIAL, *(contender.name for contender in CONTENDERS if contender.group == "offload")]


def everything(run: Run) -> str:
    """All of it, for the terminal."""
    parts = [facts(run)]
    parts += [f"### {title(row)}\n\n{comparison(run, row)}" for row in run.rows()]
    parts += ["### What must hold\n\n" + must_hold(run)]
    parts += ["### Slipway against the others\n\n" + against(run), "### Start and memory\n\n" + starts(run)]
    return "\n\n".join(parts)


def title(row: Row) -> str:
    return f"{TITLES[row.model]} · {row.load}"


def facts(run: Run) -> str:
    machine = run.machine
    libraries = ", ".join(f"{name} {version}" for name, version in machine["libraries"].items())
    lines = [
        f"{run.began} UTC, `{run.command}`: {run.rounds} round{'s' * (run.rounds > 1)}, windows of {run.seconds} s"
        + (f", revision {machine['revision']}" if machine["revision"] else ""),
        f"{machine['cpus']} CPUs ({machine['cpu']}), {machine['memory_gib']} GiB, Linux {machine['kernel']}, Python "
        f"{machine['python']}, "
        f"{machine['wrk']}; load average at the start {machine['load_average_at_start']:.2f}, {run.stolen:.1%} of the "
        "CPU time stolen",
        libraries,
        "compiled forms: " + (", ".join(f"{model} {form or 'none'}" for model, form in run.forms.items()) or NOTHING),
    ]
    if run.rounds < ENOUGH_ROUNDS or machine["load_average_at_start"] > QUIET * machine["cpus"]:
        lines.append(
            "**Provisional**: too few rounds, or the machine was busy with other things: run it again before you quote "
            "a figure"
        )
    lines += [f"FAILED {failure}" for failure in run.failures]
    return "\n".join(f"- {line}" for line in lines)


def comparison(run: Run, row: Row) -> str:
    """Everybody at one row, the fastest first."""
    names = sorted(run.contenders(row), key=lambda name: -(run.figure(name, row) or 0))
    many = row.rows > 1
    header = (
        "contender",
        "req/s",
        *["rows/s"] * many,
        "× tutorial",
        "× no-op",
        "p50 ms",
        "p99 ms",
        "CPU µs",
        "CPU × no-op",
        "worst probe ms",
        "errors",
    )
    return table(
        header,
        [
            [
                name,
                whole(run.figure(name, row)),
                *[whole((run.figure(name, row) or 0) * row.rows)] * many,
                _ratio(run.ratio(name, TUTORIAL, row)),
                _ratio(run.ratio(name, NOOP, row)),
                number(run.figure(name, row, P50)),
                number(run.figure(name, row, P99)),
                whole(run.figure(name, row, CPU)),
                _ratio(run.ratio(name, NOOP, row, CPU)),
                number(run.figure(name, row, PROBE)),
                str(run.errors(name, row)),
            ]
            for name in names
        ],
    )


def must_hold(run: Run) -> str:
    """Every target, the figure that decides it, and whether it is met."""
    lines = []
    for target in TARGETS:
        met = target.met(run)
        verdict = NOTHING if met is None else "yes" if met else "**no**"
        lines.append(
            [
                target.place,
                target.what,
                f"{'≥' if target.least else '≤'} {target.bound:g}",
                number(target.figure(run)),
                verdict,
            ]
        )
    return table(["at", "ratio", "target", "measured", "met"], lines, slice(2, 4))


def own(run: Run) -> str:
    """What `slipway bench` printed."""
    return f"```console\n{run.own or NOTHING}\n```"


def against(run: Run) -> str:
    """Slipway and the peer, each at its best for the row, as ratios to the others."""
    header = [
        "model",
        "rows",
        "conn.",
        "Slipway's best",
        "req/s",
        "rows/s",
        "÷ raw",
        "÷ no-op",
        "÷ tutorial",
        "÷ mosec",
    ]
    header += ["p50 ÷ no-op", "p50 ÷ mosec", "p99 ÷ no-op", "CPU ÷ no-op", "CPU ÷ mosec"]
    lines = []
    for row in run.rows():
        ours, peer = run.best(OURS, row), run.best(PEERS, row)
        if ours is None:
            continue
        ratios = [run.ratio(ours, other, row) for other in (RAW, NOOP, TUTORIAL, peer)]
        ratios += [run.ratio(ours, NOOP, row, P50), run.ratio(ours, peer, row, P50), run.ratio(ours, NOOP, row, P99)]
        ratios += [run.ratio(ours, NOOP, row, CPU), run.ratio(ours, peer, row, CPU)]
        speed = run.figure(ours, row) or 0
        mode = "as it comes" if ours == SLIPWAY else ours.removeprefix("Slipway, ")
        speeds = [whole(speed), whole(speed * row.rows)]
        lines.append([row.model, str(row.rows), str(row.connections), mode, *speeds, *map(_ratio, ratios)])
    return table(header, lines)


def starts(run: Run) -> str:
    """Cold start to the first good answer, Slipway's to readiness of all workers; memory after the load."""
    models = run.models()
    header = [
        "contender",
        *(f"{model}: {what}" for model in models for what in ("cold start s", "× tutorial", "PSS MiB", "× tutorial")),
    ]
    lines = []
    for contender in CONTENDERS:
        figures: list[str] = []
        for model in models:
            cold_start, pss = run.started(contender.name, model) or (None, None)
            tutorial_start, tutorial_pss = run.started(TUTORIAL, model) or (None, None)
            figures += [number(cold_start), _ratio(_quotient(cold_start, tutorial_start))]
            figures += [whole(pss), _ratio(_quotient(pss, tutorial_pss))]
        if set(figures) != {NOTHING}:
            lines.append([contender.name, *figures])
    return table(header, lines)


def frameworks(run: Run) -> str:
    """The frameworks by what was measured and by what was judged."""
    rows = [Row(model, 1, run.most_connections()) for model in run.models()]
    header = [f"{row.model}: {what}" for row in rows for what in ("req/s", "CPU µs")]
    lines = []
    for framework in FRAMEWORKS:
        figures = [whole(run.figure(framework.contender, row, *of)) for row in rows for of in ((), (CPU,))]
        judged = [framework.ease, framework.asynchronous, framework.types, framework.docs, framework.best_for]
        lines.append([framework.name, *figures, *judged])
    return table(
        ["framework", *header, "ease", "async", "type safety", "docs", "best for"], lines, slice(1, 1 + len(header))
    )


def offloading(run: Run) -> str:
    """On the event loop or off it."""
    rows = [Row(model, 1, run.most_connections()) for model in run.models()]
    header = [f"{row.model}: {what}" for row in rows for what in ("req/s", "p99 ms", "worst probe ms")]
    lines = []
    for name in OFFLOADING + [ours for ours in OURS if ours != SLIPWAY]:
        figures = [
            text
            for row in rows
            for text in (
                whole(run.figure(name, row)),
                number(run.figure(name, row, P99)),
                number(run.figure(name, row, PROBE)),
            )
        ]
        lines.append([f"{name}, async def" if name == TUTORIAL else name, *figures])
    return table(["prediction runs in", *header], lines)


def table(header: Sequence[str], lines: Iterable[Sequence[str]], figures: slice = FIGURES) -> str:
    """Columns as wide as their widest cell; those of `figures` to the right, words to the left."""
    lines = [header, *lines]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    right = set(range(len(header))[figures])

    def text(line: Sequence[str]) -> str:
        cells = [cell.rjust(widths[i]) if i in right else cell.ljust(widths[i]) for i, cell in enumerate(line)]
        return f"| {' | '.join(cells)} |"

    rule = ["-" * (width - 1) + ":" if i in right else "-" * width for i, width in enumerate(widths)]
    return "\n".join([text(header), text(rule), *map(text, lines[1:])])


def _quotient(value: float | None, reference: float | None) -> float | None:
    return value / reference if value is not None and reference else None


def whole(value: float | None) -> str:
    return NOTHING if value is None else f"{value:,.0f}"


def number(value: float | None) -> str:
    """Three digits that matter."""
    return NOTHING if value is None else f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _ratio(value: float | None) -> str:
    return NOTHING if value is None else f"{value:,.1f}" if value >= 10 else f"{value:.2f}"

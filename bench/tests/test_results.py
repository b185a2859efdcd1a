"""What the tables rest on: medians over rounds, ratios within a round, targets and what became of them."""

from pathlib import Path

import pytest

from bench import tables
from bench.contenders import INLINE, NOOP, SLIPWAY, TUTORIAL
from bench.load import Measured
from bench.results import Measurement, Row, Run, Start
from bench.targets import TARGETS
from bench.tests.machine import MACHINE

ROW = Row("iris", 1, 64)


def measurement(contender: str, number: int, requests: int, **figures: float) -> Measurement:
    found = {"seconds": 1.0, "p50_ms": 1.0, "p99_ms": 2.0, "errors": 0, "cpu_us": 100.0, "probe_ms": 1.0, **figures}
    return Measurement(contender, *ROW, number, Measured(requests, **found))  # type: ignore[arg-type]


@pytest.fixture
def run() -> Run:
    """The machine was twice as fast in the second round, and disturbed in the third, for the tutorial alone."""
    found = Run("2026-01-01 00:00", "python -m bench", MACHINE, rounds=3, seconds=1)
    for contender, speeds in {TUTORIAL: (100, 200, 10), NOOP: (400, 800, 400)}.items():
        found.measurements += [measurement(contender, number, speed) for number, speed in enumerate(speeds)]
        found.starts += [Start(contender, "iris", number, 2.0 + number, 100.0) for number in range(3)]
    return found


def test_a_figure_is_the_median_over_the_rounds(run: Run) -> None:
    assert run.figure(TUTORIAL, ROW) == 100
    assert run.figure("nobody", ROW) is None


def test_a_ratio_is_taken_within_each_round(run: Run) -> None:
    assert run.ratio(NOOP, TUTORIAL, ROW) == 4
    assert run.ratio(NOOP, "nobody", ROW) is None


def test_a_round_without_answers_is_left_out_of_the_figures_but_its_errors_count(run: Run) -> None:
    run.measurements.append(measurement(TUTORIAL, 3, 0, errors=64))
    assert run.figure(TUTORIAL, ROW) == 100
    assert run.errors(TUTORIAL, ROW) == 64


def test_the_best_is_the_fastest_of_those_measured(run: Run) -> None:
    assert run.best([TUTORIAL, NOOP, "nobody"], ROW) == NOOP
    assert run.best(["nobody"], ROW) is None


def test_a_run_comes_back_from_its_file_as_it_was(run: Run, tmp_path: Path) -> None:
    run.write(tmp_path / "out" / "results.json")
    assert Run.read(tmp_path / "out" / "results.json") == run


def test_the_table_ranks_by_speed_and_shows_failures(run: Run) -> None:
    run.failures.append("round 1, iris: mosec: did not answer")
    text = tables.everything(run)
    lines = tables.comparison(run, ROW).splitlines()
    assert [line.split("|")[1].strip() for line in lines[2:]] == [NOOP, TUTORIAL]
    assert "FAILED round 1, iris: mosec: did not answer" in text


def test_many_rows_are_counted_per_second_too(run: Run) -> None:
    many = ROW._replace(rows=100)
    run.measurements.append(Measurement(NOOP, *many, 0, Measured(50, 1.0, 1.0, 2.0, 0, 100.0, 1.0)))
    header, _, line = ([cell.strip() for cell in line.split("|")] for line in tables.comparison(run, many).splitlines())
    assert line[header.index("rows/s")] == "5,000"
    assert "rows/s" not in tables.comparison(run, ROW).splitlines()[0]


def verdicts(run: Run) -> dict[tuple[str, str], list[str]]:
    """The table of targets: (place, ratio) → target, measured, met."""
    cells = ([cell.strip() for cell in line.strip("|").split("|")] for line in tables.must_hold(run).splitlines()[2:])
    return {(place, ratio): rest for place, ratio, *rest in cells}


def test_a_target_is_met_or_missed_or_was_not_measured(run: Run) -> None:
    run.measurements += [measurement(SLIPWAY, number, 1000, cpu_us=50.0) for number in range(3)]
    found = verdicts(run)
    place = "iris · one row · 64 connections"
    assert len(found) == len(TARGETS)
    assert found[place, "Slipway ÷ FastAPI no-op: requests/s"] == ["≥ 2.2", "2.5", "yes"]
    assert found[place, "Slipway ÷ FastAPI no-op: CPU per request"] == ["≤ 0.45", "0.5", "**no**"]
    assert found[place, "Slipway ÷ mosec: requests/s"] == ["≥ 1.3", "–", "–"]


def test_mosec_is_compared_with_at_its_best_setting_for_the_row(run: Run) -> None:
    run.measurements += [
        measurement(SLIPWAY, 0, 1000),
        measurement("mosec", 0, 500),
        measurement("mosec, batches of 32", 0, 800),
    ]
    assert verdicts(run)["iris · one row · 64 connections", "Slipway ÷ mosec: requests/s"][1] == "1.25"


def test_batching_is_held_against_inline_and_against_its_own_median(run: Run) -> None:
    batched = "Slipway, batched"
    for contender, p50 in ((batched, 2.0), (INLINE, 1.0)):
        for connections in (1, 64):
            found = Measured(10, 1.0, p50, 3.0, 0, 100.0, 1.0)
            run.measurements.append(Measurement(contender, "forest", 1, connections, 0, found))
    assert verdicts(run)["forest · one row · 64 connections", f"{batched}: p99 ÷ p50"] == ["≤ 2", "1.5", "yes"]
    assert verdicts(run)["forest · one row · 1 connection", f"{batched} ÷ {INLINE}: p50"] == ["≤ 1.1", "2", "**no**"]


def test_start_and_memory_are_held_against_the_tutorials(run: Run) -> None:
    run.starts.append(Start(SLIPWAY, "iris", 0, 1.5, 60.0))
    assert verdicts(run)["iris", "Slipway ÷ FastAPI tutorial: cold start"] == ["≤ 0.6", "0.5", "yes"]
    assert verdicts(run)["iris", "Slipway ÷ FastAPI tutorial: memory (PSS)"] == ["≤ 0.5", "0.6", "**no**"]

"""Periods of the log against each other and against the training distribution, and the page that shows it."""

import json
import re
import tracemalloc
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import repeat
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from slipway.drift.learning import learn_distribution
from slipway.drift.page import html, text, verdict
from slipway.drift.periods import SLICES, Drift, Page, Period, compare
from slipway.errors import ArtifactError
from slipway.model.answers import Answers
from slipway.model.distribution import Distribution
from slipway.model.signature import Column, Signature

START = datetime(2026, 11, 1, tzinfo=UTC)
BEFORE = Period(START, START + timedelta(days=7))
NOW = Period(BEFORE.end, BEFORE.end + timedelta(days=7))
NAMES = ("age", "port")
SIGNATURE = Signature(
    columns=(Column(name="age", nullable=True), Column(name="port", type="string", nullable=True)),
    classes=["no", "yes"],
    labels=["no", "yes"],
)


def rows(number: int, seed: int, shift: float = 0.0) -> tuple[list[list[Any]], Answers]:
    random = np.random.default_rng(seed)
    values = [
        [float(age), str(port)]
        for age, port in zip(random.normal(40 + shift, 10, number), random.choice(["A", "B"], number), strict=True)
    ]
    return values, Answers(random.choice(["no", "yes"], number).tolist(), random.uniform(0.5, 1, number).tolist())


def distribution() -> Distribution:
    return learn_distribution(SIGNATURE, *rows(2000, 0))


def pages(period: Period, number: int = 3000, seed: int = 1, shift: float = 0.0, size: int = 500) -> Iterable[Page]:
    """Rows of a period at even intervals, as the log gives them; the last third is shifted."""
    values, answers = rows(number, seed)
    page = []
    for i, (row, prediction, confidence) in enumerate(
        zip(values, answers.predictions, answers.confidences, strict=True)
    ):
        found = dict(zip(NAMES, [row[0] + shift * (i >= number * 2 / 3), row[1]], strict=True))
        page.append(
            (
                period.start + (period.end - period.start) * i / number,
                json.dumps(found),
                json.dumps(prediction),
                confidence,
            )
        )
        if len(page) == size:
            yield page
            page = []


def by_name(drift: Drift) -> dict[str, float]:
    return {each.variable.name: each.psi for each in drift.variables}


def test_rows_like_those_at_packing_have_not_drifted() -> None:
    drift = compare(distribution(), NAMES, None, NOW, pages)
    assert (drift.reference_rows, drift.current_rows, drift.left_out, drift.unusable) == (2000, 3000, 0, [])
    assert set(by_name(drift)) == {"age", "port", "prediction", "confidence"}
    assert max(by_name(drift).values()) < 0.05
    assert verdict(drift) == "Nothing has drifted."


def test_a_shift_is_found_in_its_column_and_in_the_part_of_the_period_where_it_began() -> None:
    drift = compare(distribution(), NAMES, None, NOW, lambda period: pages(period, number=500 * SLICES, shift=40.0))
    (age,) = [each for each in drift.variables if each.variable.name == "age"]
    assert age.psi > 0.25
    assert age.ks == pytest.approx(1 / 3, abs=0.05)
    assert [value is not None and value > 1 for value in age.slices] == [i >= SLICES * 2 / 3 for i in range(SLICES)]
    assert verdict(drift) == "1 of 3 have drifted: age."


def test_a_drift_of_a_part_of_the_period_is_said_where_it_is_too_short_for_the_whole() -> None:
    drift = compare(distribution(), NAMES, None, NOW, lambda period: pages(period, number=500 * SLICES, shift=6.0))
    assert verdict(drift) == "Nothing has drifted."
    assert "not in parts of the period: age." in text("m", drift)


def test_two_periods_are_compared_by_the_bins_at_packing() -> None:
    drift = compare(distribution(), NAMES, BEFORE, NOW, lambda period: pages(period, seed=int(period is NOW) + 5))
    assert (drift.reference, drift.reference_rows) == (BEFORE, 3000)
    assert max(by_name(drift).values()) < 0.05


def test_without_a_training_distribution_the_reference_gives_the_bins() -> None:
    drift = compare(None, None, BEFORE, NOW, lambda period: pages(period, shift=40.0 * (period is NOW)))
    assert by_name(drift)["age"] > 0.25
    assert by_name(drift)["port"] < 0.05
    assert len(drift.variables[0].variable.edges) == 9
    with pytest.raises(ArtifactError, match="name a period of the log with --reference"):
        compare(None, NAMES, None, NOW, pages)
    with pytest.raises(ArtifactError, match="has 50 rows from 2026-11-01 to 2026-11-08: it takes 100"):
        compare(None, NAMES, BEFORE, NOW, lambda period: pages(period, number=50, size=10))


def test_a_period_without_rows_is_said_to_be_empty() -> None:
    with pytest.raises(ArtifactError, match="no rows of this model from 2026-11-08 to 2026-11-15"):
        compare(distribution(), NAMES, None, NOW, lambda _: [])


def test_of_few_rows_no_drift_is_claimed() -> None:
    few = compare(distribution(), NAMES, None, NOW, lambda period: pages(period, number=60, shift=40.0, size=10))
    assert verdict(few).startswith("Too few rows to tell: 60, where 500 are needed; beyond the threshold: ")
    assert "age" in verdict(few)


def test_a_period_is_shown_as_exactly_as_it_was_given() -> None:
    assert str(Period(START, START + timedelta(seconds=3))) == "2026-11-01 to 2026-11-01 00:00:03"
    assert str(Period(START + timedelta(hours=1), NOW.end)) == "2026-11-01 01:00 to 2026-11-15"


def test_what_the_log_left_out_or_hashed_is_named_and_not_taken_for_drift() -> None:
    def redacted(period: Period) -> Iterable[Page]:
        for page in pages(period):
            yield [
                (time, json.dumps({"port": "0123456789abcdef" * 4}), answer, score) for time, _, answer, score in page
            ]

    drift = compare(distribution(), NAMES, None, NOW, redacted)
    assert drift.unusable == ["age", "port"]
    assert set(by_name(drift)) == {"prediction", "confidence"}
    assert "only as hashes: age, port" in text("m", drift)


def test_rows_that_a_note_has_replaced_are_counted_as_left_out() -> None:
    def noted(period: Period) -> Iterable[Page]:
        for page in pages(period):
            yield [*page[1:], (page[0][0], '{"slipway": "features of 9 bytes left out"}', '"no"', None)]

    assert compare(distribution(), NAMES, None, NOW, noted).left_out == 6


def test_memory_does_not_grow_with_the_rows() -> None:
    found, page = distribution(), next(iter(pages(NOW)))

    def peak(number: int) -> int:
        tracemalloc.start()
        compare(found, NAMES, BEFORE, NOW, lambda _: repeat(page, number))
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    peak(2)
    assert peak(40) < 1.2 * peak(4)


def test_the_page_is_whole_and_shows_names_as_text() -> None:
    hostile = "<script>alert(1)</script>&"
    signature = Signature(columns=(Column(name=hostile, type="string"),))
    values = [[hostile if i % 2 else "b"] for i in range(200)]
    found = learn_distribution(signature, values, None)

    def read(period: Period) -> Iterable[Page]:
        return [[(period.start, json.dumps(row), "1", None) for row in values]]

    page = html(hostile, compare(found, [hostile], None, NOW, read))
    assert "<script" not in page
    assert not re.search(r"(src|href)=\"(?!#)", page), "it needs nothing else"
    for svg in re.findall(r"<svg.*?</svg>", page, re.DOTALL):
        ElementTree.fromstring(svg)


def test_the_text_lists_the_most_drifted_first() -> None:
    lines = text(
        "m 1", compare(distribution(), NAMES, None, NOW, lambda period: pages(period, shift=40.0))
    ).splitlines()
    assert lines[0] == "m 1: 1 of 3 have drifted: age."
    assert re.fullmatch("age .* drifted", lines[3])
    assert lines[4].endswith("stable")

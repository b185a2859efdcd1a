"""`slipway log stats`: rows, latencies, answers and feedback of each model. The database adds up; no more than sums
come over.
"""

import json
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Float, Text, and_, case, cast, exists, func, literal_column, select, tuple_

from ...system.escaping import printable
from ..stores.address import address
from ..stores.tables import feedback, predictions
from .pages import PAGE, Chosen, Fetch, beyond, session

ANSWERS = 20  # a model with more different answers is a regressor, or nearly
QUANTILES = (0.5, 0.95, 0.99)


class Day(NamedTuple):
    day: str  # 2026-11-01, in UTC
    rows: int
    latencies_ms: tuple[float, ...]  # at QUANTILES, to two digits at least


class Answer(NamedTuple):
    answer: str  # JSON text
    rows: int
    confidence: float | None  # the mean


class Outcomes(NamedTuple):
    """Rows with feedback, the latest of which counts; `error`: the mean absolute difference where all are numbers."""

    rows: int
    equal: int
    error: float | None


NO_FEEDBACK = Outcomes(0, 0, 0.0)


class Statistics(NamedTuple):
    model: str
    version: str
    days: list[Day]
    answers: list[Answer] | None  # the most frequent first; None: more than ANSWERS
    outcomes: Outcomes

    @property
    def rows(self) -> int:
        return sum(day.rows for day in self.days)


def statistics(url: str, chosen: Chosen) -> list[Statistics]:
    """Of each version of each model, by name. Raises StoreAway and ValueError."""
    on_postgresql = address(url).path is None
    with session(url) as fetch:
        days = _days(fetch, chosen, on_postgresql)
        outcomes = _outcomes(fetch, chosen)
        return [
            Statistics(
                model,
                version,
                days[model, version],
                _answers(fetch, chosen, model, version),
                outcomes.get((model, version), NO_FEEDBACK),
            )
            for model, version in sorted(days)
        ]


def _days(fetch: Fetch, chosen: Chosen, on_postgresql: bool) -> dict[tuple[str, str], list[Day]]:
    columns = predictions.c
    day: ColumnElement[str] = literal_column(
        "to_char(time AT TIME ZONE 'UTC', 'YYYY-MM-DD')" if on_postgresql else "substr(time, 1, 10)", Text
    )
    keys = (columns.model, columns.version, day.label("day"), _rounded(columns.latency_ms).label("latency"))
    rows = fetch(select(*keys, func.count()).where(*chosen.conditions()).group_by(*(key.name for key in keys)))
    counted: dict[tuple[str, str, str], Counter[float]] = defaultdict(Counter)
    for model, version, when, latency, number in rows:
        counted[model, version, when][latency] += number
    found: dict[tuple[str, str], list[Day]] = defaultdict(list)
    for (model, version, when), latencies in sorted(counted.items()):
        found[model, version].append(Day(when, latencies.total(), tuple(_quantiles(latencies))))
    return found


def _rounded(latency: ColumnElement[Any]) -> ColumnElement[Any]:
    """To two or three digits, so that there are some thousand different values at most."""
    steps = ((1, 1000.0), (10, 100.0), (100, 10.0))
    return case(
        *((latency < bound, func.round(latency * factor) / factor) for bound, factor in steps),
        else_=func.round(latency),
    )


def _quantiles(counted: Counter[float]) -> Iterator[float]:
    values = sorted(counted)
    reached = list(accumulate(counted[value] for value in values))
    for quantile in QUANTILES:
        yield values[bisect_left(reached, quantile * reached[-1])]


def _answers(fetch: Fetch, chosen: Chosen, model: str, version: str) -> list[Answer] | None:
    columns = predictions.c
    conditions = chosen._replace(model=model, version=version).conditions()
    number = func.count().label("number")
    query = select(cast(columns.answer, Text), number, func.avg(columns.confidence, type_=Float)).where(*conditions)
    rows = fetch(query.group_by(columns.answer).order_by(number.desc()).limit(ANSWERS + 1))
    return [Answer(*row) for row in rows] if len(rows) <= ANSWERS else None


def _outcomes(fetch: Fetch, chosen: Chosen) -> dict[tuple[str, str], Outcomes]:
    """By model and version, in pages: feedback is compared here, for databases do not agree when two JSON values are
    equal.
    """
    later = feedback.alias()
    replaced = exists().where(
        and_(
            later.c.prediction == feedback.c.prediction,
            tuple_(later.c.time, later.c.key) > tuple_(feedback.c.time, feedback.c.key),
        )
    )
    order = (feedback.c.time, feedback.c.key)
    query = select(*order, predictions.c.model, predictions.c.version, predictions.c.answer, feedback.c.outcome)
    query = query.join(predictions, predictions.c.key == feedback.c.prediction).where(*chosen.conditions(), ~replaced)
    query = query.order_by(*order).limit(PAGE)
    found: dict[tuple[str, str], Outcomes] = {}
    last: Sequence[Any] | None = None
    while True:
        rows = fetch(query if last is None else query.where(beyond(order, last)))
        for _, _, model, version, answer, outcome in rows:
            found[model, version] = _add(
                found.get((model, version), NO_FEEDBACK), json.loads(answer), json.loads(outcome)
            )
        if len(rows) < PAGE:
            return found
        last = rows[-1]


def _add(before: Outcomes, answer: Any, outcome: Any) -> Outcomes:
    rows = before.rows + 1
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in (answer, outcome))
    error = (
        None if before.error is None or not numbers else before.error + (abs(answer - outcome) - before.error) / rows
    )
    return Outcomes(rows, before.equal + (answer == outcome), error)


def report(found: Sequence[Statistics]) -> str:
    """For people, a paragraph per version of a model."""
    return "\n\n".join("\n".join(map(printable, _lines(one))) for one in found) or "The log has no such rows."


def _lines(one: Statistics) -> Iterator[str]:
    yield f"{one.model} {one.version}: {one.rows:,} rows"
    yield f"  {'day':12}{'rows':>12}" + "".join(f"{f'p{quantile * 100:g} ms':>10}" for quantile in QUANTILES)
    for day in one.days:
        yield f"  {day.day:12}{day.rows:>12,}" + "".join(f"{latency:>10.4g}" for latency in day.latencies_ms)
    if one.answers is None:
        yield f"  more than {ANSWERS} different answers"
    else:
        yield f"  {'answer':12}{'rows':>12}{'share':>10}{'confidence':>12}"
        for answer, rows, confidence in one.answers:
            yield f"  {answer:12}{rows:>12,}{rows / one.rows:>10.1%}" + (
                "" if confidence is None else f"{confidence:>12.3f}"
            )
    rows, equal, error = one.outcomes
    if rows:
        mean = "" if error is None else f", mean absolute difference {error:.4g}"
        yield f"  feedback for {rows:,} rows: {equal / rows:.1%} equal to the answer{mean}"

"""Reads the prediction log in constant memory: a page at a time, each a query of its own that begins where the last
one ended.
"""

import asyncio
import contextlib
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from time import sleep
from typing import Any, NamedTuple

from sqlalchemy import Column, ColumnElement, Executable, Text, cast, func, literal, select, text, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from ..record import Record
from ..stores.address import FAILURES, Address, address, engine
from ..stores.errors import away, schema
from ..stores.tables import REVISION, REVISION_TABLE, feedback, predictions

COLUMNS = (*Record._fields, "outcome")
PAGE = 5_000  # rows: a query's fixed cost is spread, and a page is a few megabytes
OVERLAP = timedelta(seconds=10)
POLL = 1.0  # seconds
_AGO = {"d": "days", "h": "hours", "m": "minutes"}

Fetch = Callable[[Executable], Sequence[Any]]


class Chosen(NamedTuple):
    """Which rows: `since` <= time < `until`, both aware; None: no bound, any model, any version."""

    model: str | None = None
    version: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    def conditions(self, *, by_time: bool = False) -> list[ColumnElement[bool]]:
        """`by_time`: of a model in any version SQLite would take all rows by the model's index, and sort them anew
        for each page.
        """
        columns = predictions.c
        bounds = [
            None if self.since is None else columns.time >= self.since,
            None if self.until is None else columns.time < self.until,
        ]
        model = columns.model.concat("") if by_time and self.version is None else columns.model
        wanted = {model: self.model, columns.version: self.version}
        return [
            *(column == value for column, value in wanted.items() if value is not None),
            *(bound for bound in bounds if bound is not None),
        ]


def read(
    url: str,
    *,
    model: str | None = None,
    version: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    columns: Sequence[str] = COLUMNS,
    page: int = PAGE,
) -> Iterator[list[tuple[Any, ...]]]:
    """Pages of rows in the order of (time, key), each row a tuple of `columns`; time is aware, UTC; features, answer
    and outcome JSON.

    `outcome` is the latest feedback's, None without any. Raises StoreAway, and ValueError for a column or an address
    that does not exist.
    """
    if unknown := set(columns) - set(COLUMNS):
        raise ValueError(f"The prediction log has no column {sorted(unknown)[0]!r}; it has {', '.join(COLUMNS)}")
    chosen = Chosen(model, version, since, until)
    by_time = address(url).dialect == "sqlite"
    order = (predictions.c.time, predictions.c.key)
    query = select(*order, *(_column(name) for name in columns)).order_by(*order).limit(page)
    after: list[ColumnElement[bool]] = []
    with session(url) as fetch:
        while True:
            rows = fetch(query.where(*chosen.conditions(by_time=by_time), *after))
            if rows:
                yield [tuple(row[2:]) for row in rows]
            if len(rows) < page:
                return
            # One lower bound of the time alone: it says which partitions are not needed, and of two SQLite may take the
            # earlier.
            chosen = chosen._replace(since=rows[-1][0])
            after = [beyond(order, rows[-1])]


def newest(url: str, number: int, chosen: Chosen) -> list[tuple[Any, ...]]:
    """The newest rows with all COLUMNS, oldest first. Raises StoreAway and ValueError."""
    query = select(*map(_column, COLUMNS)).where(*chosen.conditions(by_time=address(url).dialect == "sqlite"))
    with session(url) as fetch:
        return [
            tuple(row)
            for row in reversed(
                fetch(query.order_by(predictions.c.time.desc(), predictions.c.key.desc()).limit(number))
            )
        ]


def follow(url: str, number: int, chosen: Chosen) -> Iterator[tuple[Any, ...]]:
    """The newest rows, then without end those that come, but for what a spool brings later than OVERLAP. Raises as
    `newest`.
    """
    time = COLUMNS.index("time")
    filters = chosen._asdict()
    last = max((row[time] for row in newest(url, 1, chosen)), default=datetime.now(UTC))
    # Workers write every half second, each by itself: what is stored next may be older than what was stored last.
    seen = {key for page in read(url, **filters | {"since": last - OVERLAP}, columns=("key",)) for (key,) in page}
    rows = newest(url, number, chosen)
    seen.update(row[0] for row in rows)
    yield from rows
    while True:
        sleep(POLL)
        known, seen = seen, set()
        for page in read(url, **filters | {"since": last - OVERLAP}):
            seen.update(row[0] for row in page)
            yield from (row for row in page if row[0] not in known)
            last = max(last, page[-1][time])


def count(url: str, chosen: Chosen) -> int:
    """The rows that `read` would give. Raises StoreAway and ValueError."""
    with session(url) as fetch:
        number: int = fetch(select(func.count()).select_from(predictions).where(*chosen.conditions()))[0][0]
        return number


def require_known(url: str, chosen: Chosen) -> None:
    """Raises ValueError, with the names that there are, where the log has no row at all of the model, or of its
    version.
    """
    if chosen.model is None and chosen.version is None:
        return
    with session(url) as fetch:
        if fetch(select(predictions.c.key).where(*Chosen(chosen.model, chosen.version).conditions()).limit(1)):
            return
        models = list(_different(fetch, predictions.c.model, ()))
        if not models:
            raise ValueError("The prediction log has no rows yet")
        if chosen.model is None:
            raise ValueError(
                f"The prediction log has no rows of any model in version {chosen.version!r}; it has the models "
                f"{', '.join(models)}"
            )
        if chosen.model not in models:
            raise ValueError(
                f"The prediction log has no rows of model {chosen.model!r}; it has those of {', '.join(models)}"
            )
        versions = list(_different(fetch, predictions.c.version, (predictions.c.model == chosen.model,)))
        raise ValueError(
            f"The prediction log has no rows of model {chosen.model!r} in version {chosen.version!r}; it has "
            f"{', '.join(versions)}"
        )


def _different(fetch: Fetch, column: Column[str], conditions: Sequence[ColumnElement[bool]]) -> Iterator[str]:
    """The column's values in order, each by a step in the index: DISTINCT would read all rows."""
    query = select(func.min(column)).where(*conditions)
    value = fetch(query)[0][0]
    while value is not None:
        yield value
        value = fetch(query.where(column > value))[0][0]


def moment(words: str) -> datetime:
    """2026-11-01, 2026-11-01T12:00 (UTC unless it says otherwise), or 7d, 12h, 30m ago. Raises ValueError with a
    sentence.
    """
    if ago := re.fullmatch(r"(\d{1,5})([dhm])", words):
        return datetime.now(UTC) - timedelta(**{_AGO[ago[2]]: int(ago[1])})
    try:
        parsed = datetime.fromisoformat(words)
        return parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(
            f"{words!r} is no time: write 2026-11-01, 2026-11-01T12:00 (UTC), or 7d, 12h, 30m for so long ago"
        ) from None


@contextlib.contextmanager
def session(url: str) -> Iterator[Fetch]:
    """fetch(statement) gives all its rows, in a transaction of its own: no lock outlives it. Raises StoreAway and
    ValueError.
    """
    where = address(url)
    with asyncio.Runner() as runner:
        connection = runner.run(_meant(_connect(where), where))

        def fetch(statement: Executable) -> Sequence[Any]:
            return runner.run(_meant(_fetch(connection, statement), where))

        try:
            yield fetch
        finally:
            runner.run(_close(connection))


async def _meant(work: Any, where: Address) -> Any:
    try:
        return await work
    except FAILURES as error:
        raise away(error, where.place) from error


async def _connect(where: Address) -> AsyncConnection:
    connection = await engine(where).connect()
    try:
        found = (await connection.execute(text(f"SELECT version_num FROM {REVISION_TABLE}"))).scalar()
        await connection.rollback()
        if found != REVISION:
            raise schema(where.place, found, REVISION)
    except BaseException:
        await _close(connection)
        raise
    return connection


async def _fetch(connection: AsyncConnection, statement: Executable) -> Sequence[Any]:
    try:
        return (await connection.execute(statement)).all()
    finally:
        await connection.rollback()


async def _close(connection: AsyncConnection) -> None:
    with contextlib.suppress(*FAILURES):
        await connection.close()


def beyond(order: tuple[Column[Any], Column[Any]], last: Sequence[Any]) -> ColumnElement[bool]:
    """After the row whose first two values are `last`'s; a tuple does not give its values the types of the columns
    by itself.
    """
    return tuple_(*order) > tuple_(*(literal(value, column.type) for value, column in zip(last, order, strict=False)))


def _column(name: str) -> ColumnElement[Any]:
    if name == "outcome":
        mine = select(feedback.c.outcome).where(feedback.c.prediction == predictions.c.key)
        return mine.order_by(feedback.c.time.desc(), feedback.c.key.desc()).limit(1).scalar_subquery().label(name)
    column = predictions.c[name]
    return cast(column, Text).label(name) if name == "key" else column

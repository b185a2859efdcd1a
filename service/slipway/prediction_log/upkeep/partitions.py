"""PostgreSQL's partitions of the prediction log, one per day in UTC: made ahead, filled from the default one,
dropped when old.
"""

from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

AHEAD = 14  # days: a maintenance job that fails for a week or a long weekend does no harm
DEFAULT = "predictions_default"
_PREFIX = "predictions_"
# Inserts queue behind a lock that waits, so it does not wait long: they go on, and the job is to run again.
_PATIENCE = "SET LOCAL lock_timeout = '3s'"
_NAMES = (
    "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = "
    "'predictions'::regclass"
)
_DAYS = f"SELECT DISTINCT (time AT TIME ZONE 'UTC')::date FROM {DEFAULT}"


async def days_attached(connection: AsyncConnection) -> set[date]:
    names = (await connection.execute(text(_NAMES))).scalars()
    return {datetime.strptime(name.removeprefix(_PREFIX), "%Y%m%d").date() for name in names if name != DEFAULT}


async def days_in_default(connection: AsyncConnection) -> set[date]:
    return set((await connection.execute(text(_DAYS))).scalars())


def days_ahead(today: date) -> set[date]:
    return {today + timedelta(days) for days in range(AHEAD + 1)}


async def add(connection: AsyncConnection, days: Iterable[date]) -> int:
    """A partition for each day that has none, each in a transaction of its own; returns the rows that moved there from
    the default one.

    CREATE TABLE … PARTITION OF would lock the whole table; ATTACH locks the default partition alone, which is empty as
    a rule.
    """
    moved = 0
    for day in sorted(days):
        begin, end = (datetime.combine(day + timedelta(days), time(), UTC).isoformat() for days in (0, 1))
        name = name_of(day)
        async with connection.begin():
            await connection.execute(text(_PATIENCE))
            # Two jobs: one after the other.
            await connection.execute(text("LOCK TABLE predictions IN SHARE UPDATE EXCLUSIVE MODE"))
            if day in await days_attached(connection):
                continue
            await connection.execute(text(f"LOCK TABLE {DEFAULT} IN ACCESS EXCLUSIVE MODE"))
            await connection.execute(text(f"CREATE TABLE {name} (LIKE predictions INCLUDING ALL)"))
            period = f"time >= '{begin}' AND time < '{end}'"
            move = (
                f"WITH moved AS (DELETE FROM {DEFAULT} WHERE {period} RETURNING *)"
                f" INSERT INTO {name} SELECT * FROM moved"
            )
            moved += (await connection.execute(text(move))).rowcount
            # With the check, ATTACH need not read the rows again.
            await connection.execute(text(f"ALTER TABLE {name} ADD CONSTRAINT day CHECK ({period})"))
            await connection.execute(
                text(f"ALTER TABLE predictions ATTACH PARTITION {name} FOR VALUES FROM ('{begin}') TO ('{end}')")
            )
            await connection.execute(text(f"ALTER TABLE {name} DROP CONSTRAINT day"))
    return moved


async def drop(connection: AsyncConnection, days: Iterable[date]) -> None:
    for day in sorted(days):
        async with connection.begin():
            await connection.execute(text(_PATIENCE))
            await connection.execute(text(f"DROP TABLE IF EXISTS {name_of(day)}"))


def name_of(day: date) -> str:
    return f"{_PREFIX}{day:%Y%m%d}"

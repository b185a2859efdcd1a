"""Keeps the log's database in shape: `slipway log migrate` and `slipway log maintain`. Never run by a server that
serves.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from time import monotonic
from typing import NamedTuple, TypeVar

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, bindparam, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection

from ...system.files import make_private_file, make_private_folder, not_writable
from ..stores.address import CONNECT_SECONDS, FAILURES, Address, address, engine
from ..stores.errors import away, schema, unwritable
from ..stores.tables import REVISION, REVISION_TABLE, Moment
from . import partitions

STEP = 10_000  # rows that are deleted in a transaction, so that writers wait for a fraction of a second only
_LOCK = 0x51199A7  # of PostgreSQL's advisory locks, any number that nobody else has

Result = TypeVar("Result")


class Migration(NamedTuple):
    before: str | None  # None: there was no schema
    after: str


class Maintained(NamedTuple):
    created: int  # partitions
    moved: int  # rows out of the default partition
    dropped: int  # partitions
    deleted: int  # rows


def migrate(url: str) -> Migration:
    """Brings the schema up to date; makes the file of SQLite and the days ahead of PostgreSQL. Two at once are safe.

    Leaves no thread and no connection behind, so a master may call it before it forks. Raises StoreAway and ValueError.
    """
    return asyncio.run(_connected(address(url), _migrate, create=True))


def maintain(url: str, retention_days: int | None, today: date | None = None) -> Maintained:
    """Partitions for the days ahead, rows out of the default one, and what is older than `retention_days` whole days
    deleted.

    Raises StoreAway and ValueError.
    """

    def run(connection: AsyncConnection, where: Address) -> Awaitable[Maintained]:
        return _maintain(connection, where, retention_days, today or datetime.now(UTC).date())

    return asyncio.run(_connected(address(url), run))


async def _connected(
    where: Address, run: Callable[[AsyncConnection, Address], Awaitable[Result]], *, create: bool = False
) -> Result:
    try:
        if create and where.path is not None:
            make_private_folder(where.path.parent)
            make_private_file(where.path)  # SQLite gives the files beside it the same mode
        async with engine(where, create=create).connect() as connection:
            return await run(connection, where)
    except FAILURES as error:
        place = not_writable(where.path) if create and where.path is not None else None
        raise (away(error, where.place) if place is None else unwritable(where.place, place)) from error


async def _migrate(connection: AsyncConnection, where: Address) -> Migration:
    if where.path is not None:
        await _write_ahead(connection)
    async with connection.begin():
        await connection.exec_driver_sql(
            "BEGIN IMMEDIATE" if where.path is not None else f"SELECT pg_advisory_xact_lock({_LOCK})"
        )
        migration = await connection.run_sync(_upgrade, where)
    if where.path is None:
        await _add_days(connection, datetime.now(UTC).date())
    return migration


async def _write_ahead(connection: AsyncConnection) -> None:
    """The file remembers it. SQLite does not wait for another process's lock here, as it does elsewhere."""
    deadline = monotonic() + CONNECT_SECONDS
    while True:
        try:
            await connection.exec_driver_sql("PRAGMA journal_mode = WAL")
        except OperationalError:
            if monotonic() > deadline:
                raise
            await asyncio.sleep(0.05)
        else:
            return
        finally:
            await connection.rollback()  # SQLAlchemy's transaction, which began with the statement


def _upgrade(connection: Connection, where: Address) -> Migration:
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    before = _revision(connection)
    if before is not None and before > REVISION:
        raise schema(where.place, before, REVISION)
    command.upgrade(config, "head")
    return Migration(before, REVISION)


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection, opts={"version_table": REVISION_TABLE}).get_current_revision()


async def _maintain(connection: AsyncConnection, where: Address, retention_days: int | None, today: date) -> Maintained:
    found = await connection.run_sync(_revision)
    await connection.rollback()  # the reading began a transaction
    if found != REVISION:
        raise schema(where.place, found, REVISION)
    first = None if retention_days is None else today - timedelta(retention_days)
    created = moved = dropped = deleted = 0
    if where.path is None and first is not None:
        old = {day for day in await partitions.days_attached(connection) if day < first}
        await connection.rollback()  # the reading above began a transaction
        await partitions.drop(connection, old)
        dropped = len(old)
    if first is not None:
        # Of what is partitioned only the default partition still has rows that are so old.
        for table in (partitions.DEFAULT if where.path is None else "predictions", "feedback"):
            deleted += await _delete(connection, where, table, datetime.combine(first, time(), UTC))
    if where.path is None:
        created, moved = await _add_days(connection, today)
    else:
        await connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    return Maintained(created, moved, dropped, deleted)


async def _add_days(connection: AsyncConnection, today: date) -> tuple[int, int]:
    wanted = partitions.days_ahead(today) | await partitions.days_in_default(connection)
    missing = wanted - await partitions.days_attached(connection)
    await connection.rollback()
    return len(missing), await partitions.add(connection, missing)


async def _delete(connection: AsyncConnection, where: Address, table: str, before: datetime) -> int:
    identity, period = ("ctid", "timestamptz") if where.path is None else ("rowid", "TEXT")
    some = f"SELECT {identity} FROM {table} WHERE time < CAST(:before AS {period}) LIMIT {STEP}"
    statement = text(f"DELETE FROM {table} WHERE {identity} IN ({some})").bindparams(
        bindparam("before", before, Moment)
    )
    deleted = 0
    while True:
        async with connection.begin():
            count = (await connection.execute(statement)).rowcount
        deleted += count
        if count < STEP:
            return deleted

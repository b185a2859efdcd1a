"""From the address of a database to SQLAlchemy's engine with the async driver for it. Nothing connects before the
engine is used.
"""

import sqlite3
from pathlib import Path
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

import asyncpg
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from .errors import StoreAway

# What `away` puts into words.
FAILURES = (DBAPIError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError, sqlite3.Error)
CONNECT_SECONDS = 4.0  # also the time that SQLite waits for another process's lock
_FORMS = "sqlite:///PATH or postgresql://USER:PASSWORD@HOST:PORT/DATABASE"


class Address(NamedTuple):
    """A database. `place` names it in messages, without user and password; `path` is None but for SQLite; `dsn` is
    asyncpg's.
    """

    dialect: str
    place: str
    path: Path | None
    dsn: str


def address(url: str) -> Address:
    """Raises ValueError with a sentence that never repeats the password."""
    scheme, separator, rest = url.strip().partition("://")
    dialect, _, driver = scheme.partition("+")
    if separator and dialect == "sqlite" and driver in ("", "aiosqlite"):
        path = rest.removeprefix("/")
        if not rest.startswith("/") or not path or path == ":memory:" or "?" in path:
            raise ValueError(
                "The address of the prediction log's database names no file: sqlite:///PATH, four slashes if PATH "
                "begins with one"
            )
        return Address("sqlite", path, Path(path), "")
    if separator and dialect in ("postgresql", "postgres") and driver in ("", "asyncpg"):
        dsn = f"postgresql://{rest}"
        return Address("postgresql", _place(dsn), None, dsn)
    raise ValueError(f"The address of the prediction log's database must be {_FORMS}")


def _place(dsn: str) -> str:
    try:
        parts: SplitResult = urlsplit(dsn)
        hosts = parts.netloc.rpartition("@")[2]
        ports = [host.rpartition(":")[2] for host in hosts.split(",") if ":" in host.rpartition("]")[2]]
        readable = all(port.isdigit() and 0 < int(port) < 65536 for port in ports) and not parts.fragment
        readable = readable and "@" not in parts.path + parts.query.partition("=")[0]
    except ValueError:
        readable = False
    if not readable:
        raise ValueError(
            f"The address of the prediction log's database cannot be read: it is {_FORMS},"
            " and in the password all but letters and digits is written as %XX"
        )
    return f"{hosts or 'localhost'}{parts.path}"


def engine(where: Address, *, create: bool = False) -> AsyncEngine:
    """An engine that keeps no connection. `create`: an SQLite file that does not exist is made, else StoreAway is
    raised.
    """
    if where.path is None:

        async def connect() -> asyncpg.Connection:
            return await asyncpg.connect(where.dsn, timeout=CONNECT_SECONDS)

        return create_async_engine("postgresql+asyncpg://", async_creator=connect, poolclass=NullPool)
    if not create and not where.path.exists():
        raise StoreAway(
            "file", f"The database of the prediction log, {where.place}, does not exist: `slipway log migrate` makes it"
        )
    file = URL.create(
        "sqlite+aiosqlite",
        database=where.path.absolute().as_uri(),
        query={"mode": "rwc" if create else "rw", "uri": "true"},
    )
    # Without sqlite3's own transactions, which begin late and as readers: two that turn writers lock each other out.
    return create_async_engine(
        file, connect_args={"timeout": CONNECT_SECONDS, "isolation_level": None}, poolclass=NullPool
    )

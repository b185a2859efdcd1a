"""The embedded database: a file that is made where there is none. Every other change of a schema is left to `slipway
log migrate`.
"""

import contextlib
import os
import sqlite3
from pathlib import Path

_SCHEMES = ("sqlite:///", "sqlite+aiosqlite:///")


def prepare(url: str) -> None:
    """Makes file and tables of an SQLite database that has none. Leaves nothing behind that a fork could harm.
    Raises StoreAway.
    """
    path = next((Path(url.removeprefix(scheme)) for scheme in _SCHEMES if url.startswith(scheme)), None)
    if path is not None and not _has_tables(path) and _may_write(path.parent):
        # Here: once in the life of a database is too rare for every server to import Alembic.
        from .maintenance import migrate

        migrate(url)


def _may_write(folder: Path) -> bool:
    """False where the store will say that it cannot be opened, and better than an attempt to make it would."""
    return not folder.is_dir() or os.access(folder, os.W_OK | os.X_OK)


def _has_tables(path: Path) -> bool:
    """True, too, of what cannot be read: the store says why."""
    if not path.exists():
        return False
    try:
        with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            return bool(connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchall())
    except sqlite3.Error:
        return True

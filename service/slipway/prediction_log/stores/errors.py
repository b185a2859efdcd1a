"""Why a database cannot be used now, as a sentence that a person acts on. Drivers' errors are told apart by code,
without importing one.
"""

import os
import re
import socket
from pathlib import Path

_MIGRATE = "run `slipway log migrate` with the role that owns its tables"
_FOREIGN = (
    "schema",
    "it holds tables of the same names that no version of Slipway vouches for: give the log a database of its own",
)
# PostgreSQL's codes, the longest that fits counts: https://www.postgresql.org/docs/current/errcodes-appendix.html
_SQLSTATES = {
    "28P01": ("password", "it refuses the user or the password: correct the address of the database"),
    "28": ("password", "it does not let this user in: correct the address of the database, or its pg_hba.conf"),
    "3D000": ("database", "it has no database of that name: create it, or correct the address"),
    "42501": (
        "privilege",
        "the user lacks a privilege: `slipway log migrate` and `maintain` need the role that owns its tables, all else "
        "SELECT and INSERT"
        " on them (docs/log.md, Privileges)",
    ),
    "42P01": ("schema", f"it has no tables of the log: {_MIGRATE}"),
    "42703": ("schema", f"its tables are of another version: {_MIGRATE}"),
    "42P07": _FOREIGN,
    "3F000": ("schema", f"it has no tables of the log: {_MIGRATE}"),
    "25006": ("read_only", "it takes no writes: it is a standby or set to read-only; address the primary"),
    "53100": ("disk_full", "its disk is full: make room"),
    "53300": ("connections", "it has no connection left: raise its max_connections, or run fewer workers"),
    "53": ("error", "it lacks memory or another resource"),
    "55P03": ("locked", "a table is locked by somebody else for longer than a few seconds"),
    "40": ("locked", "another transaction was in the way"),
    "57P03": ("starting", "it is starting or stopping"),
    "57P01": ("gone", "it ended the connection: it is shutting down"),
    "57P02": ("gone", "it ended the connection after a crash"),
    "57014": ("timeout", "it took longer than it may"),
    "08": ("gone", "the connection broke"),
}
_SQLITE_CODES = {
    "SQLITE_BUSY": ("locked", "another process has held its lock for longer than 4 seconds"),
    "SQLITE_LOCKED": ("locked", "another connection holds its lock"),
    "SQLITE_FULL": ("disk_full", "the disk is full: make room"),
    "SQLITE_READONLY": ("read_only", "the file or its folder cannot be written: check the volume and its owner"),
    "SQLITE_CANTOPEN": (
        "file",
        "the file cannot be opened: `slipway log migrate` makes it; check the folder and its owner",
    ),
    "SQLITE_PERM": ("file", "the file may not be opened: check its owner"),
    "SQLITE_IOERR": (
        "file",
        "reading or writing the file failed: check the disk; WAL needs a local one, not a network share",
    ),
    "SQLITE_NOTADB": ("file", "the file is not an SQLite database"),
    "SQLITE_CORRUPT": ("file", "the file is damaged: restore it, or move it away and run `slipway log migrate`"),
}


class StoreAway(Exception):
    """The database cannot take records now. str(): a sentence with the remedy, never with the password; `kind`: a
    short stable word.
    """

    def __init__(self, kind: str, sentence: str) -> None:
        super().__init__(sentence)
        self.kind = kind


def away(error: BaseException, place: str) -> StoreAway:
    """What an error of a driver, of SQLAlchemy around one, or of the operating system means. `place` names the
    database.
    """
    cause = getattr(error, "orig", None) or error  # SQLAlchemy's wrapper, then its imitation of DBAPI's errors
    cause = cause.__cause__ if cause is not error and cause.__cause__ is not None else cause
    kind, what = _meaning(cause)
    return StoreAway(kind, f"The database of the prediction log, {place}, cannot be used: {what}")


def schema(place: str, found: str | None, wanted: str) -> StoreAway:
    """The schema's revision is not the one that this version works with; revisions are numbers with leading zeros."""
    if found is not None and found > wanted:
        sentence = (
            f"has schema {found}, which is newer than this version of Slipway knows ({wanted}): deploy the newer "
            "version"
        )
    else:
        sentence = (
            f"has {'no schema yet' if found is None else f'schema {found}'}, this version of Slipway needs {wanted}: "
            f"{_MIGRATE}"
        )
    return StoreAway("schema", f"The database of the prediction log, {place}, {sentence}")


def unwritable(place: str, what: Path) -> StoreAway:
    """The file of SQLite cannot be made or changed, for this user may not write the file or folder `what`."""
    if os.statvfs(what).f_flag & os.ST_RDONLY:
        why = f"{what.absolute()} is mounted read-only: mount it to be written"
    else:
        who = f"user {os.geteuid()} (group {os.getegid()})"
        why = (
            f"{who} may not write {what.absolute()}: give it to that user with chown. On Kubernetes fsGroup does so, "
            "but not on every volume (hostPath, some NFS): there, set the chart's volumePermissions"
        )
    return StoreAway("file", f"The database of the prediction log, {place}, cannot be made or changed: {why}")


def _meaning(error: BaseException) -> tuple[str, str]:
    if state := getattr(error, "sqlstate", None):
        if (found := re.match('unrecognized configuration parameter "(.*)"', str(error))) is not None:
            return "address", f"it knows no option {found[1]!r}: correct what follows the ? in its address"
        for end in (5, 2):
            if state[:end] in _SQLSTATES:
                return _SQLSTATES[state[:end]]
        return "error", f"{_line(error)} (SQLSTATE {state})"
    if name := getattr(error, "sqlite_errorname", None):
        if str(error).startswith("no such "):
            return _SQLSTATES["42P01"]
        if str(error).endswith(" already exists"):
            return _FOREIGN
        base = "_".join(name.split("_")[:2])  # SQLITE_IOERR_WRITE is one of SQLITE_IOERR
        return _SQLITE_CODES.get(base, ("error", f"{_line(error)} ({name})"))
    if isinstance(error, TimeoutError):
        return "timeout", "it does not answer in time: check the network, firewalls and the server's load"
    if isinstance(error, ConnectionRefusedError):
        return "refused", "it refuses connections: is it running, and is the port right?"
    if isinstance(error, ConnectionError) and "rejected SSL" in str(error):  # asyncpg's words
        return "tls", (
            "it offers no TLS, which sslmode in its address asks for: set the server up for it, or correct sslmode"
        )
    if isinstance(error, ConnectionError):
        return "gone", "the connection broke"
    if isinstance(error, socket.gaierror):
        return "unreachable", "its host name is unknown: correct the address of the database, or check the DNS"
    if isinstance(error, OSError):
        return "unreachable", f"{error.strerror or type(error).__name__}"
    name = type(error).__name__  # asyncpg's words for a connection that is closed, or about to be
    if name in ("ConnectionDoesNotExistError", "InterfaceError") or (
        name == "InternalClientError" and "another operation" in str(error)
    ):
        return "gone", "the connection broke"
    return "error", _line(error)


def _line(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"

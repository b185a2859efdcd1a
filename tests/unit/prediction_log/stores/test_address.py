"""The address of the log's database, and what is said of it."""

import pytest

from slipway.prediction_log.database import open_store
from slipway.prediction_log.reading.pages import moment
from slipway.prediction_log.stores.address import address, engine
from slipway.prediction_log.stores.errors import StoreAway
from tests.support.logged import trouble

SECRET = "hunter2"


@pytest.mark.parametrize(
    ("url", "dialect", "place"),
    [
        ("sqlite:///log.db", "sqlite", "log.db"),
        ("sqlite+aiosqlite:////var/lib/log.db", "sqlite", "/var/lib/log.db"),
        (f"postgresql://me:{SECRET}@db.example:5433/log", "postgresql", "db.example:5433/log"),
        (f"postgresql+asyncpg://me:{SECRET}@db/log?sslmode=require", "postgresql", "db/log"),
        (f"postgres://me:{SECRET}@a:1,b:2/log", "postgresql", "a:1,b:2/log"),
        (f"postgresql://me:{SECRET}@[::1]:5432/log", "postgresql", "[::1]:5432/log"),
        ("postgresql:///log", "postgresql", "localhost/log"),
    ],
)
def test_the_driver_follows_from_the_address(url: str, dialect: str, place: str) -> None:
    where = address(url)
    assert (where.dialect, where.place) == (dialect, place)
    assert engine(where, create=True).dialect.driver == {"sqlite": "aiosqlite", "postgresql": "asyncpg"}[dialect]


@pytest.mark.parametrize(
    "url",
    [
        "",
        "log.db",
        "sqlite://",
        "sqlite:///",
        "sqlite:///:memory:",
        "sqlite://log.db",
        f"mysql://me:{SECRET}@db/log",
        f"postgresql+psycopg://me:{SECRET}@db/log",
        f"postgresql://me:{SECRET}/x@db/log",
        f"postgresql://me:{SECRET}#x@db/log",
        f"postgresql://me:{SECRET}@db:port/log",
        f"postgresql://me:{SECRET}@db:99999/log",
        f"postgresql://me:[{SECRET}@db/log",
        f"postgresql://me:12/{SECRET}@db/log",
    ],
)
def test_an_address_that_cannot_be_used_is_refused_without_repeating_the_password(url: str) -> None:
    with pytest.raises(ValueError, match=r"^The address of the prediction log's database") as raised:
        open_store(url)
    assert SECRET not in str(raised.value)
    assert raised.value.__cause__ is None


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        (f"postgresql://me:{SECRET}@127.0.0.1:1/log", "refused"),
        (f"postgresql://me:{SECRET}@nowhere.invalid/log", "unreachable"),
    ],
)
def test_what_is_said_of_a_database_that_is_away_names_it_and_not_its_password(url: str, kind: str) -> None:
    error = trouble(url)
    assert isinstance(error, StoreAway)
    assert error.kind == kind
    assert address(url).place in str(error)
    assert SECRET not in str(error)


@pytest.mark.parametrize(
    ("words", "iso"),
    [("2026-11-01", "2026-11-01T00:00:00+00:00"), ("2026-11-01T13:00+01:00", "2026-11-01T12:00:00+00:00")],
)
def test_a_time_is_in_utc_unless_it_says_otherwise(words: str, iso: str) -> None:
    assert moment(words).isoformat() == iso


def test_a_time_may_be_so_long_ago_and_nothing_else() -> None:
    assert abs((moment("0m") - moment("2d")).total_seconds() - 2 * 86400) < 1
    for words in ("yesterday", "0001-01-01T00:00+05:00"):
        with pytest.raises(ValueError, match="is no time"):
            moment(words)

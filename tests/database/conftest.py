"""A PostgreSQL server for the session, a database for each test."""

from collections.abc import Iterator
from itertools import count

import pytest

from tests.database.cluster import Cluster

_NUMBERS = count(1)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """One server for tests that leave it running."""
    with Cluster() as running:
        yield running


@pytest.fixture
def database(cluster: Cluster) -> Iterator[str]:
    """The name of an empty database in `cluster`."""
    name = f"log{next(_NUMBERS)}"
    cluster.execute(f"CREATE DATABASE {name}")
    yield name
    cluster.execute(f"DROP DATABASE {name} WITH (FORCE)")

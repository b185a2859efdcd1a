"""A PostgreSQL server for the session, a database for each test, and servers with the iris example and a slow model."""

from collections.abc import Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from slipway.packing.example_models import train_and_pack
from tests.database.cluster import Cluster
from tests.server.conftest import Start, bare
from tests.server.running import Server
from tests.support.estimators import Slow

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


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    train_and_pack("iris", folder)
    bare(folder, "slow", Slow().fit())
    (folder / "models.toml").write_text('[iris]\ndefault = true\n[slow]\nexecution = "thread"\n')
    return folder


@pytest.fixture
def start(models: Path, tmp_path: Path) -> Iterator[Start]:
    """start(**settings) is a server that runs until the end of the test, each with a folder of its own."""
    numbers = count(1)
    with ExitStack() as stack:

        def started(**settings: Any) -> Server:
            folder = tmp_path / f"server{next(numbers)}"
            folder.mkdir()
            settings.setdefault("log", "async")
            return stack.enter_context(Server(models, folder, access_log=False, **settings))

        yield started

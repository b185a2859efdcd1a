"""The real server under Gunicorn, on 127.0.0.1, with models that are packed once."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import joblib
import pytest

from slipway.packing.example_models import train_and_pack
from tests.server.running import Server
from tests.support import estimators

Start = Callable[..., Server]


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """iris, the default; `slow` takes the first feature in seconds, in a thread; `blocking` does so on the event
    loop; `dear`: 10 ms.
    """
    folder = tmp_path_factory.mktemp("models")
    train_and_pack("iris", folder)
    bare(folder, "slow", estimators.Slow().fit())
    bare(folder, "blocking", estimators.Slow().fit())
    bare(folder, "dear", estimators.Dear().fit())
    overrides = '[iris]\ndefault = true\n[slow]\nexecution = "thread"\n[blocking]\nexecution = "inline"\n'
    (folder / "models.toml").write_text(overrides)
    return folder


def bare(folder: Path, name: str, estimator: Any) -> None:
    """A model without a manifest."""
    (folder / name / "1").mkdir(parents=True)
    joblib.dump(estimator, folder / name / "1" / "model.joblib")


@pytest.fixture
def start(models: Path, tmp_path: Path) -> Iterator[Start]:
    """start(...) is a server that runs until the end of the test; see Server for the arguments."""
    with ExitStack() as stack:

        def started(*arguments: str, models: Path = models, **settings: Any) -> Server:
            return stack.enter_context(Server(models, tmp_path, *arguments, **settings))

        yield started


@pytest.fixture(scope="session")
def server(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for tests that leave it as it was."""
    with Server(models, tmp_path_factory.mktemp("server")) as running:
        yield running

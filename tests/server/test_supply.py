"""Models that lie elsewhere are fetched before they are served, looked for again, and served from the cache while their
source is away.
"""

from collections.abc import Iterator
from pathlib import Path

import joblib
import pandas as pd
import pytest
from sklearn.dummy import DummyRegressor

from slipway.packing.pack import pack
from tests.server.running import Server
from tests.support.file_server import Files, listening, offer


@pytest.fixture
def source() -> Iterator[Files]:
    with listening() as server:
        yield server


def constant(folder: Path, answer: float) -> Path:
    frame = pd.DataFrame({"age": [31.0, 47.0, 52.0]})
    estimator = DummyRegressor(strategy="constant", constant=answer).fit(frame, [0.0, 1.0, 2.0])
    joblib.dump(estimator, folder / "m.joblib")
    return pack(folder / "m.joblib", name="churn", output=folder / "packed", data=frame, force=True).directory


def test_new_files_of_an_address_are_served_without_a_restart(source: Files, tmp_path: Path) -> None:
    address = offer(source, constant(tmp_path, 1.0), "/churn")
    settings = {"fetch_cache": tmp_path / "cache", "reload_interval": 0.5, "workers": 1}
    with Server(address, tmp_path, **settings) as server:
        assert server.predict("churn", [31.0]).json()["prediction"] == 1.0
        offer(source, constant(tmp_path, 2.0), "/churn")
        server.until(lambda: server.predict("churn", [31.0]).json()["prediction"] == 2.0)


def test_while_the_source_is_away_what_was_fetched_is_served(source: Files, tmp_path: Path) -> None:
    address = offer(source, constant(tmp_path, 1.0), "/churn")
    settings = {"fetch_cache": tmp_path / "cache", "workers": 1}
    with Server(address, tmp_path, **settings):
        pass
    source.status = 503
    with Server(address, tmp_path, **settings) as server:
        assert server.predict("churn", [31.0]).json()["prediction"] == 1.0
        assert server.logged("the models are those that were fetched earlier, for their source is away")


def test_a_source_that_is_away_and_was_never_fetched_ends_the_start(source: Files, tmp_path: Path) -> None:
    source.status = 503
    address, settings = f"{source.url}/churn", {"fetch_cache": tmp_path / "cache", "workers": 1}
    with Server(address, tmp_path, wait=False, **settings) as server:
        assert server.process.wait(60) == 1
        assert any("answered 503" in str(line) for line in server.log())

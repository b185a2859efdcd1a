"""The application in this process, its lifespan run, asked through httpx."""

import contextlib
import json
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import joblib
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from slipway.app import create_app
from slipway.http.envelope import Envelope
from slipway.model.manifest import Serving
from slipway.packing.columns import Declaration
from slipway.packing.pack import pack
from slipway.settings import Settings
from tests.support import estimators

Serve = Callable[..., contextlib.AbstractAsyncContextManager[httpx.AsyncClient]]

FLOWER = {
    "sepal_length": Declaration(description="Sepal length in cm", exclusive_minimum=0, maximum=10),
    "sepal_width": Declaration(description="Sepal width in cm", exclusive_minimum=0, maximum=10),
    "petal_length": Declaration(description="Petal length in cm", minimum=0, maximum=7),
    "petal_width": Declaration(description="Petal width in cm", minimum=0, maximum=3),
}


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


class AsConnected(httpx.ASGITransport):
    """What slipway.server.connection does with a request: it is answered at once where that is possible, else by way
    of ASGI.
    """

    def __init__(self, envelope: Envelope) -> None:
        super().__init__(envelope, raise_app_exceptions=True)
        self._envelope = envelope

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        url = request.url.raw_path
        hot = (
            self._envelope.hot_path(url)
            if request.method == "POST" and isinstance(request.stream, httpx.ByteStream)
            else None
        )
        if hot is not None:
            headers = {name.lower(): value for name, value in request.headers.raw}
            answer = self._envelope.answer_at_once(hot, url, headers, request.content)
            if answer is not None:
                return httpx.Response(answer.status, headers=answer.headers, content=answer.body)
        return await super().handle_async_request(request)


@contextlib.asynccontextmanager
async def serving(models: Path, **settings: Any) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an application that serves this folder of models."""
    estimators.Gated.gate.set()  # or warm-up would wait at it
    with tempfile.TemporaryDirectory() as folder:
        settings = {"log_database": f"sqlite:///{folder}/slipway.db", "log_spool": Path(folder) / "spool", **settings}
        async with _served(models, settings) as client:
            yield client


@contextlib.asynccontextmanager
async def _served(models: Path, settings: dict[str, Any]) -> AsyncIterator[httpx.AsyncClient]:
    envelope = create_app(Settings(models=models, **settings))
    lifespan = envelope.fastapi.router.lifespan_context(envelope.fastapi)
    async with (
        lifespan,
        httpx.AsyncClient(transport=AsConnected(envelope), base_url="http://slipway", timeout=30) as client,
    ):
        yield client


@pytest.fixture(scope="session")
def serve() -> Serve:
    return serving


@pytest.fixture
async def client(models: Path) -> AsyncIterator[httpx.AsyncClient]:
    """Of a server with iris 1 and 2 (the default model), breast-cancer, passengers and the estimators that
    misbehave.
    """
    async with serving(models) as client:
        yield client


def dump(folder: Path, name: str, version: str, estimator: Any) -> Path:
    """A bare model, without a manifest."""
    path = folder / name / version / "model.joblib"
    path.parent.mkdir(parents=True)
    joblib.dump(estimator, path)
    return path


def pack_iris(folder: Path, version: str, **serving_part: Any) -> None:
    flowers, species = load_iris(return_X_y=True)
    estimator = make_pipeline(StandardScaler(), LogisticRegression(C=float(version))).fit(flowers, species)
    source = folder.parent / f"iris-{version}.joblib"
    joblib.dump(estimator, source)
    data = pd.DataFrame(flowers, columns=list(FLOWER))
    labels = ("setosa", "versicolor", "virginica")
    pack(
        source,
        name="iris",
        version=version,
        output=folder,
        data=data,
        declarations=FLOWER,
        labels=labels,
        serving=Serving(**serving_part),
    )


def pack_forest(folder: Path) -> None:
    data = load_breast_cancer(as_frame=True)
    estimator = RandomForestClassifier(20, random_state=0).fit(data.data.to_numpy(), data.target)
    source = folder.parent / "forest.joblib"
    joblib.dump(estimator, source)
    pack(source, name="breast-cancer", output=folder, data=data.data)


def pack_passengers(folder: Path) -> None:
    """Strings and missing values in a pipeline by column name."""
    data = pd.DataFrame(
        {"age": [22.0, None, 30.0, 41.0] * 10, "fare": [7.0, 71.0, 8.0, 53.0] * 10, "port": ["S", "C", "Q", "S"] * 10}
    )
    columns = make_column_transformer(
        (SimpleImputer(), ["age", "fare"]), (OneHotEncoder(handle_unknown="ignore"), ["port"])
    )
    estimator = make_pipeline(columns, LogisticRegression()).fit(data, [0, 1, 0, 1] * 10)
    source = folder.parent / "passengers.joblib"
    joblib.dump(estimator, source)
    pack(source, name="passengers", output=folder, data=data)


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("many") / "models"
    folder.mkdir()
    pack_iris(folder, "1")
    pack_iris(folder, "2", default=True)
    pack_forest(folder)
    pack_passengers(folder)
    for version in ("9", "10"):
        dump(folder, "stub", version, estimators.Stub().fit())
    dump(folder, "slow", "1", estimators.Slow().fit())
    dump(folder, "gated", "1", estimators.Gated().fit())
    dump(folder, "raising", "1", estimators.Raising().fit())
    dump(folder, "broken", "1", None).write_bytes(b"no joblib file")
    (folder / "models.toml").write_text("[broken]\noptional = true\n[slow]\nexecution = 'thread'\n")
    return folder


@pytest.fixture(scope="session")
def two_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Neither is the default."""
    folder = tmp_path_factory.mktemp("two")
    for name in ("one", "two"):
        dump(folder, name, "1", estimators.Stub().fit())
    return folder


@pytest.fixture(scope="session")
def lazy_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lazy") / "models"
    folder.mkdir()
    pack_iris(folder, "1", lazy=True)
    dump(folder, "stub", "1", estimators.Stub().fit())
    return folder


@pytest.fixture(scope="session")
def broken_models(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One of two is no joblib file, and it is expected."""
    folder = tmp_path_factory.mktemp("broken")
    shutil.copytree(models / "iris", folder / "iris")
    shutil.copytree(models / "broken", folder / "broken")
    return folder


@pytest.fixture(scope="session")
def lying_models(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The manifest expects another class of its first example than the estimator answers."""
    folder = tmp_path_factory.mktemp("lying")
    shutil.copytree(models / "iris" / "2", folder / "iris" / "2")
    path = folder / "iris" / "2" / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["examples"][0]["prediction"] = (manifest["examples"][0]["prediction"] + 1) % 3
    path.write_text(json.dumps(manifest))
    return folder


@pytest.fixture(scope="session")
def dying_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dying")
    dump(folder, "dying", "1", estimators.Dying().fit())
    return folder

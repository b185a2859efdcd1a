"""What packs, checks and serves is one judgement: no model is fit to serve that no server would serve, nor without a
way out.
"""

import asyncio
import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.cluster import MiniBatchKMeans
from sklearn.linear_model import LinearRegression

from slipway.engine.engine import Engine
from slipway.errors import ArtifactError
from slipway.model.formats.registry import MODEL_FILE
from slipway.model.manifest import Manifest
from slipway.model.signature import Signature
from slipway.model.verify import library_versions
from slipway.packing.check import check
from slipway.packing.columns import Declaration
from slipway.packing.pack import Packed, pack
from slipway.prediction.repository import Repository
from slipway.settings import Settings
from slipway.telemetry.metrics import Metrics

SHORT = pd.DataFrame(np.random.default_rng(0).normal(size=(60, 2)).astype("float32"), columns=["a", "b"])
ZEROS = "it fails on a row of zeros, which it is tried with for want of example rows: ValueError"
WAY_OUT = (
    "pack it with --data, of the training frame's dtypes (of a CSV, declare them in a columns file, such as dtype = "
    '"float32")'
)


def short() -> Any:
    """Takes float32 alone."""
    return MiniBatchKMeans(3, n_init=2).fit(SHORT)


def packed(tmp_path: Path, estimator: Any, **options: Any) -> Packed:
    joblib.dump(estimator, tmp_path / "model.joblib")
    return pack(tmp_path / "model.joblib", name="m", output=tmp_path / "models", **options)


def vouched_for(folder: Path, estimator: Any) -> Path:
    """As an earlier version packed it without data: by what the estimator tells, and untried."""
    directory = folder / "m" / "1"
    directory.mkdir(parents=True)
    joblib.dump(estimator, directory / MODEL_FILE)
    Manifest(
        name="m",
        version="1",
        digest="sha256:" + hashlib.sha256((directory / MODEL_FILE).read_bytes()).hexdigest(),
        created=datetime.now(UTC),
        libraries=library_versions(estimator),
        estimator=type(estimator).__name__,
        signature=Signature.of(estimator),
    ).write(directory)
    return directory


def off(directory: Path) -> list[str]:
    return [verdict.sentence for verdict in check(directory) if verdict.state == "off"]


def warmed_up(folder: Path) -> str | None:
    """What a server finds wrong with it."""
    metrics = Metrics(None, None)
    repository = Repository(Settings(models=folder), metrics)
    repository.load_eager()
    model = repository.find("m").model
    assert model is not None
    engine = Engine(Settings(), metrics)
    engine.start()
    try:
        return asyncio.run(engine.warm_up(model))
    finally:
        engine.close()


def test_what_a_server_tries_a_model_with_is_tried_when_it_is_packed_and_checked(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=f"No server would serve it, for {ZEROS}") as error:
        packed(tmp_path, short())
    assert WAY_OUT in str(error.value)
    [sentence] = off(vouched_for(tmp_path, short()))
    assert sentence.startswith(ZEROS)
    assert warmed_up(tmp_path) == f"{ZEROS}: {WAY_OUT}"
    found = packed(tmp_path, short(), data=SHORT)
    assert off(found.directory) == []
    assert warmed_up(tmp_path / "models") is None


def test_a_row_of_zeros_that_is_declared_away_is_not_tried(tmp_path: Path) -> None:
    found = packed(tmp_path, LinearRegression().fit(SHORT, SHORT["a"]), declarations={"a": Declaration(minimum=1)})
    assert off(found.directory) == []
    assert warmed_up(tmp_path / "models") is None


def test_categories_that_nothing_tells_are_asked_for_whether_there_is_a_manifest_or_not(tmp_path: Path) -> None:
    xgboost = pytest.importorskip("xgboost", exc_type=(ImportError, OSError))
    frame = pd.DataFrame({"k": pd.Categorical(["b", "c", "São"] * 20), "z": np.arange(60.0)})
    estimator = xgboost.XGBRegressor(n_estimators=3, enable_categorical=True).fit(frame, frame["z"])
    with pytest.raises(
        ArtifactError,
        match=r"fitted on categories of k, and does not tell enough .* name some with "
        r"--data",
    ):
        packed(tmp_path, estimator)
    [sentence] = off(vouched_for(tmp_path, estimator))
    assert (
        "fitted on categories of k, and does not tell enough of them to serve it without the data that shows them: "
        "pack it"
    ) in sentence
    declared = {"k": Declaration(categories=["b", "c", "São"])}
    assert off(packed(tmp_path, estimator, data=frame, declarations=declared).directory) == []

"""A folder that MLflow saved is served as it lies and packed, without MLflow. The folders are written as MLflow writes
them; `make sources-test` has those that its server hands out.
"""

import json
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pandas as pd
import pytest
import skops.io
import xgboost
import yaml
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from slipway.errors import ArtifactError
from slipway.model.artifact import load
from slipway.model.formats.mlflow_folder import read_mlflow
from slipway.packing.pack import pack
from slipway.sources.folder import find_models

X, Y = load_iris(return_X_y=True)
NAMES = ["sepal_length", "sepal_width", "petal_length", "petal_width"]
FLOWERS = pd.DataFrame(X, columns=NAMES)
LINEAR = make_pipeline(StandardScaler(), LogisticRegression()).fit(FLOWERS, Y)
DOUBLES = [{"type": "double", "name": name, "required": True} for name in NAMES]


def saved(
    folder: Path, flavour: dict[str, Any], columns: list[dict[str, Any]] | None, example: pd.DataFrame | None
) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    content: dict[str, Any] = {"flavors": {"python_function": {"loader_module": "mlflow"}, **flavour}}
    if columns is not None:
        content["signature"] = {"inputs": json.dumps(columns), "outputs": None, "params": None}
    if example is not None:
        split = {"dataframe_split": example.to_dict("split", index=False)}
        (folder / "serving_input_example.json").write_text(json.dumps(split))
    (folder / "MLmodel").write_text(yaml.safe_dump(content))
    return folder


def of_sklearn(folder: Path, form: str = "skops", estimator: Any = LINEAR) -> Path:
    name = {"skops": "model.skops", "cloudpickle": "model.pkl"}[form]
    flavour = {"pickled_model": name, "serialization_format": form, "sklearn_version": "1.9.1"}
    folder = saved(folder, {"sklearn": flavour}, DOUBLES, FLOWERS.head(5))
    if form == "skops":
        skops.io.dump(estimator, folder / name)
    else:
        (folder / name).write_bytes(cloudpickle.dumps(estimator))
    return folder


@pytest.mark.parametrize("form", ["skops", "cloudpickle"])
def test_a_folder_of_mlflow_is_served_as_it_lies(form: str, tmp_path: Path) -> None:
    of_sklearn(tmp_path / "iris/3", form)
    assert find_models(tmp_path) == [("iris", "3", tmp_path / "iris/3")]
    artifact = load(tmp_path / "iris/3", name="iris", version="3")
    rows = [dict(zip(NAMES, row, strict=True)) for row in X.tolist()]
    answers = artifact.model.infer(artifact.validator(len(X)).instances(rows).data)
    np.testing.assert_allclose(answers.probabilities, LINEAR.predict_proba(FLOWERS), atol=1e-12)


@pytest.mark.parametrize("form", ["skops", "cloudpickle"])
def test_its_signature_and_its_example_become_the_manifests(form: str, tmp_path: Path) -> None:
    packed = pack(of_sklearn(tmp_path / "saved", form), name="iris", output=tmp_path / "models")
    manifest = packed.artifact.manifest
    assert manifest is not None
    assert manifest.file == ("model.skops" if form == "skops" else "model.pkl")
    assert manifest.signature.names == tuple(NAMES) or list(manifest.signature.names or ()) == NAMES
    assert len(manifest.examples) >= 1


def test_types_that_only_mlflow_tells_are_taken_from_it(tmp_path: Path) -> None:
    frame = pd.DataFrame({"age": [3, 40, 22, 9] * 10, "port": ["S", "C", "Q", "S"] * 10})
    columns = make_column_transformer((StandardScaler(), ["age"]), (OneHotEncoder(), ["port"]))
    estimator = make_pipeline(columns, LogisticRegression()).fit(frame, [0, 1, 0, 1] * 10)
    told = [
        {"type": "long", "name": "age", "required": True},
        {"type": "string", "name": "port", "required": False},
    ]
    folder = saved(tmp_path / "m", {"sklearn": {"pickled_model": "model.skops"}}, told, None)
    skops.io.dump(estimator, folder / "model.skops")
    signature = load(folder, name="m", version="1").signature
    assert [(column.name, column.type) for column in signature.columns or ()] == [
        ("age", "integer"),
        ("port", "string"),
    ]


def test_a_booster_of_xgboost_in_it_answers(tmp_path: Path) -> None:
    estimator = xgboost.XGBClassifier(n_estimators=3).fit(X, Y)
    folder = saved(tmp_path / "m", {"xgboost": {"data": "model.xgb", "model_format": "xgb"}}, None, None)
    estimator.save_model(folder / "model.ubj")
    (folder / "model.ubj").rename(folder / "model.xgb")
    artifact = load(folder, name="m", version="1")
    answers = artifact.model.infer(artifact.validator(9).instances(X[:9].tolist()).data)
    assert answers.predictions == estimator.predict(X[:9]).tolist()


def test_a_flavour_that_only_mlflow_runs_is_named(tmp_path: Path) -> None:
    saved(tmp_path, {"pytorch": {}}, None, None)
    with pytest.raises(ArtifactError, match="of the flavour pytorch, whose code only MLflow runs"):
        read_mlflow(tmp_path)


@pytest.mark.parametrize("name", ["../model.pkl", "/etc/passwd", "a/../../model.pkl"])
def test_a_file_outside_of_the_folder_is_not_opened(name: str, tmp_path: Path) -> None:
    saved(tmp_path / "m", {"sklearn": {"pickled_model": name}}, None, None)
    with pytest.raises(ArtifactError, match="names a file outside of its folder"):
        load(tmp_path / "m", name="m", version="1")


@pytest.mark.parametrize("content", ["", "a: [", "flavors: 3", "[]", "flavors: {sklearn: 3}", "&a [*a]"])
def test_a_file_that_mlflow_did_not_write_is_refused_in_a_sentence(content: str, tmp_path: Path) -> None:
    (tmp_path / "MLmodel").write_text(content)
    with pytest.raises(ArtifactError):
        load(tmp_path, name="m", version="1")

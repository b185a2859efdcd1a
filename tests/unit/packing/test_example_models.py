"""The example models: they pack, vouch for themselves and say what they claim to be."""

from pathlib import Path

import pytest

from slipway.model.artifact import Artifact, load
from slipway.packing.example_models import EXAMPLES, train_and_pack
from slipway.packing.pack import Packed


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Packed]:
    output = tmp_path_factory.mktemp("models")
    return {name: train_and_pack(name, output) for name in EXAMPLES}


@pytest.fixture(scope="module")
def artifacts(packed: dict[str, Packed]) -> dict[str, Artifact]:
    """As their estimators answer."""
    return {name: load(found.directory, name=name, version="1", compiled=False) for name, found in packed.items()}


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_packed_and_answers_its_examples(name: str, artifacts: dict[str, Artifact]) -> None:
    batch = artifacts[name].example_batch()
    assert batch is not None
    assert len(batch) == 8
    assert artifacts[name].disagreement(artifacts[name].model.infer(batch.data)) is None
    assert artifacts[name].notes == []


def test_every_example_has_a_compiled_form(packed: dict[str, Packed]) -> None:
    forms = {name: found.artifact.form for name, found in packed.items()}
    assert forms == {"iris": "linear", "breast-cancer": "onnx", "diabetes": "onnx", "passengers": "linear"}
    assert {name: found.notes for name, found in packed.items() if found.notes} == {}


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_column_of_an_example_is_described_or_listed(name: str, artifacts: dict[str, Artifact]) -> None:
    for column in artifacts[name].signature.columns or ():
        assert column.description or column.allowed, column.name


def test_iris_takes_four_lengths_in_cm_within_bounds(artifacts: dict[str, Artifact]) -> None:
    signature = artifacts["iris"].signature
    bounds = {
        column.name: (column.minimum, column.exclusive_minimum, column.maximum, column.exclusive_maximum)
        for column in signature.columns or ()
    }
    assert bounds == {
        "sepal_length": (None, 0, 10, None),
        "sepal_width": (None, 0, 10, None),
        "petal_length": (0, None, 7, None),
        "petal_width": (0, None, 3, None),
    }
    assert (signature.input, signature.classes, signature.labels) == (
        "array",
        [0, 1, 2],
        ["setosa", "versicolor", "virginica"],
    )
    assert all("cm" in (column.description or "") for column in signature.columns or ())


def test_breast_cancer_is_a_forest_of_30_features(artifacts: dict[str, Artifact]) -> None:
    artifact = artifacts["breast-cancer"]
    assert (artifact.estimator_name, len(artifact.model.estimator.estimators_)) == ("RandomForestClassifier", 100)
    assert len(artifact.signature.columns or ()) == 30
    assert artifact.signature.labels == ["malignant", "benign"]


def test_diabetes_is_a_regression(artifacts: dict[str, Artifact]) -> None:
    assert artifacts["diabetes"].model.kind == "regressor"
    assert artifacts["diabetes"].signature.classes is None


def test_passengers_have_strings_booleans_and_missing_values(artifacts: dict[str, Artifact]) -> None:
    columns = {column.name: column for column in artifacts["passengers"].signature.columns or ()}
    assert {column.type for column in columns.values()} == {"number", "string", "boolean"}
    assert [name for name, column in columns.items() if column.nullable] == ["age", "port"]
    assert columns["sex"].allowed == ("female", "male")


def test_an_example_is_the_same_each_time(tmp_path: Path, artifacts: dict[str, Artifact]) -> None:
    again = train_and_pack("breast-cancer", tmp_path).artifact
    assert again.manifest is not None
    assert artifacts["breast-cancer"].manifest is not None
    assert again.manifest.examples == artifacts["breast-cancer"].manifest.examples

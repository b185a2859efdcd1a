"""Every format of a model's file is told by its bytes, packed, and answers as its own library does."""

import hashlib
import json
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cloudpickle
import joblib
import lightgbm
import numpy as np
import pandas as pd
import pytest
import skops.io
import xgboost
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from sklearn.cluster import KMeans
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_iris
from sklearn.ensemble import BaggingClassifier, RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import LinearSVC

from slipway.errors import ArtifactError
from slipway.model.artifact import load, open_model
from slipway.model.estimator_file import load_estimator
from slipway.model.formats.onnx_file import OnnxModel
from slipway.model.verify import Trusted
from slipway.packing.check import check
from slipway.packing.pack import pack
from tests.support.estimators import Stub

X, Y = load_iris(return_X_y=True)
SPECIES = np.array(["setosa", "versicolor", "virginica"])[Y]
DATA = pd.DataFrame(X, columns=["x0", "x1", "x2", "x3"])
LINEAR = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, SPECIES)
XGBOOST = xgboost.XGBClassifier(n_estimators=5).fit(X, Y)
LIGHTGBM = lightgbm.LGBMClassifier(n_estimators=5, verbose=-1).fit(X, Y)
OPSETS = {"": 18, "ai.onnx.ml": 3}


def graph(estimator: Any, *, zipmap: bool = False) -> bytes:
    options = None if zipmap or not hasattr(estimator, "predict_proba") else {id(estimator): {"zipmap": False}}
    made = to_onnx(estimator, X[:1].astype(np.float32), options=options, target_opset=OPSETS)
    return bytes(made.SerializeToString())


# By the name of what is packed: who writes it, what is kept, and who must answer alike.
WAYS: dict[str, tuple[Callable[[Path], object], str, Any]] = {
    "model.joblib": (lambda path: joblib.dump(LINEAR, path), "model.joblib", LINEAR),
    "model.pkl": (lambda path: path.write_bytes(pickle.dumps(LINEAR)), "model.pkl", LINEAR),
    "cloud.pickle": (lambda path: path.write_bytes(cloudpickle.dumps(LINEAR)), "model.pkl", LINEAR),
    "model.skops": (lambda path: skops.io.dump(LINEAR, path), "model.skops", LINEAR),
    "model.onnx": (lambda path: path.write_bytes(graph(LINEAR)), "model.onnx", LINEAR),
    "zipmap.onnx": (lambda path: path.write_bytes(graph(LINEAR, zipmap=True)), "model.onnx", LINEAR),
    "model.json": (lambda path: XGBOOST.save_model(path), "model.json", XGBOOST),
    "booster.ubj": (lambda path: XGBOOST.get_booster().save_model(path), "model.ubj", XGBOOST),
    "model.txt": (lambda path: LIGHTGBM.booster_.save_model(path), "model.txt", LIGHTGBM),
}


@pytest.mark.parametrize("name", WAYS)
@pytest.mark.parametrize("has_data", [True, False])
def test_a_file_of_every_format_is_packed_and_answers_as_its_library(name: str, has_data: bool, tmp_path: Path) -> None:
    write, kept, estimator = WAYS[name]
    write(tmp_path / name)
    packed = pack(tmp_path / name, name="iris", output=tmp_path / "models", data=DATA if has_data else None)
    assert (packed.directory / kept).read_bytes() == (tmp_path / name).read_bytes()
    assert not [verdict for verdict in check(packed.directory) if verdict.state == "off"]
    artifact = open_model(packed.directory)
    data = artifact.validator(len(X)).instances(X.tolist()).data
    answers = artifact.model.infer(data)
    assert answers.predictions == estimator.predict(X).tolist()
    np.testing.assert_allclose(answers.probabilities, estimator.predict_proba(X), atol=2e-6)
    assert artifact.signature.classes == estimator.classes_.tolist()


@pytest.mark.parametrize("name", WAYS)
def test_a_bare_file_of_every_format_is_served_under_its_own_name(name: str, tmp_path: Path) -> None:
    write, kept, estimator = WAYS[name]
    write(tmp_path / name)
    (tmp_path / name).rename(tmp_path / kept)
    artifact = load(tmp_path, name="iris", version="1")
    answers = artifact.model.infer(artifact.validator(len(X)).instances(X.tolist()).data)
    assert answers.predictions == estimator.predict(X).tolist()


@pytest.mark.parametrize(
    "estimator",
    [
        GaussianNB().fit(X, SPECIES),
        RandomForestClassifier(5, random_state=0).fit(X, Y + 3),
        BaggingClassifier(n_estimators=3, random_state=0).fit(X, SPECIES),
        LogisticRegression().fit(X, Y == 1),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
@pytest.mark.parametrize("zipmap", [True, False])
def test_the_classes_of_a_graph_are_those_of_its_labels(estimator: Any, zipmap: bool) -> None:
    model = OnnxModel(graph(estimator, zipmap=zipmap))
    rows = X.astype(np.float32)
    assert model.classes_.tolist() == [
        int(value) if not isinstance(value, str) else value for value in estimator.classes_.tolist()
    ]
    predictions, probabilities = model.predict_both(rows)
    assert predictions.tolist() == estimator.predict(X).tolist()
    np.testing.assert_allclose(probabilities, estimator.predict_proba(X), atol=2e-6)


@pytest.mark.parametrize("estimator", [LinearSVC().fit(X, Y), KMeans(3, n_init=1, random_state=0).fit(X)])
def test_scores_are_not_taken_for_probabilities(estimator: Any) -> None:
    model = OnnxModel(graph(estimator))
    assert not hasattr(model, "predict_proba")
    assert model.predict(X.astype(np.float32)).tolist() == estimator.predict(X).tolist()


def test_a_graph_of_values_answers_values() -> None:
    estimator = LinearRegression().fit(X, Y.astype(float))
    np.testing.assert_allclose(OnnxModel(graph(estimator)).predict(X), estimator.predict(X), atol=1e-5)


def test_a_graph_with_an_input_a_column_takes_rows_by_name(tmp_path: Path) -> None:
    frame = pd.DataFrame({"age": np.arange(40, dtype=np.float32), "port": ["S", "C", "Q", "S"] * 10})
    columns = make_column_transformer((StandardScaler(), ["age"]), (OneHotEncoder(), ["port"]))
    estimator = make_pipeline(columns, LogisticRegression()).fit(frame, [0, 1, 0, 1] * 10)
    types = [("age", FloatTensorType([None, 1])), ("port", StringTensorType([None, 1]))]
    made = to_onnx(estimator, initial_types=types, options={id(estimator): {"zipmap": False}}, target_opset=OPSETS)
    (tmp_path / "m.onnx").write_bytes(made.SerializeToString())
    packed = pack(tmp_path / "m.onnx", name="m", output=tmp_path / "models", data=frame)
    signature = packed.artifact.signature
    assert [(column.name, column.type) for column in signature.columns or ()] == [("age", "number"), ("port", "string")]
    rows = [{"age": 3.0, "port": "Q"}, {"age": 30.0, "port": "C"}]
    answers = packed.artifact.model.infer(packed.artifact.validator(9).instances(rows).data)
    np.testing.assert_allclose(answers.probabilities, estimator.predict_proba(pd.DataFrame(rows)), atol=2e-6)


def test_a_graph_of_text_takes_texts() -> None:
    texts = ["good food", "bad food", "good place", "bad place"]
    estimator = make_pipeline(TfidfVectorizer(lowercase=False), LogisticRegression()).fit(texts, [1, 0, 1, 0])
    made = to_onnx(
        estimator,
        initial_types=[("text", StringTensorType([None, 1]))],
        options={id(estimator): {"zipmap": False}},
        target_opset=OPSETS,
    )
    model = OnnxModel(made.SerializeToString())
    assert model.told_signature.input == "text"
    assert model.predict(texts).tolist() == [1, 0, 1, 0]


def test_a_type_that_is_not_on_the_operators_list_is_not_loaded(tmp_path: Path) -> None:
    path = tmp_path / "model.skops"
    skops.io.dump(Stub().fit(), path)
    name = f"{Stub.__module__}.Stub"
    with pytest.raises(ArtifactError, match=rf"asks for types that are not on your list.*: {name}\. "):
        load_estimator(path, None, [])
    assert type(load_estimator(path, None, [], Trusted((name,)))[0]) is Stub


class Runs:
    """As a pickle it makes a file; the file's absence proves that it was not loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("name", ["model.joblib", "model.pkl", "model.skops", "model.onnx"])
def test_safe_opens_no_pickle_whatever_it_is_called(name: str, tmp_path: Path) -> None:
    directory = pack_linear(tmp_path)
    manifest = json.loads((directory / "manifest.json").read_text())
    (directory / "model.joblib").unlink()
    content = pickle.dumps(Runs(tmp_path / "ran"))
    (directory / name).write_bytes(content)
    manifest |= {"file": name, "digest": digest_of(content)}
    (directory / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ArtifactError, match="is a pickle, which SLIPWAY_TRUST=safe does not open"):
        open_model(directory, trust="safe")
    assert not (tmp_path / "ran").exists()
    with pytest.raises(ArtifactError):
        open_model(directory, trust="manifest")
    assert (tmp_path / "ran").exists()


def test_safe_serves_skops_and_graphs(tmp_path: Path) -> None:
    for name in ("model.skops", "model.onnx"):
        WAYS[name][0](tmp_path / name)
        packed = pack(tmp_path / name, name=name.replace(".", "-"), output=tmp_path / "models", data=DATA)
        assert open_model(packed.directory, trust="safe").model
    with pytest.raises(ArtifactError, match="has no manifest"):
        open_model(tmp_path, trust="safe")


@pytest.mark.parametrize("name", ["model.skops", "model.onnx", "model.ubj", "model.json", "model.txt"])
@pytest.mark.parametrize("part", [0.1, 0.5, 0.99])
def test_a_file_that_is_cut_off_is_refused_in_a_sentence(name: str, part: float, tmp_path: Path) -> None:
    write = next(write for write, kept, _ in WAYS.values() if kept == name)
    write(tmp_path / name)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: int(len(content) * part)])
    with pytest.raises(ArtifactError):
        load(tmp_path, name="m", version="1")


def test_another_scikit_learn_is_told_of_skops_as_of_joblib(tmp_path: Path) -> None:
    estimator = LogisticRegression(max_iter=1000).fit(X, Y)
    packed = pack(dumped(estimator, tmp_path / "m.skops"), name="m", output=tmp_path / "models", data=DATA)
    manifest = json.loads((packed.directory / "manifest.json").read_text())
    manifest["libraries"]["scikit-learn"] = "1.2.2"
    (packed.directory / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ArtifactError, match=r"Packed with scikit-learn 1\.2\.2"):
        open_model(packed.directory)


def test_a_server_of_graphs_does_not_import_scikit_learn(tmp_path: Path) -> None:
    WAYS["model.onnx"][0](tmp_path / "model.onnx")
    packed = pack(tmp_path / "model.onnx", name="m", output=tmp_path / "models", data=DATA)
    code = (
        "import sys; from pathlib import Path; from slipway.model.artifact import open_model\n"
        f"artifact = open_model(Path({str(packed.directory)!r}))\n"
        "artifact.model.infer(artifact.trial_batch().data)\n"
        "print(*{'sklearn', 'pandas', 'joblib', 'scipy', 'onnx'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_an_objective_without_an_answer_is_refused(tmp_path: Path) -> None:
    matrix = xgboost.DMatrix(X, label=(Y > 0).astype(int))
    xgboost.train({"objective": "binary:hinge"}, matrix, 2).save_model(tmp_path / "model.json")
    with pytest.raises(ArtifactError, match="binary:hinge, of which no answer can be told"):
        load(tmp_path, name="m", version="1")


def dumped(estimator: Any, path: Path) -> Path:
    skops.io.dump(estimator, path)
    return path


def digest_of(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def pack_linear(folder: Path) -> Path:
    joblib.dump(LINEAR, folder / "linear.joblib")
    return pack(folder / "linear.joblib", name="linear", output=folder / "models", data=DATA).directory


def test_names_with_blanks_are_those_that_lightgbm_has_joined(tmp_path: Path) -> None:
    frame = DATA.rename(columns=lambda name: f"length of {name}")
    estimator = lightgbm.LGBMClassifier(n_estimators=5, verbose=-1).fit(frame, Y)
    estimator.booster_.save_model(tmp_path / "model.txt")
    frame.to_csv(tmp_path / "data.csv", index=False)
    found = pack(tmp_path / "model.txt", name="m", output=tmp_path / "models", data=tmp_path / "data.csv")
    assert list(found.artifact.signature.names or ()) == list(frame)
    rows = found.artifact.validator(200).instances(frame.to_numpy().tolist())
    assert found.artifact.model.infer(rows.data).predictions == estimator.predict(frame).tolist()


def test_the_types_of_a_forest_in_skops_are_named_as_they_are_to_be_listed(tmp_path: Path) -> None:
    path = tmp_path / "model.skops"
    skops.io.dump(RandomForestClassifier(2).fit(X, Y), path)
    with pytest.raises(ArtifactError, match=r"""SLIPWAY_TRUSTED_TYPES='\["sklearn.tree._tree.Tree"\]'"""):
        load_estimator(path, None, [])

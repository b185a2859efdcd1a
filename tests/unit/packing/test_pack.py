"""Packing: what a manifest says of a model, and what is refused with one sentence."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.cluster import DBSCAN
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_iris
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier, VotingClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder

from slipway.errors import ArtifactError
from slipway.model.artifact import load
from slipway.model.manifest import Serving
from slipway.model.signature import Column
from slipway.packing.columns import Declaration
from slipway.packing.compiling import compilation
from slipway.packing.pack import Packed, pack
from tests.support.zoo import ZOO, Specimen, categories, columns_pipeline, passengers

NAMES = ["sepal_length", "sepal_width", "petal_length", "petal_width"]
X, Y = load_iris(return_X_y=True)
FLOWERS = pd.DataFrame(X, columns=NAMES)
SPECIES = np.array(["setosa", "versicolor", "virginica"])[Y]


@pytest.fixture(scope="module")
def of_array() -> Any:
    return LogisticRegression(max_iter=300).fit(X, Y)


@pytest.fixture(scope="module")
def of_frame() -> Any:
    return LogisticRegression(max_iter=300).fit(FLOWERS, SPECIES)


def packed(tmp_path: Path, estimator: Any, data: pd.DataFrame | None = None, **options: Any) -> Packed:
    joblib.dump(estimator, tmp_path / "model.joblib")
    return pack(tmp_path / "model.joblib", **{"name": "iris", "output": tmp_path / "models", "data": data} | options)


def refused(tmp_path: Path, estimator: Any, data: pd.DataFrame | None, sentence: str, **options: Any) -> None:
    with pytest.raises(ArtifactError, match=sentence) as error:
        packed(tmp_path, estimator, data, **options)
    assert "\n" not in str(error.value)
    folder = tmp_path / "models"
    assert not folder.exists() or list(folder.rglob("*")) == []


def columns(found: Packed) -> dict[str, Column]:
    return {column.name: column for column in found.artifact.signature.columns or ()}


@pytest.mark.parametrize("specimen", ZOO, ids=lambda specimen: specimen.name)
def test_every_estimator_of_the_zoo_is_packed_and_answers_its_examples(specimen: Specimen, tmp_path: Path) -> None:
    if specimen.requires:
        pytest.importorskip(specimen.requires, exc_type=(ImportError, OSError))
    data = specimen.data if isinstance(specimen.data, pd.DataFrame) else pd.DataFrame(specimen.data)
    found = packed(tmp_path, specimen.estimator, data)
    artifact = load(found.directory, name="iris", version="1")
    batch = artifact.example_batch()
    assert batch is not None
    assert len(batch) == min(8, len(data))
    assert artifact.disagreement(artifact.model.infer(batch.data)) is None


def test_a_manifest_says_what_the_model_is(tmp_path: Path, of_array: Any) -> None:
    found = packed(
        tmp_path, of_array, FLOWERS.assign(species=SPECIES), target="species", labels=["a", "b", "c"], version="2.1"
    )
    assert found.directory == tmp_path / "models/iris/2.1"
    manifest = json.loads((found.directory / "manifest.json").read_text())
    assert (manifest["format_version"], manifest["name"], manifest["version"], manifest["estimator"]) == (
        2,
        "iris",
        "2.1",
        "LogisticRegression",
    )
    assert set(manifest["libraries"]) == {"python", "scikit-learn", "numpy", "joblib"}
    assert manifest["created"].endswith("Z")
    assert (found.directory / "model.joblib").read_bytes() == (tmp_path / "model.joblib").read_bytes()
    signature = manifest["signature"]
    assert [column["name"] for column in signature["columns"]] == NAMES
    assert (
        signature["columns"][0] | {"observed_minimum": 4.3, "observed_maximum": 7.9, "nullable": False}
        == signature["columns"][0]
    )
    assert (signature["input"], signature["named"], signature["classes"], signature["labels"]) == (
        "array",
        True,
        [0, 1, 2],
        ["a", "b", "c"],
    )
    assert found.notes == []


def test_a_manifest_states_the_compiled_form_and_its_proof(tmp_path: Path, of_array: Any) -> None:
    found = packed(tmp_path, of_array, FLOWERS, compiled=True)
    compiled = found.artifact.manifest.compiled
    assert (compiled.form, compiled.bound, found.artifact.form) == ("linear", 1e-12, "linear")
    assert compiled.rows > len(FLOWERS)
    content = (found.directory / "model.linear.json").read_bytes()
    assert compiled.digest == "sha256:" + hashlib.sha256(content).hexdigest()
    assert found.compilation.form == compiled
    assert found.compilation.speed_one > 1.5


def test_all_rows_of_the_data_that_a_request_may_hold_are_part_of_the_proof(
    tmp_path: Path, of_array: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[float]] = []
    compile_model = compilation.compile_model
    monkeypatch.setattr(
        compilation, "compile_model", lambda model, rows: asked.extend(rows) or compile_model(model, rows)
    )
    packed(tmp_path, of_array, FLOWERS, compiled=True, declarations={"petal_width": Declaration(maximum=2.0)})
    assert asked == [row for row in X.tolist() if row[3] <= 2.0]


def test_without_a_form_there_is_no_file_and_the_reason_is_noted(
    tmp_path: Path, of_array: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compilation, "QUICKER", 1e9)
    found = packed(tmp_path, of_array, FLOWERS, compiled=True)
    assert sorted(path.name for path in found.directory.iterdir()) == ["manifest.json", "model.joblib"]
    assert found.artifact.manifest.compiled is None
    assert [note for note in found.notes if "Its linear form is not worth it" in note]


def test_a_form_needs_data_to_be_proven(tmp_path: Path, of_array: Any) -> None:
    refused(tmp_path, of_array, None, "proven on the rows of --data, which is not given", compiled=True)


def test_the_library_that_an_estimator_comes_from_is_recorded(tmp_path: Path) -> None:
    pytest.importorskip("xgboost", exc_type=(ImportError, OSError))
    found = packed(tmp_path, next(specimen for specimen in ZOO if specimen.name == "xgboost_classifier").estimator)
    assert found.artifact.manifest is not None
    assert "xgboost" in found.artifact.manifest.libraries


def test_how_a_model_is_served_is_recorded(tmp_path: Path, of_array: Any) -> None:
    serving = Serving(execution="thread", lazy=True, optional=True, default=True)
    found = packed(tmp_path, of_array, serving=serving)
    assert found.artifact.manifest is not None
    assert found.artifact.manifest.serving == serving


def test_the_examples_are_of_every_class(tmp_path: Path, of_array: Any) -> None:
    found = packed(tmp_path, of_array, FLOWERS)
    assert found.artifact.manifest is not None
    examples = found.artifact.manifest.examples
    assert len(examples) == 8
    assert {example.prediction for example in examples} == {0, 1, 2}
    for example in examples:
        assert example.prediction == of_array.predict([example.features])[0]
        np.testing.assert_allclose(example.probabilities, of_array.predict_proba([example.features])[0], atol=1e-9)


def test_an_example_has_a_missing_value_where_the_data_has_one_anywhere(tmp_path: Path) -> None:
    data = pd.concat([FLOWERS] * 20, ignore_index=True)
    data.iloc[1234, 2] = np.nan
    found = packed(tmp_path, HistGradientBoostingClassifier(max_iter=3).fit(X, Y), data)
    assert found.artifact.manifest is not None
    assert any(None in example.features for example in found.artifact.manifest.examples)
    assert [name for name, column in columns(found).items() if column.nullable] == ["petal_length"]


def test_the_examples_of_a_regressor_cover_the_range_of_its_answers(tmp_path: Path) -> None:
    estimator = LinearRegression().fit(X[:, :3], X[:, 3])
    found = packed(tmp_path, estimator, FLOWERS.iloc[:, :3])
    predictions = estimator.predict(X[:, :3])
    assert found.artifact.manifest is not None
    expected: list[Any] = [example.prediction for example in found.artifact.manifest.examples]
    assert (min(expected), max(expected)) == (pytest.approx(predictions.min()), pytest.approx(predictions.max()))


def test_a_frame_is_packed_in_the_estimators_own_column_order(tmp_path: Path, of_frame: Any) -> None:
    shuffled = FLOWERS[NAMES[::-1]].assign(number=range(len(X)), species=SPECIES)
    found = packed(tmp_path, of_frame, shuffled, target="species")
    assert list(columns(found)) == NAMES
    assert found.notes == ["The estimator does not know these columns of the data, they are ignored: number"]


def test_strings_booleans_integers_and_missing_values_are_recorded(tmp_path: Path) -> None:
    frame, y = passengers()
    found = columns(packed(tmp_path, columns_pipeline().fit(frame, y), frame))
    assert [(name, column.type, column.dtype, column.nullable) for name, column in found.items()] == [
        ("age", "number", None, True),
        ("sex", "string", "str", False),
        ("port", "string", "str", True),
        ("class", "number", "int64", False),
        ("alone", "boolean", None, False),
    ]
    assert found["port"].observed_categories == ("C", "Q", "S")


def test_categories_are_recorded_in_their_order(tmp_path: Path) -> None:
    frame, y = categories()
    found = columns(packed(tmp_path, HistGradientBoostingClassifier(max_iter=3).fit(frame, y), frame))
    assert (found["sex"].type, found["sex"].dtype, found["sex"].observed_categories) == (
        "string",
        "category",
        ("female", "male"),
    )
    assert (found["class"].type, found["class"].dtype, found["class"].observed_categories) == (
        "number",
        "category",
        (1, 2, 3),
    )


def test_a_category_that_a_csv_cannot_tell_is_declared(tmp_path: Path) -> None:
    lightgbm = pytest.importorskip("lightgbm", exc_type=(ImportError, OSError))
    frame, y = categories()
    estimator = lightgbm.LGBMClassifier(n_estimators=5, verbose=-1, min_child_samples=5).fit(frame, y)
    frame.to_csv(tmp_path / "data.csv", index=False)
    read = pd.read_csv(tmp_path / "data.csv")
    declarations = {name: Declaration(type="category") for name in ("sex", "port", "class")}
    found = packed(tmp_path, estimator, read, declarations=declarations)
    assert found.artifact.model.infer(frame.head(5)).predictions == estimator.predict(frame.head(5)).tolist()
    assert columns(found)["sex"].dtype == "category"


def test_integers_that_become_text_inside_are_served_as_integers(tmp_path: Path) -> None:
    frame = pd.DataFrame({"zip": [1010, 2020] * 10, "price": np.arange(20.0)})
    to_text = make_pipeline(FunctionTransformer(as_text), OneHotEncoder(handle_unknown="ignore"))
    estimator = make_pipeline(make_column_transformer((to_text, ["zip"]), remainder="drop"), LogisticRegression()).fit(
        frame, [0, 1] * 10
    )
    found = packed(tmp_path, estimator, frame)
    assert found.artifact.manifest is not None
    assert {example.features[0]: example.prediction for example in found.artifact.manifest.examples} == {
        1010: 0,
        2020: 1,
    }


def as_text(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.astype(str)


def test_a_text_pipeline_takes_its_column_by_its_name(tmp_path: Path) -> None:
    texts = ["good film", "bad film"] * 10
    estimator = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(texts, [1, 0] * 10)
    found = packed(tmp_path, estimator, pd.DataFrame({"review": texts, "stars": 1}), target="stars")
    assert list(columns(found)) == ["review"]
    (tmp_path / "2").mkdir()
    refused(
        tmp_path / "2",
        estimator,
        pd.DataFrame({"review": texts, "stars": 1}),
        "takes one column, the data has review, stars; if one",
    )


def test_rows_without_a_text_are_no_examples(tmp_path: Path) -> None:
    estimator = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(["good film", "bad film"] * 10, [1, 0] * 10)
    found = packed(tmp_path, estimator, pd.DataFrame({"review": ["good film", None, "bad film"]}))
    assert not columns(found)["review"].nullable
    assert found.notes[0].startswith("1 of 3 rows of the data would be refused")


def test_without_data_the_estimator_is_asked_and_what_is_lost_is_said(tmp_path: Path, of_array: Any) -> None:
    found = packed(tmp_path, of_array)
    assert list(columns(found)) == ["x0", "x1", "x2", "x3"]
    assert found.artifact.example_batch() is None
    assert found.notes == [
        "Without --data there are no example rows to verify answers with, and the columns' types and ranges are not "
        "known"
    ]


def test_without_data_declarations_name_the_columns_of_an_array(tmp_path: Path, of_array: Any) -> None:
    found = packed(tmp_path, of_array, declarations={name: Declaration(minimum=0.0) for name in NAMES})
    assert list(columns(found)) == NAMES
    assert found.artifact.signature.named
    assert {column.minimum for column in columns(found).values()} == {0}


def test_declarations_are_recorded(tmp_path: Path, of_array: Any) -> None:
    declaration = Declaration(description="In cm", exclusive_minimum=0.0, maximum=10.0)
    column = columns(packed(tmp_path, of_array, FLOWERS, declarations={"sepal_width": declaration}))["sepal_width"]
    assert (column.description, column.exclusive_minimum, column.maximum, column.observed_maximum) == (
        "In cm",
        0,
        10,
        4.4,
    )


def test_rows_outside_of_what_is_declared_are_no_examples(tmp_path: Path, of_array: Any) -> None:
    found = packed(tmp_path, of_array, FLOWERS, declarations={"petal_length": Declaration(maximum=5.0)})
    outside = int((FLOWERS["petal_length"] > 5).sum())
    assert found.notes == [
        f"{outside} of 150 rows of the data would be refused: values are missing, infinite or outside of what is "
        "declared"
    ]
    assert found.artifact.manifest is not None
    assert all(example.features[2] <= 5 for example in found.artifact.manifest.examples)


def test_a_column_may_be_declared_missing_where_the_estimator_can_do_without(tmp_path: Path, of_array: Any) -> None:
    declarations = {"sepal_width": Declaration(nullable=True)}
    forest = HistGradientBoostingClassifier(max_iter=3).fit(X, Y)
    assert columns(packed(tmp_path, forest, FLOWERS, declarations=declarations))["sepal_width"].nullable
    (tmp_path / "2").mkdir()
    refused(
        tmp_path / "2",
        of_array,
        FLOWERS,
        "cannot predict a row whose 'sepal_width' is missing",
        declarations=declarations,
    )


def test_an_existing_version_is_only_replaced_when_that_is_said(tmp_path: Path, of_array: Any, of_frame: Any) -> None:
    first = packed(tmp_path, of_array).artifact.digest
    with pytest.raises(
        ArtifactError,
        match=r"models/iris/1 exists already: choose another --version, or replace it "
        r"with --force",
    ):
        packed(tmp_path, of_frame)
    assert load(tmp_path / "models/iris/1", name="iris", version="1").digest == first
    replaced = packed(tmp_path, of_frame, force=True)
    assert load(tmp_path / "models/iris/1", name="iris", version="1").digest == replaced.artifact.digest != first
    assert f"{tmp_path}/models/iris/1 was replaced" in replaced.notes
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["iris"]


def test_other_users_may_read_what_was_packed(tmp_path: Path, of_array: Any) -> None:
    mask = os.umask(0o022)
    try:
        directory = packed(tmp_path, of_array).directory
    finally:
        os.umask(mask)
    assert {path.stat().st_mode & 0o777 for path in (directory, directory.parent)} == {0o755}
    assert {path.stat().st_mode & 0o777 for path in directory.iterdir()} == {0o644}


@pytest.mark.parametrize("name", ["../iris", "", "a b", ".iris", "iris\n", "x" * 64])
def test_a_name_that_cannot_be_part_of_a_path_is_refused(tmp_path: Path, of_array: Any, name: str) -> None:
    refused(tmp_path, of_array, None, "cannot be part of a path", name=name)
    refused(tmp_path, of_array, None, "cannot be part of a path", version=name)


class Unsteady(ClassifierMixin, BaseEstimator):
    """Answers every call differently."""

    def fit(self, _: Any, y: Any) -> "Unsteady":
        self.classes_, self.n_features_in_, self.count_ = np.unique(y), 4, 0
        return self

    def predict(self, X: Any) -> Any:
        self.count_ += 1
        return self.classes_[np.full(len(X), self.count_ % 3)]


@pytest.mark.parametrize(
    ("data", "options", "sentence"),
    [
        (
            FLOWERS.assign(species=SPECIES),
            {},
            "takes 4 features, the data has 5 columns; if one of them is the target, name it with --target",
        ),
        (
            FLOWERS.assign(species=SPECIES),
            {"target": "spezies"},
            "no column 'spezies' to be the target: it has sepal_length, ",
        ),
        (
            FLOWERS.iloc[:, :3].assign(species=SPECIES),
            {},
            r"Column 'species' holds strings, but the estimator was fitted on numbers: is it the target\?",
        ),
        (FLOWERS.iloc[:, :3], {}, "takes 4 features, the data has 3 columns"),
        (FLOWERS.head(0), {}, "The data has no rows"),
        (
            FLOWERS.assign(sepal_width=pd.Timestamp("2026-01-01")),
            {},
            "Column 'sepal_width' holds datetimes, but the estimator was fitted on numbers",
        ),
        (
            FLOWERS.assign(sepal_width=[[1]] * 150),
            {},
            "Column 'sepal_width' holds object, which JSON rows cannot carry",
        ),
        (
            FLOWERS.assign(sepal_width=np.nan),
            {},
            "LogisticRegression cannot predict its data: ValueError: Input X contains NaN",
        ),
        (FLOWERS * np.inf, {}, "No row of the data would be accepted; the first one: Features contain NaN or infinity"),
        (
            FLOWERS,
            {"declarations": {"petal": Declaration()}},
            "declares columns that the model does not have: petal; it has sepal_length",
        ),
        (
            FLOWERS.assign(sepal_width=[0.0, 1.0] * 75),
            {"declarations": {"sepal_width": Declaration(type="boolean", minimum=1.0)}},
            "only numbers have bounds",
        ),
        (
            FLOWERS,
            {"declarations": {"sepal_width": Declaration(minimum=100.0)}},
            "No row of the data would be accepted",
        ),
        (None, {"declarations": {"x0": Declaration(type="category")}}, "'x0' a category, but only --data can tell"),
        (None, {"labels": ["a", "b"]}, "--labels must name 3 different classes, in the order of"),
        (None, {"labels": ["a", "b", "a"]}, "--labels must name 3 different classes"),
    ],
)
def test_what_does_not_fit_the_estimator_is_refused(
    tmp_path: Path, of_array: Any, data: pd.DataFrame | None, options: dict[str, Any], sentence: str
) -> None:
    refused(tmp_path, of_array, data, sentence, **options)


@pytest.mark.parametrize(
    ("estimator", "data", "options", "sentence"),
    [
        (DBSCAN().fit(X), FLOWERS, {}, "DBSCAN has no predict"),
        (LogisticRegression(), FLOWERS, {}, "LogisticRegression is not fitted"),
        ({"a": 1}, FLOWERS, {}, "dict has no predict"),
        (
            LinearRegression().fit(X, Y),
            None,
            {"labels": ["a"]},
            "names the classes of one output, which LinearRegression does not have",
        ),
        (
            DummyClassifier(strategy="uniform").fit(X, Y),
            FLOWERS,
            {},
            "answers .* rows otherwise|does not answer the same row twice",
        ),
        (Unsteady().fit(X, Y), FLOWERS, {}, "answers 150 of 150 rows otherwise when they come as JSON"),
    ],
)
def test_an_estimator_that_cannot_be_vouched_for_is_refused(
    tmp_path: Path, estimator: Any, data: pd.DataFrame | None, options: dict[str, Any], sentence: str
) -> None:
    refused(tmp_path, estimator, data, sentence, **options)


def test_columns_that_the_data_does_not_have_are_named(tmp_path: Path, of_frame: Any) -> None:
    refused(
        tmp_path,
        of_frame,
        FLOWERS.iloc[:, 1:3],
        "fitted on columns that the data does not have: sepal_length, petal_width",
    )


def test_lightgbms_columns_keep_the_blanks_that_it_has_underscores_for(tmp_path: Path) -> None:
    lightgbm = pytest.importorskip("lightgbm", exc_type=(ImportError, OSError))
    frame = FLOWERS.rename(columns=lambda name: name.replace("_", " "))
    trees = lightgbm.LGBMClassifier(n_estimators=3, verbose=-1).fit(frame, SPECIES)
    beside_a_forest = VotingClassifier([("boosted", trees), ("forest", RandomForestClassifier(3))]).fit(frame, SPECIES)
    for estimator in (trees, beside_a_forest):  # the forest knows the names as they are, and takes no others
        found = packed(tmp_path, estimator, frame.assign(more=1), force=True)
        assert list(columns(found)) == list(frame)
        assert found.notes[0].endswith("they are ignored: more")
        assert found.artifact.model.infer(frame).predictions == estimator.predict(frame).tolist()


def test_columns_that_lightgbm_has_one_name_for_are_named(tmp_path: Path) -> None:
    lightgbm = pytest.importorskip("lightgbm", exc_type=(ImportError, OSError))
    estimator = lightgbm.LGBMClassifier(n_estimators=3, verbose=-1).fit(FLOWERS, Y)
    data = FLOWERS.assign(**{"petal width": 0.0})
    refused(
        tmp_path,
        estimator,
        data,
        "does not tell these columns of the data apart: petal_width, petal width; leave out those",
    )


def test_blanks_are_no_underscores_to_other_estimators(tmp_path: Path, of_frame: Any) -> None:
    data = FLOWERS.rename(columns={"petal_width": "petal width"})
    refused(tmp_path, of_frame, data, "fitted on columns that the data does not have: petal_width$")


def test_a_file_that_is_no_joblib_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.joblib").write_text("hello")
    with pytest.raises(ArtifactError, match=r"model\.joblib is no joblib file that can be loaded"):
        pack(tmp_path / "model.joblib", name="iris", output=tmp_path / "models")
    with pytest.raises(ArtifactError, match=r"nowhere\.joblib does not exist"):
        pack(tmp_path / "nowhere.joblib", name="iris", output=tmp_path / "models")


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path, of_array: Any) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ArtifactError, match="cannot be written: Not a directory"):
        packed(tmp_path, of_array, output=tmp_path / "file")

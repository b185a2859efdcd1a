"""`slipway.pack`, `load` and `check`: the estimator's own answers, its frame's own dtypes, no file between."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_iris
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

import slipway
from tests.support.zoo import ZOO, Specimen

X, Y = load_iris(return_X_y=True)
FLOWERS = pd.DataFrame(X, columns=["sepal_length", "sepal_width", "petal_length", "petal_width"])


def frame_of_all_dtypes() -> pd.DataFrame:
    rows = 60
    numbers = np.arange(rows)
    return pd.DataFrame(
        {
            "plan": pd.Categorical(np.array(["gold", "tin", "iron"])[numbers % 3]),
            "code": pd.Categorical(numbers % 4 + 2**53),
            "visits": pd.array(np.where(numbers % 7 == 0, None, numbers), dtype="Int64"),
            "small": numbers.astype("int8"),
            "rate": (numbers / 7).astype("float32"),
            "paid": numbers % 2 == 0,
        },
        index=[f"customer {number}" for number in numbers],
    )


@pytest.mark.parametrize("specimen", ZOO, ids=lambda specimen: specimen.name)
def test_each_of_the_zoo_answers_as_it_does_itself(specimen: Specimen, tmp_path: Path) -> None:
    rows = specimen.data
    packed = slipway.pack(specimen.estimator, rows, name="zoo", output=tmp_path)
    answers = packed.predict(rows)
    expected = np.asarray(specimen.estimator.predict(rows))
    names = [name for name in answers if name.startswith("prediction")]
    assert answers[names].to_numpy().reshape(expected.shape).tolist() == expected.tolist()


def test_dtypes_categories_and_integers_of_the_frame_are_exact_and_its_index_is_kept(tmp_path: Path) -> None:
    frame = frame_of_all_dtypes()
    target = np.where(frame["plan"] == "gold", "stays", "leaves")
    encode = make_column_transformer((OneHotEncoder(sparse_output=False), ["plan", "code"]), remainder="passthrough")
    encode.set_output(transform="pandas")
    estimator = make_pipeline(encode, HistGradientBoostingClassifier(max_iter=5)).fit(frame, target)
    slipway.pack(estimator, frame, target, name="churn", output=tmp_path)
    loaded = slipway.load(tmp_path / "churn/1")
    answers = loaded.predict(frame)
    assert answers.index.equals(frame.index)
    assert answers["prediction"].tolist() == estimator.predict(frame).tolist()
    shares = answers[[f"probability_{label}" for label in estimator.classes_]].to_numpy()
    assert (shares == estimator.predict_proba(frame)).all()
    columns = {column.name: column for column in loaded.artifact.signature.columns or ()}
    assert list(columns["code"].categories or ()) == [2**53, 2**53 + 1, 2**53 + 2, 2**53 + 3]


def test_an_array_is_packed_and_its_compiled_form_is_told(tmp_path: Path) -> None:
    estimator = LogisticRegression(max_iter=300).fit(X, Y)
    packed = slipway.pack(estimator, X, Y, name="iris", output=tmp_path, compile=True)
    assert packed.predict(X)["prediction"].tolist() == estimator.predict(X).tolist()
    assert "compiled" in repr(packed)
    assert packed.compiled.startswith("model.linear.json: ")
    assert "<table>" in packed._repr_html_()


def test_what_only_this_notebook_has_is_refused_before_a_server_would(tmp_path: Path) -> None:
    code = f"""
import slipway
from sklearn.base import BaseEstimator
class Own(BaseEstimator):
    def fit(self, X, y=None):
        self.n_features_in_ = 1
        return self
    def predict(self, X):
        return [0.0] * len(X)
try:
    slipway.pack(Own().fit([[1.0]]), [[1.0], [2.0]], name="own", output={str(tmp_path)!r})
except slipway.ArtifactError as error:
    print(error)
"""
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert "needs Own of this notebook" in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((FLOWERS, Y[:3]), "X has 150 rows, y has 3"),
        ((X[:, 0],), "rows by columns"),
        ((FLOWERS.drop(columns="petal_width"),), "petal_width"),
    ],
)
def test_data_that_does_not_fit_is_refused_in_the_words_of_python(
    arguments: tuple[Any, ...], words: str, tmp_path: Path
) -> None:
    estimator = LogisticRegression(max_iter=300).fit(FLOWERS, Y)
    with pytest.raises(slipway.ArtifactError, match=words) as refused:
        slipway.pack(estimator, *arguments, name="iris", output=tmp_path)
    assert "--" not in str(refused.value)
    slipway.pack(estimator, FLOWERS, Y, name="iris", output=tmp_path)
    with pytest.raises(slipway.ArtifactError, match="replace=True"):
        slipway.pack(estimator, FLOWERS, Y, name="iris", output=tmp_path)


def test_a_row_that_does_not_fit_is_named_and_a_model_is_checked(tmp_path: Path) -> None:
    packed = slipway.pack(LogisticRegression(max_iter=300).fit(FLOWERS, Y), FLOWERS, name="iris", output=tmp_path)
    with pytest.raises(slipway.ArtifactError, match=r"Row 2 .*petal_width"):
        packed.predict(FLOWERS.head(3).assign(petal_width=[0.2, np.nan, 0.2]))
    checked = slipway.check(packed.directory)
    assert checked
    assert "fit to serve" in repr(checked)
    (packed.directory / "model.joblib").write_bytes(b"other")
    assert not slipway.check(packed.directory)

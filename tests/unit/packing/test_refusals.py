"""What cannot be packed, or not from a CSV, is refused in one sentence that names the column and the way out."""

from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import FeatureUnion, make_pipeline

from slipway.errors import ArtifactError
from slipway.model.answers import Answers
from slipway.model.estimator import Model
from slipway.model.rows import RowValidator
from slipway.model.signature import Signature
from slipway.packing import example_rows
from slipway.packing.columns import Declaration
from slipway.packing.pack import Packed, pack
from slipway.packing.predict_file import predict_file

FRAME = pd.DataFrame(np.random.default_rng(0).normal(size=(60, 2)).round(3), columns=["a", "b"])
Y = (FRAME["a"] > 0).astype(int)


def packed(tmp_path: Path, estimator: Any, data: Any, **options: Any) -> Packed:
    joblib.dump(estimator, tmp_path / "model.joblib")
    return pack(tmp_path / "model.joblib", name="m", output=tmp_path / "models", data=data, force=True, **options)


def refused(tmp_path: Path, estimator: Any, data: Any, sentence: str, **options: Any) -> None:
    with pytest.raises(ArtifactError, match=sentence) as error:
        packed(tmp_path, estimator, data, **options)
    assert "\n" not in str(error.value)


def test_a_column_without_a_name_is_refused(tmp_path: Path) -> None:
    nameless = FRAME.rename(columns={"a": ""})
    fitted = LogisticRegression().fit(nameless, Y)
    for data in (nameless, None):
        refused(tmp_path, fitted, data, "One of the columns has no name, .* give it one before fitting")
    refused(tmp_path, LogisticRegression().fit(FRAME.to_numpy(), Y), nameless, "One of the columns has no name")


def answered(tmp_path: Path, found: Packed, data: Path) -> list[Any]:
    predict_file(found.artifact, data, tmp_path / "answers.csv")
    return pd.read_csv(tmp_path / "answers.csv")["prediction"].tolist()


@pytest.mark.parametrize("gaps", [False, True])
@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_zeros_and_ones_that_are_declared_to_be_truth_are_so_for_pack_and_predict_alike(
    tmp_path: Path, ending: str, gaps: bool
) -> None:
    truth = FRAME.assign(b=(FRAME["b"] > 0).astype(object))
    bits = FRAME.assign(b=(FRAME["b"] > 0).astype(int))
    if gaps:
        truth.loc[:9, "b"] = None
        bits.loc[:9, "b"] = np.nan
    fitted = truth.assign(b=truth["b"].astype(float if gaps else bool))
    estimator = HistGradientBoostingClassifier(max_iter=5, min_samples_leaf=2).fit(
        fitted, truth["b"].fillna(True).astype(int)
    )
    data = tmp_path / f"data.{ending}"
    if ending == "csv":
        bits.to_csv(data, index=False)
    else:
        pytest.importorskip("pyarrow")
        bits.to_parquet(data)
    found = packed(tmp_path, estimator, data, declarations={"b": Declaration(type="boolean")})
    assert found.artifact.signature.columns[1].type == "boolean"
    assert answered(tmp_path, found, data) == estimator.predict(fitted).tolist()


def test_words_that_are_declared_to_be_truth_are_not_all_true(tmp_path: Path) -> None:
    words = FRAME.assign(b=np.where(FRAME["b"] > 0, "yes", "no"))
    words.to_csv(tmp_path / "data.csv", index=False)
    estimator = LogisticRegression().fit(FRAME.assign(b=FRAME["b"] > 0), Y)
    declarations = {"b": Declaration(type="boolean")}
    for data in (words, words.assign(b=2), tmp_path / "data.csv"):
        refused(
            tmp_path,
            estimator,
            data,
            "'b' cannot be read as boolean: it holds .*, which is neither 0 and 1",
            declarations=declarations,
        )


@pytest.mark.parametrize("whole", [True, False])
def test_digits_are_text_where_the_estimator_takes_text(tmp_path: Path, whole: bool) -> None:
    texts = pd.DataFrame({"code": ["007", "12", "3"] * 20, "a": np.arange(60.0)})
    union = FeatureUnion(
        [("whole", CountVectorizer(token_pattern=r"\S+")), ("parts", TfidfVectorizer(analyzer="char"))]
    )
    if whole:
        asked: Any = texts["code"]
        estimator = make_pipeline(union, LogisticRegression()).fit(asked, asked == "007")
        texts = texts[["code"]]
    else:
        asked = texts
        estimator = make_pipeline(
            make_column_transformer((union, "code"), remainder="passthrough"), LogisticRegression()
        )
        estimator.fit(texts, texts["code"] == "007")
    texts.to_csv(tmp_path / "data.csv", index=False)
    found = packed(tmp_path, estimator, tmp_path / "data.csv")
    assert found.artifact.signature.columns[0].type == "string"
    assert answered(tmp_path, found, tmp_path / "data.csv") == estimator.predict(asked).tolist()


def two_classes(y: Any, scores: Any) -> Any:
    shares = 1 / (1 + np.exp(-scores))
    return shares - y, shares * (1 - shares)


def three_classes(y: Any, scores: Any) -> Any:
    return scores + 0.5 - np.eye(3)[y.astype(int)], np.ones_like(scores)


@pytest.mark.filterwarnings("ignore:Cannot compute class probabilities")
@pytest.mark.parametrize(("objective", "classes"), [(two_classes, 2), (three_classes, 3)])
def test_scores_in_the_place_of_probabilities_are_refused(tmp_path: Path, objective: Any, classes: int) -> None:
    lightgbm = pytest.importorskip("lightgbm", exc_type=(ImportError, OSError))
    estimator = lightgbm.LGBMClassifier(objective=objective, n_estimators=2, verbose=-1).fit(
        FRAME, np.arange(60) % classes
    )
    sentence = f"predict_proba of LGBMClassifier does not answer a probability for each of its {classes} classes"
    refused(tmp_path, estimator, FRAME, sentence)


def test_where_no_value_explains_what_a_csv_changes_that_is_said() -> None:
    estimator = LogisticRegression().fit(FRAME, Y)
    model = Model(estimator, Signature.of(estimator))
    answers, notes = model.infer(FRAME), []
    others = Answers([1 - value for value in answers.predictions], answers.confidences, answers.probabilities)
    example_rows._compare_csv(model, RowValidator(model.signature, 100), FRAME, others, notes)
    assert notes == [
        "From a CSV, 60 of 60 rows would be answered otherwise or refused, although their values come back as they "
        "were: "
        "the estimator may answer a row otherwise than it did before"
    ]

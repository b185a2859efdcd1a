"""Signatures: what they accept of a manifest, and what is read off a bare estimator."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.feature_extraction.text import HashingVectorizer, TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from slipway.model.signature import Column, Signature
from tests.support.zoo import ZOO

X = np.array([[0.0, 1.0], [1.0, 0.0], [2.0, 5.0], [3.0, 4.0]] * 3)
Y = np.array([0, 0, 1, 1] * 3)


def of(name: str) -> Signature:
    return Signature.of(next(specimen for specimen in ZOO if specimen.name == name).estimator)


def test_a_signature_read_back_from_json_is_the_same() -> None:
    signature = Signature(
        input="frame",
        named=True,
        columns=(
            Column(
                name="age", nullable=True, minimum=0, exclusive_maximum=130, observed_minimum=1.5, observed_maximum=80
            ),
            Column(name="class", dtype="category", observed_categories=(1, 2, 3)),
            Column(
                name="sex", type="string", dtype="str", allowed=("female", "male"), description="As in the register"
            ),
        ),
        classes=[False, True],
        labels=["no", "yes"],
    )
    assert Signature.model_validate_json(signature.model_dump_json()) == signature
    assert Signature.model_validate_json(signature.model_dump_json(exclude_none=True)) == signature


@pytest.mark.parametrize("classes", [[0, 1], [0.0, 1.0], ["0", "1"], [False, True], [[0, 1], ["a", "b"]]])
def test_classes_keep_their_type_through_json(classes: list[Any]) -> None:
    read = Signature.model_validate_json(Signature(classes=classes).model_dump_json()).classes
    assert repr(read) == repr(classes)


@pytest.mark.parametrize(
    ("column", "sentence"),
    [
        ({"name": "a", "type": "string", "minimum": 1}, "only numbers have bounds"),
        ({"name": "a", "allowed": ["x"]}, "only strings can be listed"),
        ({"name": "a", "minimum": 2, "exclusive_maximum": 1}, "lower bound above its upper bound"),
        ({"name": "a", "type": "string", "allowed": []}, "at least 1 item"),
        ({"name": "", "type": "string"}, "at least 1 character"),
        ({"name": "a", "minimum": float("nan")}, "finite"),
        ({"name": "a", "maximun": 1}, "not permitted"),
    ],
)
def test_a_column_that_contradicts_itself_is_refused(column: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence):
        Column.model_validate(column)


@pytest.mark.parametrize(
    ("signature", "sentence"),
    [
        ({"columns": [{"name": "a"}, {"name": "a"}]}, "two columns have the same name"),
        ({"input": "frame"}, "input frame needs its columns"),
        ({"input": "text", "columns": [{"name": "a"}, {"name": "b"}]}, "a text model has exactly one column"),
        ({"classes": [0, 1], "labels": ["no"]}, "labels must be as many as classes"),
        ({"labels": ["no"]}, "labels must be as many as classes"),
        ({"classes": [0, 1], "labels": ["no", "no"]}, "two classes have the same label"),
    ],
)
def test_a_signature_that_contradicts_itself_is_refused(signature: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence):
        Signature.model_validate(signature)


def test_a_bare_estimator_tells_the_number_of_its_columns_and_its_classes() -> None:
    signature = of("logistic_regression")
    assert (signature.input, signature.named, signature.names) == ("array", False, ("x0", "x1", "x2", "x3"))
    assert {(column.type, column.nullable) for column in signature.columns or ()} == {("number", False)}
    assert (signature.classes, signature.labels) == ([0, 1, 2], ["0", "1", "2"])


def test_a_bare_estimator_fitted_on_a_frame_tells_its_columns() -> None:
    signature = of("named_columns")
    assert (signature.input, signature.named, signature.names) == ("frame", True, ("a", "b", "c", "d"))
    assert {column.type for column in signature.columns or ()} == {"number"}


@pytest.mark.parametrize("name", ["column_transformer", "hist_gradient_boosting_categories"])
def test_columns_of_unknown_types_take_anything(name: str) -> None:
    assert {(column.type, column.nullable) for column in of(name).columns or ()} == {("any", True)}


@pytest.mark.parametrize("name", ["text_pipeline", "text_hashing", "text_calibrated", "text_regression"])
def test_a_text_model_is_recognised(name: str) -> None:
    signature = of(name)
    assert (signature.input, signature.names) == ("text", ("text",))


def test_a_union_of_text_vectorizers_is_a_text_model() -> None:
    union = make_pipeline(
        FeatureUnion([("a", TfidfVectorizer()), ("b", HashingVectorizer())]), LogisticRegression()
    ).fit(["good film", "bad plot"], [0, 1])
    search = GridSearchCV(union, {"logisticregression__C": [1]}, cv=2).fit(["good film", "bad film"] * 2, [0, 1] * 2)
    assert {Signature.of(union).input, Signature.of(search).input} == {"text"}


def test_an_estimator_that_does_not_tell_its_width_has_no_columns() -> None:
    assert of("custom").columns is None


def test_columns_may_be_missing_where_the_estimator_takes_nan() -> None:
    filled = make_pipeline(SimpleImputer(), LogisticRegression()).fit(X, Y)
    passed_on = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, Y)
    taken = make_pipeline(StandardScaler(), HistGradientBoostingClassifier(max_iter=1)).fit(X, Y)
    nullable = [Signature.of(estimator).columns[0].nullable for estimator in (filled, passed_on, taken)]
    assert nullable == [True, False, True]
    assert all(column.nullable for column in of("hist_gradient_boosting_missing").columns or ())


def test_a_passthrough_step_hides_nothing() -> None:
    frame = pd.DataFrame(X, columns=["a", "b"])
    pipeline = make_pipeline("passthrough", StandardScaler(), LogisticRegression())
    assert Signature.of(pipeline.fit(frame, Y)).names == ("a", "b")
    assert Signature.of(pipeline.fit(X, Y)).names == ("x0", "x1")


def test_columns_of_strings_in_an_array_take_anything() -> None:
    words = np.array([["a"], ["b"]] * 3, dtype=object)
    encoded = make_pipeline(OneHotEncoder(), LogisticRegression()).fit(words, [0, 1] * 3)
    transformed = make_pipeline(FunctionTransformer(np.exp), LogisticRegression()).fit(X, Y)
    assert [column.type for column in Signature.of(encoded).columns or ()] == ["any"]
    assert {column.type for column in Signature.of(transformed).columns or ()} in ({"number"}, set())


@pytest.mark.parametrize(
    ("name", "classes"),
    [
        ("forest_two_outputs", [[0, 1, 2], [0, 1]]),
        ("multi_output_str", [["setosa", "versicolor", "virginica"], ["a", "b"]]),
        ("one_vs_rest_multilabel", [[0, 1]] * 3),
        ("perceptron_multilabel", [[0, 1]] * 3),
        ("ridge_multilabel", [[0, 1]] * 3),
        ("classifier_chain", [[0, 1]] * 3),
        ("gaussian_mixture", [0, 1, 2]),
        ("logistic_regression_bool_labels", [False, True]),
        ("k_means", None),
        ("linear_regression", None),
        ("isolation_forest", None),
    ],
)
def test_classes_are_in_the_order_of_the_probabilities(name: str, classes: Any) -> None:
    assert repr(of(name).classes) == repr(classes)


def test_the_indicators_of_xgboost_are_several_outputs() -> None:
    pytest.importorskip("xgboost")
    assert of("xgboost_multilabel").classes == [[0, 1]] * 3
    assert of("xgboost_two_classes").classes == [0, 1]


def test_labels_are_the_classes_as_json_writes_them() -> None:
    assert of("logistic_regression_bool_labels").labels == ["false", "true"]
    assert of("logistic_regression_float_labels").labels == ["0.0", "1.0", "2.0"]
    assert of("linear_svc").labels == ["setosa", "versicolor", "virginica"]


def test_a_prediction_has_its_label() -> None:
    signature = Signature(classes=[0, 1], labels=["no", "yes"])
    assert signature.label(1) == "yes"
    assert signature.by_label([0.25, 0.75]) == {"no": 0.25, "yes": 0.75}
    assert signature.label(7) is None
    assert signature.by_label(None) is None


def test_several_outputs_have_a_label_each() -> None:
    estimator = MultiOutputClassifier(LogisticRegression()).fit(X, np.column_stack([Y, 1 - Y]))
    signature = Signature.of(estimator).model_copy(update={"labels": [["low", "high"], ["out", "in"]]})
    assert signature.label([1, 0]) == ["high", "out"]
    assert signature.by_label([[0.1, 0.9], [0.8, 0.2]]) == [{"low": 0.1, "high": 0.9}, {"out": 0.8, "in": 0.2}]


def test_a_number_has_no_label() -> None:
    assert Signature().label(1.5) is None
    assert Signature().label([1.5, 2.5]) is None
    assert Signature().by_label(None) is None

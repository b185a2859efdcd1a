"""Every estimator of the zoo answers as scikit-learn itself does, alone and in a batch, in valid JSON."""

import json
import pickle
import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.cluster import DBSCAN, AgglomerativeClustering
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_iris
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.neighbors import KNeighborsClassifier, LocalOutlierFactor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from slipway.errors import ArtifactError, InvalidBody, RefusedByModel
from slipway.model.estimator import Answers, Model, require_predict
from slipway.model.rows import RowValidator
from slipway.model.signature import Column, Signature
from tests.support.zoo import ROWS, ZOO, Specimen


@pytest.fixture(params=ZOO, ids=lambda specimen: specimen.name)
def specimen(request: pytest.FixtureRequest) -> Specimen:
    if request.param.requires:
        pytest.importorskip(request.param.requires, exc_type=(ImportError, OSError))
    return request.param  # type: ignore[no-any-return]


def served(specimen: Specimen) -> tuple[Model, RowValidator]:
    """As a bare model is served: by the signature that the estimator tells itself."""
    signature = Signature.of(specimen.estimator)
    return Model(specimen.estimator, signature), RowValidator(signature, ROWS)


def answer(specimen: Specimen, rows: list[list[Any]]) -> Answers:
    model, validator = served(specimen)
    return model.infer(validator.instances(rows).data)


def test_the_zoo_is_large() -> None:
    assert len(ZOO) >= 30
    assert len({specimen.name for specimen in ZOO}) == len(ZOO)


def test_predictions_are_those_of_scikit_learn(specimen: Specimen) -> None:
    expected = np.asarray(specimen.estimator.predict(specimen.data))
    if expected.ndim == 2 and expected.shape[1] == 1:
        expected = expected[:, 0]
    predictions = answer(specimen, specimen.rows).predictions
    if expected.dtype.kind == "f":
        np.testing.assert_allclose(predictions, expected, rtol=1e-9)
    else:
        assert predictions == expected.tolist()


def test_probabilities_are_those_of_scikit_learn(specimen: Specimen) -> None:
    answers = answer(specimen, specimen.rows)
    if not hasattr(specimen.estimator, "predict_proba"):
        assert answers.probabilities is None
        assert set(np.ravel(np.array(answers.confidences, dtype=object))) == {None}
        return
    expected = specimen.estimator.predict_proba(specimen.data)
    assert answers.probabilities is not None
    if not Signature.of(specimen.estimator).multi_output:
        np.testing.assert_allclose(answers.probabilities, expected, rtol=0, atol=1e-9)
    elif isinstance(expected, list):
        for output, of_output in enumerate(expected):
            np.testing.assert_allclose([row[output] for row in answers.probabilities], of_output, rtol=0, atol=1e-9)
    else:  # one column per output, the probability of its second class
        np.testing.assert_allclose(np.array(answers.probabilities)[:, :, 1], expected, rtol=0, atol=1e-9)


def test_confidence_is_the_probability_of_the_predicted_class(specimen: Specimen) -> None:
    answers = answer(specimen, specimen.rows)
    if answers.probabilities is None:
        return
    signature = Signature.of(specimen.estimator)
    for prediction, confidence, probabilities in zip(
        answers.predictions, answers.confidences, answers.probabilities, strict=True
    ):
        labels, named = signature.label(prediction), signature.by_label(probabilities)
        if signature.multi_output:
            assert confidence == [by_label[label] for label, by_label in zip(labels, named, strict=True)]
        else:
            assert confidence == named[labels]


def test_answers_are_strict_json(specimen: Specimen) -> None:
    answers = answer(specimen, specimen.rows)
    values = [answers.predictions, answers.confidences, answers.probabilities]
    assert json.loads(json.dumps(values, allow_nan=False)) == values


def test_one_row_is_answered_as_the_same_row_in_a_batch(specimen: Specimen) -> None:
    model, validator = served(specimen)
    batch = model.infer(validator.instances(specimen.rows).data)
    for i in range(0, len(specimen.rows), 5):
        alone = model.infer(validator.features(specimen.rows[i]).data)
        assert_close(alone, batch.take([i]))


def assert_close(one: Answers, other: Answers) -> None:
    if isinstance(np.ravel(np.array(one.predictions, dtype=object))[0], float):
        np.testing.assert_allclose(one.predictions, other.predictions, rtol=1e-9)
    else:
        assert one.predictions == other.predictions
    assert (one.probabilities is None) == (other.probabilities is None)
    if one.probabilities is not None:
        np.testing.assert_allclose(flat(one.probabilities), flat(other.probabilities or []), rtol=0, atol=1e-9)


def flat(values: list[Any]) -> list[float]:
    return [part for value in values for part in (flat(value) if isinstance(value, list) else [value])]


def test_rows_by_name_are_answered_as_rows_in_order(specimen: Specimen) -> None:
    model, validator = served(specimen)
    names = model.signature.names
    if names is None:
        with pytest.raises(InvalidBody, match="no names"):
            validator.row({"x0": 1.0})
        return
    by_name = [dict(zip(names, row, strict=True)) for row in specimen.rows]
    shuffled = [dict(reversed(row.items())) for row in by_name]
    assert model.infer(validator.instances(shuffled).data) == model.infer(validator.instances(specimen.rows).data)


def test_a_pickled_model_answers_the_same(specimen: Specimen) -> None:
    model, validator = served(specimen)
    data = validator.instances(specimen.rows).data
    answers = model.infer(data)
    assert pickle.loads(pickle.dumps(model)).infer(data) == answers
    assert pickle.loads(pickle.dumps(answers)) == answers


# On a coarse grid ties and near ties are common: there one call of predict_proba must not decide alone.
GRID = st.integers(-4, 16).map(lambda halves: halves / 2)
WIDELY_ASKED = [
    *(
        "logistic_regression",
        "random_forest",
        "gradient_boosting",
        "hist_gradient_boosting_missing",
        "k_neighbors",
        "bernoulli_naive_bayes",
    ),
    *(
        "multilayer_perceptron",
        "bagging",
        "ada_boost",
        "svc_probability",
        "sgd_modified_huber",
        "forest_two_outputs",
        "gaussian_mixture",
    ),
]


@pytest.mark.parametrize("name", WIDELY_ASKED)
@settings(max_examples=12, deadline=None)
@given(rows=st.lists(st.lists(GRID, min_size=4, max_size=4), min_size=1, max_size=12))
def test_any_row_is_answered_as_predict_answers_it(name: str, rows: list[list[float]]) -> None:
    specimen = next(specimen for specimen in ZOO if specimen.name == name)
    model, validator = served(specimen)
    answers = model.infer(validator.instances(rows).data)
    assert answers.predictions == specimen.estimator.predict(np.array(rows)).tolist()
    for i, row in enumerate(rows):
        alone = model.infer(validator.features(row).data)
        assert alone.predictions == specimen.estimator.predict(np.array([row])).tolist()
        assert_close(alone, answers.take([i]))


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("linear_svc", "classifier"),
        ("grid_search", "classifier"),
        ("fixed_threshold", "classifier"),
        ("text_pipeline", "classifier"),
        ("ridge_two_targets", "regressor"),
        ("k_means", "clusterer"),
        ("gaussian_mixture", "clusterer"),
        ("isolation_forest", "outlier_detector"),
        ("xgboost_classifier", "classifier"),
        ("lightgbm_regressor", "regressor"),
    ],
)
def test_a_model_knows_its_kind(name: str, kind: str) -> None:
    found = next(specimen for specimen in ZOO if specimen.name == name)
    if found.requires:
        pytest.importorskip(found.requires, exc_type=(ImportError, OSError))
    assert served(found)[0].kind == kind


class Counting(LogisticRegression):
    """Notes which of its methods are called."""

    def predict(self, X: Any) -> Any:
        self.calls_.append("predict")
        return super().predict(X)

    def predict_proba(self, X: Any) -> Any:
        self.calls_.append("predict_proba")
        return super().predict_proba(X)


def test_a_trusted_type_is_called_once_and_a_subclass_of_it_twice() -> None:
    X, y = load_iris(return_X_y=True)
    trusted = type("LogisticRegression", (Counting,), {"__module__": "sklearn.linear_model._logistic"})
    for kind, calls in ((Counting, ["predict", "predict_proba"]), (trusted, ["predict_proba"])):
        estimator = make_pipeline(StandardScaler(), kind()).fit(X, y)
        estimator[-1].calls_ = []
        Model(estimator, Signature.of(estimator)).infer(X[:2])
        assert estimator[-1].calls_ == calls


def test_predict_decides_a_tie() -> None:
    X = np.array([[0.0], [1.0]] * 4)
    estimator = KNeighborsClassifier(2).fit(X[:2], ["a", "b"])
    assert (
        Model(estimator, Signature.of(estimator)).infer(np.array([[0.5]])).predictions
        == estimator.predict([[0.5]]).tolist()
    )


def test_a_nested_estimator_is_held_to_one_thread() -> None:
    found = next(specimen for specimen in ZOO if specimen.name == "grid_search_forest").estimator
    found.best_estimator_.n_jobs = 4
    for tree in found.best_estimator_.estimators_:
        tree.n_jobs = 4
    Model(found, Signature.of(found))
    assert found.best_estimator_.n_jobs == 1
    assert {tree.n_jobs for tree in found.best_estimator_.estimators_} == {1}
    assert found.n_jobs in (None, 1)


def test_a_model_fitted_on_names_answers_without_a_warning() -> None:
    specimen = next(specimen for specimen in ZOO if specimen.name == "named_columns")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        answer(specimen, specimen.rows)


class Peculiar(RegressorMixin, BaseEstimator):
    """Answers what it was told to, whatever the rows are."""

    def __init__(self, answer: Any = None) -> None:
        self.answer = answer

    def fit(self, X: Any, _: Any = None) -> "Peculiar":
        self.n_features_in_ = X.shape[1]
        return self

    def predict(self, _: Any) -> Any:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


ONE_ROW = np.zeros((1, 2))


def peculiar(value: Any) -> Model:
    estimator = Peculiar(value).fit(ONE_ROW)
    return Model(estimator, Signature.of(estimator))


@pytest.mark.parametrize(
    ("answered", "prediction"),
    [
        (np.array([np.nan]), None),
        (np.array([np.inf]), None),
        (np.array([[1.0, np.nan]]), [1.0, None]),
        (np.array([np.float32(0.5)]), 0.5),
        (np.array([True]), True),
        (np.array(["2026-01-01"], dtype="datetime64[D]"), "2026-01-01"),
        (np.array([np.int64(3)], dtype=object), 3),
        (np.array(["a", None][:1], dtype=object), "a"),
        ([7], 7),
        (np.array([[2.5]]), 2.5),
    ],
)
def test_every_answer_becomes_a_json_value(answered: Any, prediction: Any) -> None:
    answers = peculiar(answered).infer(ONE_ROW)
    assert answers.predictions == [prediction]
    assert type(answers.predictions[0]) is type(prediction)


@pytest.mark.parametrize(
    "answered", [np.array([1], dtype="timedelta64[D]"), np.array([1j]), np.array([{}], dtype=object)]
)
def test_an_answer_that_json_cannot_hold_is_an_error(answered: Any) -> None:
    with pytest.raises(TypeError, match="JSON cannot hold"):
        peculiar(answered).infer(ONE_ROW)


def test_answers_for_another_number_of_rows_are_an_error() -> None:
    with pytest.raises(RuntimeError, match="Peculiar answered 2 rows for 1"):
        peculiar(np.zeros(2)).infer(ONE_ROW)


def test_a_failure_that_the_rows_do_not_explain_is_the_servers() -> None:
    with pytest.raises(ValueError, match="broken"):
        peculiar(ValueError("broken")).infer(ONE_ROW)


@pytest.mark.parametrize(
    ("estimator", "value"),
    [
        (RandomForestClassifier(3, random_state=0), 1e300),
        (RandomForestClassifier(3, random_state=0), -1e308),
        (make_pipeline(StandardScaler(), LogisticRegression()), 1e308),
    ],
)
def test_finite_values_that_no_estimator_can_compute_with_are_refused(estimator: Any, value: float) -> None:
    estimator.fit(*load_iris(return_X_y=True))
    model = Model(estimator, Signature.of(estimator))
    with pytest.raises(RefusedByModel, match=r"x1 lies too far outside") as refused:
        model.infer(np.array([[5.0, value, 1.0, 1.0]]))
    assert refused.value.status == 400
    assert str(value) not in refused.value.detail


def test_values_that_make_the_answer_infinite_are_refused() -> None:
    estimator = LinearRegression().fit([[0.0], [1.0]], [0.0, 10.0])
    with pytest.raises(RefusedByModel):
        Model(estimator, Signature.of(estimator)).infer(np.array([[1e308]]))


def test_values_far_outside_of_what_was_observed_are_refused_where_the_estimator_fails() -> None:
    estimator = make_pipeline(FunctionTransformer(np.exp), LogisticRegression()).fit([[0.0], [1.0]], [0, 1])
    signature = Signature(
        columns=(Column(name="a", observed_minimum=0, observed_maximum=1),), classes=[0, 1], labels=["0", "1"]
    )
    model = Model(estimator, signature)
    assert model.infer(np.array([[5.0]])).predictions == [1]
    with pytest.raises(RefusedByModel, match="a lies too far outside"):
        model.infer(np.array([[1000.0]]))


def test_an_unknown_category_is_refused_where_the_estimator_fails() -> None:
    frame = pd.DataFrame({"color": ["red", "blue"] * 3})
    estimator = make_pipeline(OneHotEncoder(handle_unknown="error"), LogisticRegression()).fit(frame, [0, 1] * 3)
    columns = (Column(name="color", type="string", dtype="str", observed_categories=("blue", "red")),)
    signature = Signature(input="frame", named=True, columns=columns, classes=[0, 1], labels=["0", "1"])
    model, validator = Model(estimator, signature), RowValidator(signature, 10)
    assert model.infer(validator.features(["red"]).data).predictions == [0]
    with pytest.raises(RefusedByModel, match="color may hold a category"):
        model.infer(validator.instances([["red"], ["green"]]).data)
    bare = Signature.of(estimator)  # nothing is known of its columns
    green = RowValidator(bare, 10).features(["green"])
    with pytest.raises(RefusedByModel, match="nothing tells the types"):
        Model(estimator, bare).infer(green.data)


def test_a_missing_integer_beside_an_unknown_category_does_not_hide_it() -> None:
    frame = pd.DataFrame({"n": pd.array([1, None] * 3, dtype="Int64"), "color": ["red", "blue"] * 3})
    columns = make_column_transformer((OneHotEncoder(handle_unknown="error"), ["color"]))
    estimator = make_pipeline(columns, LogisticRegression()).fit(frame, [0, 1] * 3)
    known = Column(name="color", type="string", dtype="str", observed_categories=("blue", "red"))
    signature = Signature(input="frame", named=True, columns=(Column(name="n", dtype="Int64", nullable=True), known))
    model, validator = Model(estimator, signature), RowValidator(signature, 10)
    with pytest.raises(RefusedByModel, match="color may hold a category"):
        model.infer(validator.features([None, "green"]).data)
    failing = Model(Peculiar(ValueError("broken")), signature)
    with pytest.raises(ValueError, match="broken"):
        failing.infer(validator.features([None, "red"]).data)


def test_a_wrong_width_is_refused_where_the_estimator_does_not_tell_its_own() -> None:
    specimen = next(specimen for specimen in ZOO if specimen.name == "custom")
    with pytest.raises(RefusedByModel, match="check their number"):
        answer(specimen, [[1.0, 2.0, 3.0]])


def test_missing_values_reach_an_estimator_that_takes_them() -> None:
    X, y = load_iris(return_X_y=True)
    estimator = HistGradientBoostingClassifier(max_iter=3).fit(X, y)
    signature = Signature.of(estimator)
    answers = Model(estimator, signature).infer(RowValidator(signature, 1).features([None, 3.0, None, 0.2]).data)
    assert answers.predictions == estimator.predict([[np.nan, 3.0, np.nan, 0.2]]).tolist()


@pytest.mark.parametrize(
    ("estimator", "sentence"),
    [
        (DBSCAN().fit([[0.0], [1.0]]), "DBSCAN has no predict: it only labels the data it was fitted on"),
        (AgglomerativeClustering().fit([[0.0], [1.0]]), "AgglomerativeClustering has no predict"),
        (
            LocalOutlierFactor(2).fit([[0.0], [1.0], [2.0]]),
            "LocalOutlierFactor has no predict: fit it with novelty=True",
        ),
        (make_pipeline(StandardScaler(), DBSCAN()).fit([[0.0], [1.0]]), "Pipeline has no predict: it only labels"),
        (StandardScaler().fit([[0.0], [1.0]]), "StandardScaler has no predict"),
        ({"model": None}, "dict has no predict"),
        (LogisticRegression, "the class LogisticRegression"),
        (LogisticRegression(), "LogisticRegression is not fitted"),
        (make_pipeline(StandardScaler(), LogisticRegression()), "Pipeline is not fitted"),
    ],
)
def test_what_cannot_predict_is_refused_with_a_sentence(estimator: Any, sentence: str) -> None:
    with pytest.raises(ArtifactError, match=sentence):
        require_predict(estimator)


def test_answers_are_taken_and_put_together_by_row() -> None:
    answers = Answers([0, 1, 2], [0.5, 0.6, 0.7], [[0.5], [0.6], [0.7]])
    assert answers.take([2, 0]) == Answers([2, 0], [0.7, 0.5], [[0.7], [0.5]])
    assert Answers.concat([answers.take([0]), answers.take([1, 2])]) == answers
    assert Answers.concat([answers]) == answers
    assert Answers.concat([Answers([1], [None]), Answers([2], [None])]) == Answers([1, 2], [None, None])


class NoTags(ClassifierMixin):
    """Not derived from BaseEstimator: it has no tags."""

    classes_ = ("no", "yes")

    def predict(self, X: Any) -> Any:
        return ["yes"] * len(X)


def test_an_estimator_of_no_known_kind_is_served() -> None:
    model = Model(NoTags(), Signature.of(NoTags()))
    assert model.kind == "classifier"
    assert model.infer(np.zeros((2, 3))) == Answers(["yes", "yes"], [None, None])


def test_other_libraries_predict_with_one_thread() -> None:
    pytest.importorskip("xgboost", exc_type=(ImportError, OSError))
    pytest.importorskip("lightgbm", exc_type=(ImportError, OSError))
    forest = next(specimen for specimen in ZOO if specimen.name == "xgboost_regressor_missing").estimator
    trees = next(specimen for specimen in ZOO if specimen.name == "lightgbm_regressor").estimator
    trees.n_jobs = None  # all cores
    for estimator in (forest, trees):
        Model(estimator, Signature.of(estimator))
    assert forest.n_jobs == trees.n_jobs == 1
    assert json.loads(forest.get_booster().save_config())["learner"]["generic_param"]["nthread"] == "1"

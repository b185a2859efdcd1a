"""Every estimator of the zoo either gets a form that is proven, or a reason; and a wrong form is never proven."""

from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from slipway.model.answers import Answers
from slipway.model.compiled.model import CompiledModel, difference, read
from slipway.model.estimator import Model
from slipway.model.rows import RowValidator
from slipway.packing.compiling import compilation
from slipway.packing.compiling.compilation import Compilation, compile_model
from tests.support.forms import GRAPH, LINEAR
from tests.support.signed import Rows, fitted, signed
from tests.support.zoo import ZOO, Specimen, iris

REASONS = {  # for the others: a part of the sentence
    "ada_boost": "float32",
    "bayesian_mixture": "skl2onnx cannot convert BayesianGaussianMixture",
    "classifier_chain": "several outputs",
    "custom": "types of its columns",
    "dummy": "no counterpart of DummyClassifier",
    "elliptic_envelope": "no counterpart of EllipticEnvelope",
    "fixed_threshold": "no counterpart of FixedThresholdClassifier",
    "forest_two_outputs": "several outputs",
    "gaussian_mixture": "skl2onnx cannot convert GaussianMixture",
    "gaussian_process": "cannot be compiled",
    "grid_search": "float32",
    "k_means": "is not proven",
    "k_neighbors": "equal distances",
    "k_neighbors_by_distance": "equal distances",
    "k_neighbors_multilabel": "several outputs",
    "k_neighbors_regressor": "equal distances",
    "label_propagation": "no counterpart of LabelPropagation",
    "local_outlier_factor": "equal distances",
    "mean_shift": "no counterpart of MeanShift",
    "multi_output_regressor": "float32",
    "multi_output_str": "several outputs",
    "multi_output_without_probabilities": "several outputs",
    "one_class_svm": "float32",
    "one_vs_rest_multilabel": "several outputs",
    "output_code": "no counterpart of OutputCodeClassifier",
    "perceptron_multilabel": "several outputs",
    "ridge_multilabel": "several outputs",
    "sgd_modified_huber": "modified_huber",
    "svc_probability": "float32",
    "text_calibrated": "texts",
    "text_hashing": "texts",
    "text_pipeline": "texts",
    "text_regression": "texts",
    "voting_hard": "float32",
    "xgboost_multilabel": "3 outputs",
}


@pytest.fixture(autouse=True)
def _no_long_measurement(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compilation, "SECONDS", 0.005)
    monkeypatch.setattr(compilation, "QUICKER", 0.0)  # so short a time, on a busy machine, says little
    monkeypatch.setattr(compilation, "NO_SLOWER", 0.0)


def compiled(model: Model, rows: Rows) -> tuple[Compilation, CompiledModel]:
    compilation = compile_model(model, rows)
    assert compilation.form is not None, compilation.reason
    return compilation, read(compilation.form.form, compilation.content, model.signature)


def gap(answers: Answers, expected: Answers) -> float:
    return difference(
        [answers.predictions, answers.confidences, answers.probabilities],
        [expected.predictions, expected.confidences, expected.probabilities],
    )


def test_the_lists_above_name_every_specimen_once() -> None:
    named = [*LINEAR, *GRAPH, *REASONS]
    assert sorted(named) == sorted(specimen.name for specimen in ZOO)


@pytest.mark.parametrize("specimen", ZOO, ids=lambda specimen: specimen.name)
def test_a_form_is_proven_or_the_reason_is_told(specimen: Specimen) -> None:
    model, rows = signed(specimen.estimator, specimen.data)
    found = compile_model(model, rows)
    if specimen.name in REASONS:
        assert found.form is None
        assert REASONS[specimen.name] in found.reason
        return
    assert found.form is not None, found.reason
    assert found.form.form == ("linear" if specimen.name in LINEAR else "onnx")
    assert found.form.bound <= (1e-5 if "xgboost" in specimen.name else 1e-7)
    form = read(found.form.form, found.content, model.signature)
    expected = model.infer(RowValidator(model.signature, len(rows)).instances(rows).data)
    assert gap(form.infer(rows), expected) < found.form.bound
    for i, row in enumerate(rows):
        prediction, confidence, probabilities = form.infer_row(row)
        assert (
            gap(
                Answers([prediction], [confidence], None if probabilities is None else [probabilities]),
                expected.take([i]),
            )
            < found.form.bound
        )


def test_a_forest_answers_bit_for_bit_as_scikit_learn_does() -> None:
    X, y = iris()
    model, rows = signed(fitted(RandomForestClassifier(30, min_samples_leaf=3, random_state=0), X, y), X)
    _, form = compiled(model, rows)
    asked = np.random.default_rng(1).uniform(0, 8, (2000, 4))
    answers, expected = form.infer(asked), model.infer(asked)
    assert answers.probabilities == expected.probabilities
    assert answers.predictions == expected.predictions


def test_trees_behind_a_scaler_split_where_the_scaled_ones_did() -> None:
    X, y = iris()
    model, rows = signed(fitted(make_pipeline(StandardScaler(), RandomForestClassifier(10, random_state=0)), X, y), X)
    found, _ = compiled(model, rows)
    assert found.form is not None
    assert found.form.bound == 1e-12


def test_splits_at_zero_of_lightgbm_take_tiny_numbers_for_zero_as_it_does() -> None:
    lightgbm = pytest.importorskip("lightgbm", exc_type=(ImportError, OSError))
    random = np.random.default_rng(0)
    X = np.column_stack([random.normal(size=500), np.where(random.random(500) < 0.5, 0, random.normal(size=500) * 100)])
    estimator = lightgbm.LGBMClassifier(n_estimators=20, verbose=-1).fit(X, X[:, 0] + X[:, 1] / 100 > 0)
    zero = float(np.float32(1e-35))  # kZeroThreshold of LightGBM
    assert f"{-zero}" in estimator.booster_.model_to_string()  # or this tests nothing
    model, rows = signed(estimator, X)
    _, form = compiled(model, rows)
    tiny = [
        value * sign
        for value in (0.0, 1e-300, np.nextafter(zero, 0), zero, np.nextafter(zero, 1), 1e-30)
        for sign in (1, -1)
    ]
    asked = np.array([[first, second] for first in (-1.0, 0.0, 1.0) for second in tiny])
    answers, expected = form.infer(asked), model.infer(asked)
    assert answers.predictions == expected.predictions
    assert gap(answers, expected) < 1e-12


def test_a_form_that_is_not_quicker_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compilation, "QUICKER", 1e9)
    model, rows = signed(fitted(LogisticRegression(), *iris()), iris()[0])
    found = compile_model(model, rows)
    assert found.form is None
    assert "not worth it" in found.reason


def test_without_the_packages_for_graphs_linear_models_compile_and_others_say_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(compilation, "graph", None)
    monkeypatch.setattr(compilation, "converted", None)
    X, y = iris()
    assert compile_model(*signed(fitted(LogisticRegression(), X, y), X)).form is not None
    found = compile_model(*signed(fitted(RandomForestClassifier(3), X, y), X))
    assert found.form is None
    assert "slipway-serve[compile]" in found.reason


def test_an_estimator_with_unexpected_attributes_is_a_reason_and_no_error() -> None:
    X, y = iris()
    estimator: Any = fitted(LogisticRegression(), X, y)
    model, rows = signed(estimator, X)
    del estimator.coef_
    assert "cannot be compiled: AttributeError" in compile_model(model, rows).reason

"""What skl2onnx does not convert is told by its name, and nothing of it warns."""

import warnings
from typing import Any

import pandas as pd
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cross_decomposition import PLSRegression
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PowerTransformer, SplineTransformer
from sklearn.svm import SVR

from slipway.packing.compiling import compilation
from slipway.packing.compiling.compilation import compile_model
from tests.support.signed import fitted, signed
from tests.support.zoo import iris, lightgbm


@pytest.mark.parametrize(
    ("estimator", "sentence"),
    [
        (make_pipeline(SplineTransformer(), LogisticRegression()), "ONNX has no counterpart of SplineTransformer"),
        (
            make_pipeline(PowerTransformer(), LogisticRegression()),
            "skl2onnx cannot convert Pipeline, or a part of it: RuntimeError",
        ),
        (SVR(), "ONNX Runtime computes its SVMRegressor in float32, which could change an answer"),
    ],
)
def test_a_reason_names_what_is_in_the_way_and_not_how_it_failed(estimator: Any, sentence: str) -> None:
    X, y = iris()
    assert compile_model(*signed(fitted(estimator, X, y), X)).reason.split("; ")[-1] == sentence


def test_what_is_not_scikit_learns_is_named_too() -> None:
    pytest.importorskip("lightgbm", exc_type=(ImportError, OSError))
    X, y = iris()
    found = compile_model(*signed(CalibratedClassifierCV(lightgbm("LGBMClassifier"), cv=2).fit(X, y), X))
    assert found.reason == "ONNX has no counterpart of LGBMClassifier"


def test_an_estimator_that_was_fitted_on_a_data_frame_is_compiled_without_a_warning(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(compilation, "SECONDS", 0.005)
    X, y = iris()
    frame = pd.DataFrame(X, columns=["a", "b", "c", "d"])
    estimator = PLSRegression(2).fit(frame, y)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert compile_model(*signed(estimator, frame)).reason == ""
    assert caught == []

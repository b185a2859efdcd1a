"""The zoo, packed as joblib and as skops, gives the same answers; as ONNX, where it converts, the same to float32."""

from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
import skops.io
from skl2onnx import to_onnx

from slipway.errors import ArtifactError
from slipway.model.artifact import Artifact, open_model
from slipway.model.verify import NOBODY, Trusted
from slipway.packing.pack import pack
from tests.support.zoo import ZOO, Specimen

every_specimen = pytest.mark.parametrize("specimen", ZOO, ids=lambda specimen: specimen.name)
# What skl2onnx makes of them answers otherwise, in its own way: ties of neighbours, thresholds of an ensemble of trees.
# Graphs that onnxruntime cannot compute, that answer one row for forty, or whose probabilities are none.
REFUSED = {"gaussian_process", "quadratic_discriminant_analysis"}
# Whose graphs skl2onnx makes so that they answer otherwise: neighbours at no distance, a loss that it does not know.
CONVERTED_OTHERWISE = {"k_neighbors_by_distance", "sgd_modified_huber"}
OTHERWISE = 0.05  # of the rows, at the most


def packed(source: Path, specimen: Specimen, trusted: Trusted = NOBODY) -> Artifact:
    requires = specimen.requires
    if requires is not None:
        pytest.importorskip(requires, exc_type=(ImportError, OSError))
    data = specimen.data
    frame = data if isinstance(data, pd.DataFrame) else pd.DataFrame(np.asarray(data), columns=columns(data))
    made = pack(source, name="m", output=source.parent / "models", data=frame, force=True, trusted=trusted)
    return open_model(made.directory, trusted=trusted)


def columns(data: Any) -> list[str]:
    return ["text"] if isinstance(data, list) else [f"x{place}" for place in range(np.asarray(data).shape[1])]


def answered(artifact: Artifact, specimen: Specimen) -> Any:
    return artifact.model.infer(artifact.validator(len(specimen.rows)).instances(specimen.rows).data)


@every_specimen
def test_skops_answers_as_joblib(specimen: Specimen, tmp_path: Path) -> None:
    joblib.dump(specimen.estimator, tmp_path / "m.joblib")
    expected = answered(packed(tmp_path / "m.joblib", specimen), specimen)
    try:
        skops.io.dump(specimen.estimator, tmp_path / "m.skops")
    except Exception as error:
        pytest.skip(f"skops cannot write it: {error}")
    trusted = Trusted(tuple(skops.io.get_untrusted_types(file=tmp_path / "m.skops")))
    found = answered(packed(tmp_path / "m.skops", specimen, trusted), specimen)
    assert found.predictions == expected.predictions
    assert found.probabilities == expected.probabilities


@every_specimen
def test_onnx_answers_as_the_estimator_it_was_made_of(specimen: Specimen, tmp_path: Path) -> None:
    data, estimator = specimen.data, specimen.estimator
    if specimen.name in CONVERTED_OTHERWISE:
        pytest.skip("skl2onnx's graph answers otherwise")
    if not isinstance(data, np.ndarray) or data.dtype.kind != "f" or np.isnan(data).any():
        pytest.skip("not a matrix of numbers")
    options = {id(estimator): {"zipmap": False}} if hasattr(estimator, "predict_proba") else None
    try:
        made = to_onnx(estimator, data[:1].astype(np.float32), options=options, target_opset={"": 18, "ai.onnx.ml": 3})
    except Exception as error:
        pytest.skip(f"skl2onnx does not convert it: {type(error).__name__}")
    joblib.dump(estimator, tmp_path / "m.joblib")
    expected = answered(packed(tmp_path / "m.joblib", specimen), specimen)
    (tmp_path / "m.onnx").write_bytes(made.SerializeToString())
    if specimen.name in REFUSED:
        with pytest.raises(ArtifactError):
            packed(tmp_path / "m.onnx", specimen)
        return
    artifact = packed(tmp_path / "m.onnx", specimen)
    found = answered(artifact, specimen)
    one, other = np.asarray(found.predictions), np.asarray(expected.predictions)
    if one.dtype.kind == "f":
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-3)
    else:
        assert np.mean(one != other) <= OTHERWISE
    if found.probabilities is not None:
        assert artifact.signature.classes is not None
        difference = np.abs(np.asarray(found.probabilities) - np.asarray(expected.probabilities)).max(axis=-1)
        assert np.mean(difference > 1e-3) <= OTHERWISE

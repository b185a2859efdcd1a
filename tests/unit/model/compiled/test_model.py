"""What a server does with a compiled form: it verifies and proves it again, and tells why it cannot be used."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, PoissonRegressor

from slipway.errors import ArtifactError, RefusedByModel
from slipway.model.compiled import model as compiled
from slipway.model.compiled.model import CompiledForm, difference, load, read
from slipway.model.estimator import Model
from slipway.model.manifest import Example
from slipway.packing.compiling.columns import raw
from slipway.packing.compiling.linear import compile_linear
from tests.support.signed import Rows, fitted, signed
from tests.support.zoo import iris


def packed(directory: Path, bound: float = 1e-12) -> tuple[Model, Rows, CompiledForm, list[Example]]:
    X, y = iris(("setosa", "versicolor", "virginica"))
    model, rows = signed(fitted(LogisticRegression(max_iter=300), X, y), X)
    content = compile_linear(
        model.estimator, raw(len(model.signature.columns or ())), 4, model.signature.classes
    ).content
    form = CompiledForm(
        form="linear", digest="sha256:" + hashlib.sha256(content).hexdigest(), bound=bound, rows=len(rows)
    )
    (directory / form.file).write_bytes(content)
    answers = model.infer(X[:4])
    probabilities = answers.probabilities or []
    examples = [
        Example(features=rows[i], prediction=answers.predictions[i], probabilities=probabilities[i]) for i in range(4)
    ]
    return model, rows, form, examples


def test_a_form_that_answers_the_examples_is_loaded(tmp_path: Path) -> None:
    model, rows, form, examples = packed(tmp_path)
    found = load(tmp_path, form, model.signature, examples)
    assert found.form == "linear"
    assert found.infer(rows).predictions == model.infer(np.array(rows)).predictions


def test_another_file_than_the_one_that_was_proven_is_not_used(tmp_path: Path) -> None:
    model, _, form, examples = packed(tmp_path)
    (tmp_path / form.file).write_bytes((tmp_path / form.file).read_bytes() + b" ")
    with pytest.raises(ArtifactError, match="not the file that was proven"):
        load(tmp_path, form, model.signature, examples)


def test_a_file_that_is_gone_is_named(tmp_path: Path) -> None:
    model, _, form, examples = packed(tmp_path)
    (tmp_path / form.file).unlink()
    with pytest.raises(ArtifactError, match=r"model\.linear\.json cannot be read: No such file"):
        load(tmp_path, form, model.signature, examples)


@pytest.mark.parametrize("change", [{"prediction": "virginica"}, {"probabilities": [0.2, 0.3, 0.5]}, {"prediction": 2}])
def test_an_example_that_is_answered_otherwise_is_told(tmp_path: Path, change: dict[str, Any]) -> None:
    model, _, form, examples = packed(tmp_path)
    examples[2] = examples[2].model_copy(update=change)
    with pytest.raises(ArtifactError, match="example 2 of the manifest expects"):
        load(tmp_path, form, model.signature, examples)


def test_a_missing_runtime_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, _, form, examples = packed(tmp_path)
    graph = form.model_copy(update={"form": "onnx"})
    (tmp_path / form.file).rename(tmp_path / graph.file)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    for name in ("compiled.onnx_graph", "onnx_runtime"):
        monkeypatch.delitem(sys.modules, f"slipway.model.{name}", raising=False)
    with pytest.raises(ArtifactError, match="needs the Python module 'onnxruntime'"):
        load(tmp_path, graph, model.signature, examples)


def test_content_that_the_runtime_cannot_read_is_a_sentence(tmp_path: Path) -> None:
    model, _, form, examples = packed(tmp_path)
    (tmp_path / form.file).write_bytes(b"{}")
    other = form.model_copy(update={"digest": "sha256:" + hashlib.sha256(b"{}").hexdigest()})
    with pytest.raises(ArtifactError, match="cannot be used: KeyError"):
        load(tmp_path, other, model.signature, examples)


def test_a_linear_form_needs_neither_scikit_learn_nor_onnx_runtime() -> None:
    code = (
        "import sys, slipway.model.compiled.model; print(*{'sklearn', 'onnxruntime', 'pandas', 'scipy'} & "
        "set(sys.modules))"
    )
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert not loaded


def test_a_regression_without_a_number_answers_null_as_its_estimator_does() -> None:
    X = np.random.default_rng(0).normal(size=(60, 2))
    model, rows = signed(fitted(PoissonRegressor(alpha=0), X, np.exp(3 * X[:, 0])), X)
    candidate = compile_linear(model.estimator, raw(len(model.signature.columns or ())), 2, None)
    form = read(candidate.form, candidate.content, model.signature)
    unseen = model.signature.model_copy(
        update={
            "columns": tuple(
                column.model_copy(update={"observed_maximum": None}) for column in model.signature.columns or ()
            )
        }
    )
    lenient = read(candidate.form, candidate.content, unseen)
    far = [400.0, rows[0][1]]  # exp(1200) is no float
    assert Model(model.estimator, unseen).infer(np.array([far])).predictions == [None]
    assert lenient.infer_row(far) == (None, None, None)
    assert lenient.infer([rows[0], far]).predictions[1] is None
    with pytest.raises(RefusedByModel):
        model.infer(np.array([far]))
    with pytest.raises(RefusedByModel):
        form.infer_row(far)
    with pytest.raises(RefusedByModel):
        form.infer([rows[0], far])


@pytest.mark.parametrize(
    ("answer", "expected", "gap"),
    [
        (("a", [0.25, 0.75]), ("a", [0.25, 0.75]), 0.0),
        (("a", [0.25, 0.75]), ("a", [0.5, 0.5]), 0.25),
        (200.0, 100.0, 1.0),
        (0.5, 0.25, 0.25),
        ("a", "b", np.inf),
        (1, True, np.inf),
        (1, 1.0, np.inf),
        ([1.0], [1.0, 2.0], np.inf),
        (None, 1.0, np.inf),
        ([0.0, float("nan")], [0.0, 0.0], np.inf),
        ([float("nan"), 0.0], [0.0, 0.0], np.inf),
        ("refused", ("a", 1.0, [1.0]), np.inf),
    ],
)
def test_differences_are_of_numbers_and_anything_else_must_be_equal(answer: Any, expected: Any, gap: float) -> None:
    assert difference(answer, expected) == gap


def test_a_form_states_a_bound_of_at_most_1e_5() -> None:
    assert CompiledForm.model_validate_json(
        json.dumps({"form": "onnx", "digest": "sha256:" + "0" * 64, "bound": 1e-5, "rows": 1})
    )
    with pytest.raises(ValueError, match="bound"):
        CompiledForm(form="onnx", digest="sha256:" + "0" * 64, bound=2e-5, rows=1)
    assert compiled.LARGEST_BOUND == 1e-5

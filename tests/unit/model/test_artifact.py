"""Model directories: nothing runs before it is verified, and whatever is wrong is said in one sentence."""

import json
import os
import pickle
import re
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.cluster import DBSCAN
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

from slipway.errors import ArtifactError
from slipway.model.answers import Answers
from slipway.model.artifact import Artifact, load, read_manifest
from slipway.packing.pack import pack
from tests.support.zoo import ZOO

ROOT = Path(__file__).resolve().parents[3]
X, Y = load_iris(return_X_y=True)
NAMES = ["sepal_length", "sepal_width", "petal_length", "petal_width"]


@pytest.fixture(scope="module")
def estimator() -> LogisticRegression:
    return LogisticRegression(max_iter=300).fit(X, Y)


@pytest.fixture
def bare(tmp_path: Path, estimator: Any) -> Path:
    joblib.dump(estimator, tmp_path / "model.joblib")
    return tmp_path


@pytest.fixture
def packed(tmp_path: Path, estimator: Any) -> Path:
    joblib.dump(estimator, tmp_path / "iris.joblib")
    return pack(
        tmp_path / "iris.joblib", name="iris", output=tmp_path / "models", data=pd.DataFrame(X, columns=NAMES)
    ).directory


def opened(directory: Path, **options: Any) -> Artifact:
    return load(directory, name="iris", version="1", **options)


class Witness:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("way", ["deleted", "dangling"])
def test_what_no_manifest_vouches_for_can_be_refused_before_it_is_unpickled(
    packed: Path, tmp_path: Path, way: str
) -> None:
    assert opened(packed, trust="manifest").manifest is not None
    joblib.dump(Witness(tmp_path / "ran"), packed / "model.joblib")
    with pytest.raises(ArtifactError, match="is not the file that was packed"):
        opened(packed, trust="manifest")
    (packed / "manifest.json").unlink()
    if way == "dangling":
        (packed / "manifest.json").symlink_to(tmp_path / "gone")
    with pytest.raises(
        ArtifactError, match="is a link to a file that is not there" if way == "dangling" else "SLIPWAY_TRUST=manifest"
    ):
        opened(packed, trust="manifest")
    assert not (tmp_path / "ran").exists()


def test_a_manifest_that_is_a_dangling_link_makes_no_bare_model(packed: Path, tmp_path: Path) -> None:
    (packed / "manifest.json").unlink()
    assert opened(packed).manifest is None
    (packed / "manifest.json").symlink_to(tmp_path / "gone")
    with pytest.raises(ArtifactError, match="is a link to a file that is not there"):
        opened(packed)


def edit(directory: Path, change: Callable[[dict[str, Any]], object]) -> None:
    content = json.loads((directory / "manifest.json").read_text())
    change(content)
    (directory / "manifest.json").write_text(json.dumps(content))


class Bomb:
    """Leaves a mark when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return Path.touch, (self.mark,)


class Raises:
    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __reduce__(self) -> Any:
        return raise_it, (self.error,)


def raise_it(error: BaseException) -> None:
    raise error


def test_a_packed_model_loads_and_answers_its_examples(packed: Path) -> None:
    artifact = opened(packed)
    batch = artifact.example_batch()
    assert batch is not None
    assert artifact.disagreement(artifact.model.infer(batch.data)) is None
    assert (artifact.name, artifact.version, artifact.estimator_name, artifact.notes) == (
        "iris",
        "1",
        "LogisticRegression",
        [],
    )
    assert artifact.digest == artifact.manifest.digest
    assert artifact.load_seconds > 0


def test_a_bare_model_loads_and_says_that_nothing_vouches_for_it(bare: Path) -> None:
    artifact = opened(bare)
    assert artifact.manifest is None
    assert artifact.example_batch() is None
    assert artifact.notes == ["No manifest: nothing vouches for this model"]
    assert artifact.digest.startswith("sha256:")
    assert artifact.signature.names == ("x0", "x1", "x2", "x3")


def test_a_compressed_file_loads(bare: Path, estimator: Any) -> None:
    joblib.dump(estimator, bare / "model.joblib", compress=3)
    assert opened(bare).model.infer(X[:1]).predictions == [0]


def test_another_file_than_the_packed_one_is_refused_and_nothing_in_it_runs(packed: Path) -> None:
    mark = packed / "mark"
    joblib.dump(Bomb(mark), packed / "model.joblib")
    with pytest.raises(ArtifactError, match="is not the file that was packed: its digest is sha256:"):
        opened(packed)
    assert not mark.exists()


def test_another_scikit_learn_is_refused_and_nothing_runs(packed: Path) -> None:
    mark = packed / "mark"
    joblib.dump(Bomb(mark), packed / "model.joblib")
    edit(packed, lambda manifest: manifest["libraries"].update({"scikit-learn": "1.2.3"}))
    with pytest.raises(
        ArtifactError,
        match=f"Packed with scikit-learn 1.2.3, but {sklearn.__version__} is installed: install scikit-learn==1.2.3",
    ):
        opened(packed)
    assert not mark.exists()


def test_another_scikit_learn_loads_where_that_is_allowed_and_is_noted(packed: Path) -> None:
    edit(packed, lambda manifest: manifest["libraries"].update({"scikit-learn": "1.2.3"}))
    assert opened(packed, allow_version_mismatch=True).notes == [
        f"Packed with scikit-learn 1.2.3, loaded with {sklearn.__version__}"
    ]


def test_another_version_of_another_library_is_noted(packed: Path) -> None:
    edit(packed, lambda manifest: manifest["libraries"].update({"numpy": "1.0", "unheard-of": "2.0"}))
    assert opened(packed).notes == [
        f"Packed with numpy 1.0, loaded with {np.__version__}",
        "Packed with unheard-of 2.0, not installed here",
    ]


def test_a_bare_model_of_another_scikit_learn_is_noted(
    bare: Path, estimator: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("sklearn.base.__version__", "1.5.0")  # what fitting there would have left in the file
        joblib.dump(estimator, bare / "model.joblib")
    assert opened(bare).notes[1:] == [
        f"Fitted with scikit-learn 1.5.0, loaded with {sklearn.__version__}: answers may differ"
    ]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("", "is not a valid manifest"),
        ('{"format_version": 1', "is not a valid manifest"),
        ("[]", "is not a valid manifest"),
        ("\x00\xff", "is not a valid manifest"),
    ],
)
def test_a_broken_manifest_is_refused(packed: Path, content: str, sentence: str) -> None:
    (packed / "manifest.json").write_text(content, encoding="latin-1")
    with pytest.raises(ArtifactError, match=sentence):
        opened(packed)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda manifest: manifest.update(extra=1), "extra: Extra inputs are not permitted"),
        (lambda manifest: manifest.pop("digest"), "digest: Field required"),
        (lambda manifest: manifest.update(format_version=3), "format_version"),
        (lambda manifest: manifest.update(name="../iris"), "name: String should match pattern"),
        (lambda manifest: manifest["serving"].update(execution="gpu"), "serving.execution"),
        (lambda manifest: manifest.update(version="2"), "its manifest says iris 2: rename the folder or pack again"),
        (lambda manifest: manifest["signature"]["columns"].pop(), "the manifest has 3 columns, the estimator 4"),
        (lambda manifest: manifest["signature"].update(classes=[2, 1, 0]), "classes are not the estimator's"),
        (
            lambda manifest: manifest["examples"][0].update(features=[1]),
            "an example row does not fit the manifest's own signature",
        ),
        (lambda manifest: manifest["signature"]["columns"][0].update(maximum=1), "an example row does not fit"),
    ],
)
def test_a_manifest_that_was_edited_by_hand_is_refused(
    packed: Path, change: Callable[[dict[str, Any]], object], sentence: str
) -> None:
    edit(packed, change)
    with pytest.raises(ArtifactError, match=sentence):
        opened(packed)


def swap(manifest: dict[str, Any]) -> None:
    columns = manifest["signature"]["columns"]
    columns[1], columns[2] = columns[2], columns[1]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            lambda manifest: manifest["signature"]["columns"][0].update(name="other"),
            "has a column 'other' where the estimator has 'a'",
        ),
        (swap, "has a column 'c' where the estimator has 'b'"),
        (
            lambda manifest: manifest["signature"]["columns"][0].update(dtype="nonsense"),
            "dtype of 'a', 'nonsense', is none of pandas'",
        ),
    ],
)
def test_columns_that_were_edited_by_hand_are_refused(
    tmp_path: Path, change: Callable[[dict[str, Any]], object], sentence: str
) -> None:
    frame = pd.DataFrame(np.random.default_rng(0).random((20, 3)), columns=["a", "b", "c"])
    joblib.dump(LogisticRegression().fit(frame, [0, 1] * 10), tmp_path / "model.joblib")
    directory = pack(tmp_path / "model.joblib", name="m", output=tmp_path / "models", data=frame).directory
    edit(directory, change)
    with pytest.raises(ArtifactError, match=sentence):
        load(directory, name="m", version="1")


def test_a_directory_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"model\.joblib does not exist"):
        opened(tmp_path)
    assert read_manifest(tmp_path) is None


def test_a_model_that_is_a_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.joblib").mkdir()
    (tmp_path / "manifest.json").mkdir()
    with pytest.raises(ArtifactError, match="cannot be read: Is a directory"):
        opened(tmp_path)
    with pytest.raises(ArtifactError, match="cannot be read: Is a directory"):
        read_manifest(tmp_path)


@pytest.mark.parametrize("name", ["model.joblib", "manifest.json", "model.linear.json"])
@pytest.mark.parametrize("what", ["/dev/zero", "a pipe"])
def test_what_has_no_end_is_not_read(compiled: Path, name: str, what: str) -> None:
    (compiled / name).unlink()
    if what == "a pipe":
        os.mkfifo(compiled / name)  # with nobody who writes into it
    else:
        (compiled / name).symlink_to(what)
    sentence = f"{name} cannot be read: It is a device, a pipe or a socket, and no file"
    if name == "model.linear.json":
        assert opened(compiled).notes[0].endswith(sentence)
    else:
        with pytest.raises(ArtifactError, match=sentence):
            opened(compiled)


@pytest.mark.parametrize(("name", "most"), [("manifest.json", 67_108_864), ("model.linear.json", 2_147_483_647)])
def test_a_file_that_is_larger_than_it_can_be_is_not_read(compiled: Path, name: str, most: int) -> None:
    os.truncate(compiled / name, most + 1)  # sparse: it takes no place
    sentence = f"{name} cannot be read: It has {most + 1:,} bytes, at most {most:,} are possible"
    if name == "model.linear.json":
        assert opened(compiled).notes[0].endswith(sentence)
    else:
        with pytest.raises(ArtifactError, match=sentence):
            opened(compiled)


@pytest.mark.parametrize(
    "content", [b"", b"hello", b"\x00" * 100, b"PK\x03\x04", b"\x80\x05.", pickle.dumps(3), b"\x78\x9c"]
)
def test_a_file_that_is_no_estimator_is_refused(bare: Path, content: bytes) -> None:
    (bare / "model.joblib").write_bytes(content)
    with pytest.raises(ArtifactError):
        opened(bare)


@pytest.mark.parametrize("part", [0.1, 0.3, 0.5, 0.7, 0.9, 0.99])
def test_a_truncated_file_is_refused(bare: Path, part: float) -> None:
    content = (bare / "model.joblib").read_bytes()
    (bare / "model.joblib").write_bytes(content[: int(len(content) * part)])
    with pytest.raises(ArtifactError, match="is no joblib file that can be loaded"):
        opened(bare)


@pytest.mark.parametrize(
    "error", [KeyError("x"), OSError("x"), RecursionError("x"), ImportError("x"), ZeroDivisionError("x")]
)
def test_an_error_that_the_file_itself_raises_is_told(bare: Path, error: Exception) -> None:
    joblib.dump(Raises(error), bare / "model.joblib")
    with pytest.raises(ArtifactError, match=f"is no joblib file that can be loaded: {type(error).__name__}"):
        opened(bare)


def test_a_model_too_large_for_the_memory_is_refused(bare: Path) -> None:
    joblib.dump(Raises(MemoryError()), bare / "model.joblib")
    with pytest.raises(ArtifactError, match="does not fit into memory"):
        opened(bare)


def test_a_module_that_is_not_installed_is_named(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("in_house")
    module.Scaler = type("Scaler", (), {"__module__": "in_house"})
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "in_house", module)
        joblib.dump(module.Scaler(), bare / "model.joblib")
    with pytest.raises(ArtifactError, match="needs the Python module 'in_house', which is not installed here"):
        opened(bare)


def test_a_class_that_was_defined_in_a_notebook_is_named(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    main = sys.modules["__main__"]
    with monkeypatch.context() as patch:
        patch.setattr(main, "Notebook", type("Notebook", (), {"__module__": "__main__"}), raising=False)
        joblib.dump(main.Notebook(), bare / "model.joblib")
    with pytest.raises(
        ArtifactError,
        match=r"refers to a class or function that cannot be imported here "
        r"\(.*Notebook.*: move it",
    ):
        opened(bare)


def test_an_estimator_without_predict_is_refused(bare: Path) -> None:
    joblib.dump(DBSCAN().fit(X), bare / "model.joblib")
    with pytest.raises(ArtifactError, match="DBSCAN has no predict"):
        opened(bare)


def test_probabilities_without_classes_are_noted(bare: Path) -> None:
    joblib.dump(Unclassed(), bare / "model.joblib")
    artifact = opened(bare)
    assert artifact.notes[1:] == ["The estimator has predict_proba but no classes_: its probabilities are not served"]
    assert artifact.model.infer(X[:1]) == Answers([1], [None])


class Unclassed:
    def predict(self, X: Any) -> Any:
        return [1] * len(X)

    def predict_proba(self, X: Any) -> Any:
        return [[0.5, 0.5]] * len(X)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda example: example.update(prediction=2), "example 0 of its manifest expects 2, it answers 0"),
        (lambda example: example.update(prediction="0"), "example 0 of its manifest expects '0', it answers 0"),
        (
            lambda example: example.update(probabilities=[0.5, 0.25, 0.25]),
            "example 0 of its manifest expects the probabilities",
        ),
        (lambda example: example.pop("probabilities"), "expects the probabilities None"),
    ],
)
def test_an_example_that_is_answered_otherwise_is_told(
    packed: Path, change: Callable[[dict[str, Any]], object], sentence: str
) -> None:
    edit(packed, lambda manifest: manifest.update(examples=[{"features": X[0].tolist(), **answered(packed)}]))
    edit(packed, lambda manifest: change(manifest["examples"][0]))
    artifact = opened(packed)
    batch = artifact.example_batch()
    assert batch is not None
    assert sentence in (artifact.disagreement(artifact.model.infer(batch.data)) or "")


def answered(directory: Path) -> dict[str, Any]:
    answers = opened(directory).model.infer(X[:1])
    return {"prediction": answers.predictions[0], "probabilities": (answers.probabilities or [])[0]}


def test_a_difference_in_the_last_digits_is_agreement(packed: Path) -> None:
    artifact = opened(packed)
    batch = artifact.example_batch()
    assert batch is not None
    answers = artifact.model.infer(batch.data)
    answers.probabilities = [[value * (1 + 1e-8) for value in row] for row in answers.probabilities or []]
    assert artifact.disagreement(answers) is None
    answers.probabilities = [[value * (1 + 1e-4) for value in row] for row in answers.probabilities]
    assert "expects the probabilities" in (artifact.disagreement(answers) or "")


def test_answers_to_some_of_the_examples_are_a_disagreement(packed: Path) -> None:
    artifact = opened(packed)
    batch = artifact.example_batch()
    assert batch is not None
    assert artifact.disagreement(artifact.model.infer(batch.data).take([0])) == "it answered 1 of 8 example rows"


FORKED = """
import os, sys, time
from pathlib import Path
import numpy as np
from slipway.model.artifact import load

trees, forest = (load(Path(folder), name="iris", version="1") for folder in sys.argv[1:])
child = os.fork()
if child == 0:
    for artifact in (trees, forest):
        artifact.model.infer(np.ones((50, 4)))
    os._exit(0)
deadline = time.monotonic() + 60
while time.monotonic() < deadline:
    if os.waitpid(child, os.WNOHANG)[0]:
        sys.exit(0)
    time.sleep(0.05)
os.kill(child, 9)
sys.exit("the child hangs")
"""


def test_a_forked_child_answers_although_its_parent_loaded_a_model_that_starts_threads(tmp_path: Path) -> None:
    pytest.importorskip("xgboost", exc_type=(ImportError, OSError))
    for name in ("hist_gradient_boosting_missing", "xgboost_classifier"):
        (tmp_path / name).mkdir()
        joblib.dump(
            next(specimen for specimen in ZOO if specimen.name == name).estimator, tmp_path / name / "model.joblib"
        )
    command = [
        sys.executable,
        "-W",
        "ignore::DeprecationWarning",
        "-c",
        FORKED,
        *sorted(str(folder) for folder in tmp_path.iterdir()),
    ]
    environment = os.environ | {"OMP_NUM_THREADS": "2"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_an_estimator_whose_columns_cannot_be_named_is_refused(bare: Path) -> None:
    named = LogisticRegression(max_iter=300).fit(X, Y)
    named.feature_names_in_ = np.array(["a", "a", "b", "c"])
    joblib.dump(named, bare / "model.joblib")
    with pytest.raises(ArtifactError, match=r"cannot be served: two columns have the same name$"):
        opened(bare)


@pytest.fixture
def compiled(tmp_path: Path, estimator: Any) -> Path:
    joblib.dump(estimator, tmp_path / "model.joblib")
    data = pd.DataFrame(X, columns=NAMES)
    return pack(tmp_path / "model.joblib", name="iris", output=tmp_path / "models", data=data, compiled=True).directory


def test_a_compiled_form_answers_in_the_estimators_place(compiled: Path) -> None:
    artifact, with_estimator = opened(compiled), opened(compiled, compiled=False)
    assert (artifact.form, with_estimator.form) == ("linear", None)
    assert (artifact.notes, with_estimator.notes) == ([], [])
    assert (artifact.digest, artifact.estimator_name) == (with_estimator.digest, "LogisticRegression")
    batch = artifact.validator(200).instances(X.tolist())
    assert batch.data == X.tolist()
    answers, expected = artifact.model.infer(batch.data), with_estimator.model.infer(X)
    assert answers.predictions == expected.predictions
    np.testing.assert_allclose(answers.probabilities, expected.probabilities, rtol=0, atol=1e-12)


def test_a_compiled_form_needs_no_other_library_in_its_version(compiled: Path) -> None:
    edit(compiled, lambda manifest: manifest["libraries"].update({"scikit-learn": "1.0"}))
    assert (opened(compiled).form, opened(compiled).notes) == ("linear", [])
    (compiled / "model.linear.json").unlink()
    with pytest.raises(ArtifactError, match="Packed with scikit-learn 1"):
        opened(compiled)


@pytest.mark.parametrize(
    ("break_it", "sentence"),
    [
        (lambda folder: (folder / "model.linear.json").unlink(), "No such file"),
        (lambda folder: (folder / "model.linear.json").write_text("{}"), "not the file that was proven"),
        (
            lambda folder: edit(folder, lambda manifest: manifest["examples"][2].update(prediction=7)),
            "example 2 of the manifest expects 7",
        ),
        (
            lambda folder: edit(folder, lambda manifest: manifest["compiled"].update(form="onnx")),
            r"model\.onnx cannot "
            r"be read",
        ),
    ],
)
def test_a_form_that_cannot_be_used_gives_way_to_the_estimator_and_says_so(
    compiled: Path, break_it: Callable[[Path], object], sentence: str
) -> None:
    break_it(compiled)
    artifact = opened(compiled)
    assert artifact.form is None
    assert len(artifact.notes) == 1
    assert re.match(f"The estimator answers, for its compiled form cannot: .*{sentence}", artifact.notes[0])


def test_the_examples_are_asked_of_a_form_within_the_bound_that_was_proven(compiled: Path) -> None:
    artifact = opened(compiled)
    answers = artifact.model.infer(artifact.example_batch().data)
    answers.probabilities[0] = [probability + 1e-10 for probability in answers.probabilities[0]]
    assert "example 0 of its manifest expects the probabilities" in artifact.disagreement(answers)
    assert opened(compiled, compiled=False).disagreement(answers) is None


def test_another_estimator_than_the_packed_one_is_refused_beside_a_form_too(compiled: Path) -> None:
    path = compiled / "model.joblib"
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(ArtifactError, match="not the file that was packed"):
        opened(compiled)


def test_without_scikit_learn_a_form_answers_and_an_estimator_is_refused(
    compiled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "slipway.model.formats.joblib_file")
    monkeypatch.setitem(sys.modules, "sklearn.exceptions", None)
    assert opened(compiled).form == "linear"
    (compiled / "model.linear.json").unlink()
    with pytest.raises(
        ArtifactError,
        match=r"model\.linear\.json cannot be read.*needs the Python module "
        r"'sklearn\.exceptions'",
    ):
        opened(compiled)

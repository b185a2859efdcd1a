"""A model directory on disk: its digest and versions are verified before anything in it runs, then it is loaded."""

import hashlib
import threading
import time
import warnings
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import joblib
from pydantic import ValidationError
from sklearn.exceptions import InconsistentVersionWarning
from threadpoolctl import ThreadpoolController

from .answers import Answers, same
from .errors import ArtifactError, InvalidInput
from .estimator import Model, require_predict
from .folder import MODEL_FILE, Overrides, find_models, read_overrides, version_key
from .inspection import classes, width
from .manifest import Example, Manifest, Serving, first_error, installed_version, read_manifest
from .rows import Batch, RowValidator
from .schema import Signature

__all__ = [
    "Artifact",
    "Example",
    "Manifest",
    "Overrides",
    "Serving",
    "find_models",
    "load",
    "read_manifest",
    "read_overrides",
    "version_key",
]

_loading = threading.Lock()  # catching warnings is process-wide: one load at a time


@dataclass(frozen=True, eq=False)
class Artifact:
    """A loaded model and what vouches for it. `notes`: what an operator should know, in sentences."""

    name: str
    version: str
    directory: Path
    manifest: Manifest | None
    signature: Signature
    model: Model
    digest: str
    notes: list[str]
    load_seconds: float

    @property
    def estimator_name(self) -> str:
        return type(self.model.estimator).__name__

    def example_batch(self) -> Batch | None:
        """The manifest's example rows; None where there are none."""
        return self._example_batch

    @cached_property
    def _example_batch(self) -> Batch | None:
        if self.manifest is None or not self.manifest.examples:
            return None
        rows = [example.features for example in self.manifest.examples]
        return RowValidator(self.signature, len(rows)).instances(rows)

    def disagreement(self, answers: Answers) -> str | None:
        """A sentence about the first example that is not answered as the manifest says; None where all are."""
        examples = self.manifest.examples if self.manifest else []
        if len(answers) != len(examples):
            return f"it answered {len(answers)} of {len(examples)} example rows"
        for i, example in enumerate(examples):
            if not same(answers.predictions[i], example.prediction):
                return f"example {i} of its manifest expects {example.prediction!r}, it answers {answers.predictions[i]!r}"
            probabilities = answers.probabilities[i] if answers.probabilities is not None else None
            if not same(probabilities, example.probabilities):
                return f"example {i} of its manifest expects the probabilities {example.probabilities}, it answers {probabilities}"
        return None


def load(directory: Path, *, name: str, version: str, allow_version_mismatch: bool = False) -> Artifact:
    """Verifies and loads a model directory, without a prediction. Raises ArtifactError, saying what to do, and nothing else."""
    try:
        return _load(directory, name, version, allow_version_mismatch)
    finally:
        _end_openmp_threads()


def _load(directory: Path, name: str, version: str, allow_version_mismatch: bool) -> Artifact:
    started = time.perf_counter()
    manifest = read_manifest(directory)
    notes = ["No manifest: nothing vouches for this model"] if manifest is None else []
    if manifest is not None:
        if (manifest.name, manifest.version) != (name, version):
            raise ArtifactError(
                f"{directory} is served as {name} {version}, but its manifest says {manifest.name} {manifest.version}: "
                "rename the folder or pack again"
            )
        notes += _version_notes(manifest, allow_version_mismatch)
    estimator, digest = load_estimator(directory / MODEL_FILE, None if manifest is None else manifest.digest, notes)
    require_predict(estimator)
    try:
        signature = Signature.of(estimator) if manifest is None else manifest.signature
        if manifest is not None:
            _check_signature(signature, estimator, directory)
        model = Model(estimator, signature)
    except ArtifactError:
        raise
    except ValidationError as error:
        raise ArtifactError(f"{directory} holds an estimator that cannot be served: {first_error(error)}") from None
    except Exception as error:  # an estimator's own attributes may raise anything
        raise ArtifactError(f"{directory} holds an estimator that cannot be served: {type(error).__name__}: {error}") from error
    if hasattr(estimator, "predict_proba") and signature.classes is None:
        notes.append("The estimator has predict_proba but no classes_: its probabilities are not served")
    artifact = Artifact(name, version, directory, manifest, signature, model, digest, notes, time.perf_counter() - started)
    try:
        artifact.example_batch()
    except InvalidInput as error:
        raise ArtifactError(f"{directory}: an example row does not fit the manifest's own signature: {error.detail}") from None
    return artifact


def load_estimator(path: Path, expected_digest: str | None, notes: list[str]) -> tuple[Any, str]:
    """The object in a joblib file and the file's digest, which is verified on the same open file before any of it runs."""
    try:
        with path.open("rb") as file:
            digest = "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()
            if expected_digest is not None and digest != expected_digest:
                raise ArtifactError(
                    f"{path} is not the file that was packed: its digest is {digest}, the manifest says {expected_digest}. "
                    "Restore the file, or pack the model again if it was meant to change"
                )
            file.seek(0)
            return _unpickle(file, path, notes), digest
    except FileNotFoundError:
        raise ArtifactError(f"{path} does not exist") from None
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read: {error.strerror or error}") from None


def _unpickle(file: BinaryIO, path: Path, notes: list[str]) -> Any:
    try:
        with _loading, warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            estimator = joblib.load(file)
    except ModuleNotFoundError as error:
        raise ArtifactError(f"{path} needs the Python module {error.name!r}, which is not installed here") from None
    except AttributeError as error:
        remedy = "move it from the training script to a module that is installed here, and dump the model again"
        raise ArtifactError(f"{path} refers to a class or function that cannot be imported here ({error}): {remedy}") from None
    except MemoryError:
        raise ArtifactError(f"{path} does not fit into memory, or is corrupt") from None
    except Exception as error:  # a pickle may raise anything
        raise ArtifactError(f"{path} is no joblib file that can be loaded: {type(error).__name__}: {error}") from error
    for warning in caught:
        note = str(warning.message)
        if isinstance(warning.message, InconsistentVersionWarning):
            fitted, here = warning.message.original_sklearn_version, warning.message.current_sklearn_version
            note = f"Fitted with scikit-learn {fitted}, loaded with {here}: answers may differ"
        if note not in notes:
            notes.append(note)
    return estimator


def _end_openmp_threads() -> None:
    """Loading XGBoost starts OpenMP threads. A fork does not copy them, and a forked child that wants them waits for ever."""
    for library in ThreadpoolController().lib_controllers:
        if library.user_api == "openmp" and hasattr(library.dynlib, "omp_pause_resource_all"):
            library.dynlib.omp_pause_resource_all(1)  # omp_pause_soft: threads start anew when they are wanted


def _version_notes(manifest: Manifest, allow_mismatch: bool) -> list[str]:
    """Raises for another scikit-learn; other libraries are noted."""
    notes = []
    for library, packed in manifest.libraries.items():
        here = installed_version(library)
        if here == packed:
            continue
        if library == "scikit-learn" and not allow_mismatch:
            raise ArtifactError(
                f"Packed with scikit-learn {packed}, but {here} is installed: install scikit-learn=={packed}, "
                "pack the model again, or set SLIPWAY_ALLOW_VERSION_MISMATCH=true"
            )
        notes.append(f"Packed with {library} {packed}, {'not installed here' if here is None else f'loaded with {here}'}")
    return notes


def _check_signature(signature: Signature, estimator: Any, directory: Path) -> None:
    """A manifest that was edited by hand may no longer describe its model."""
    count = width(estimator)
    if signature.columns is not None and count is not None and len(signature.columns) != count:
        raise ArtifactError(f"{directory}: the manifest has {len(signature.columns)} columns, the estimator {count}: pack the model again")
    if signature.classes != classes(estimator):
        raise ArtifactError(f"{directory}: the manifest's classes are not the estimator's: pack the model again")

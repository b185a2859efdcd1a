"""A model directory on disk: what its manifest vouches for is verified, then its compiled form or its estimator is
loaded.
"""

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from ..errors import ArtifactError, BrokenArtifact, InvalidInput
from ..settings import Trust
from .answers import Answers, same
from .compiled import model as compiled_model
from .compiled.model import CompiledForm, CompiledModel, Form, difference
from .contained import contained, described, harmless
from .estimator import Model
from .estimator_file import load_model
from .file_kinds import inflated
from .format_one import risks
from .formats.mlflow_folder import read_mlflow
from .formats.registry import MODEL_FILE, file_in
from .manifest import Manifest, read_manifest
from .rows import Batch, RowValidator
from .signature import Signature
from .signing import verified_manifest
from .verify import NOBODY, Trusted, open_verified, version_notes


@dataclass(frozen=True, eq=False)
class Artifact:
    """A loaded model and what vouches for it. `notes`: what an operator should know, in sentences."""

    name: str
    version: str
    directory: Path
    manifest: Manifest | None
    signature: Signature
    model: Model | CompiledModel
    digest: str
    notes: list[str]
    load_seconds: float

    @property
    def estimator_name(self) -> str:
        if isinstance(self.model, Model):
            return harmless(type(self.model.estimator).__name__)
        return self.manifest.estimator if self.manifest else ""

    @property
    def form(self) -> Form | None:
        """Which compiled form answers in the estimator's place; None where the estimator does."""
        return self.model.form if isinstance(self.model, CompiledModel) else None

    def validator(self, max_rows: int) -> RowValidator:
        """Of rows for this model, in batches of the kind that it takes."""
        return RowValidator(self.signature, max_rows, as_rows=self.form is not None)

    def example_batch(self) -> Batch | None:
        """The manifest's example rows; None where there are none."""
        return self._example_batch

    @cached_property
    def _example_batch(self) -> Batch | None:
        if self.manifest is None or not self.manifest.examples:
            return None
        rows = [example.features for example in self.manifest.examples]
        return self.validator(len(rows)).instances(rows)

    def trial_batch(self) -> Batch | None:
        """What a server tries the model with: the example rows, else a row of zeros where it takes numbers alone."""
        columns = self.signature.columns
        if self._example_batch is None and columns and all(column.numeric for column in columns):
            with contextlib.suppress(InvalidInput):  # zeros may be out of what is declared
                return self.validator(1).features([0.0] * len(columns))
        return self._example_batch

    def failing(self, how: str) -> str:
        """A sentence for an error with the trial batch."""
        if self._example_batch is not None:
            return f"it fails on its own example rows: {how}"
        return (
            f"it fails on a row of zeros, which it is tried with for want of example rows: {how}: pack it with --data, "
            'of the training frame\'s dtypes (of a CSV, declare them in a columns file, such as dtype = "float32")'
        )

    def disagreement(self, answers: Answers) -> str | None:
        """A sentence about the first example that is not answered as the manifest says; None where all are."""
        found = self._disagreement(answers)
        return None if found is None else harmless(found)

    def _disagreement(self, answers: Answers) -> str | None:
        examples = self.manifest.examples if self.manifest else []
        if len(answers) != len(examples):
            return f"it answered {len(answers)} of {len(examples)} example rows"
        agree = self._agree
        for i, example in enumerate(examples):
            if not agree(answers.predictions[i], example.prediction):
                return (
                    f"example {i} of its manifest expects {example.prediction!r}, it answers {answers.predictions[i]!r}"
                )
            probabilities = answers.probabilities[i] if answers.probabilities is not None else None
            if not agree(probabilities, example.probabilities):
                return (
                    f"example {i} of its manifest expects the probabilities {example.probabilities}, it answers "
                    f"{probabilities}"
                )
        return None

    @cached_property
    def _agree(self) -> Callable[[Any, Any], bool]:
        """Whether an answer is the expected one: for a compiled form within the bound that it was proven to keep."""
        compiled = self.manifest.compiled if self.manifest else None
        if isinstance(self.model, Model):
            return partial(same, short=self.model.is_short)
        if compiled is None:
            return same
        return lambda got, expected: difference(got, expected) < compiled.bound


def open_model(
    directory: Path,
    *,
    trust: Trust = "any",
    allow_version_mismatch: bool = False,
    compiled: bool = True,
    trusted: Trusted = NOBODY,
) -> Artifact:
    """The model by the name in its own manifest; a bare one has none. Raises ArtifactError."""
    manifest = read_manifest(directory)
    name, version = (manifest.name, manifest.version) if manifest else (directory.name, "1")
    return load(
        directory,
        name=name,
        version=version,
        trust=trust,
        allow_version_mismatch=allow_version_mismatch,
        compiled=compiled,
        trusted=trusted,
    )


def size(directory: Path, *, compiled: bool = True) -> int:
    """Bytes of the file that is to be loaded; 0 where it cannot be told, which loading it will say. In memory it takes
    as many at least: more where it is compressed.
    """
    with contextlib.suppress(OSError, ArtifactError):
        manifest = read_manifest(directory)
        form = manifest.compiled if manifest is not None and compiled else None
        return (directory / (model_file(directory, manifest) if form is None else form.file)).stat().st_size
    return 0


def model_file(directory: Path, manifest: Manifest | None) -> str:
    """The name of the model's own file; without a manifest MLflow's, or that of the first that is there."""
    if manifest is not None:
        return manifest.file
    saved = read_mlflow(directory)
    return file_in(directory) or MODEL_FILE if saved is None else str(saved.file.relative_to(directory))


def verify_signed(directory: Path, key: Path) -> str:
    """Name and version of a model whose signature verifies; nothing is loaded. Raises ArtifactError."""
    manifest = read_manifest(directory, verified_manifest(directory, key))
    if manifest is None:
        raise BrokenArtifact(f"{directory} has no manifest.json any more: restore it")
    with open_verified(directory / manifest.file, manifest.digest):
        return f"{manifest.name} {manifest.version}"


def path_of(directory: Path) -> Path:
    """The model's own file, wherever its manifest cannot be read: model.joblib."""
    with contextlib.suppress(ArtifactError):
        return directory / model_file(directory, read_manifest(directory))
    return directory / MODEL_FILE


def unpacked_size(directory: Path, *, compiled: bool = True) -> int:
    """As `size`, but of what a compressed file holds. Reads all of such a file."""
    with contextlib.suppress(OSError, ArtifactError):
        manifest = read_manifest(directory)
        form = manifest.compiled if manifest is not None and compiled else None
        return inflated(path_of(directory) if form is None else directory / form.file)
    return 0


def load(
    directory: Path,
    *,
    name: str,
    version: str,
    trust: Trust = "any",
    allow_version_mismatch: bool = False,
    compiled: bool = True,
    trusted: Trusted = NOBODY,
) -> Artifact:
    """Verifies and loads a model directory, without a prediction for a client. Raises ArtifactError, saying what to do,
    and nothing else.

    `compiled`: use the compiled form where there is one. If it cannot be used, the estimator is, and a note says why.
    """
    try:
        with contained:
            return _load(directory, name, version, trust, allow_version_mismatch, compiled, trusted)
    except ArtifactError:
        raise
    except Exception as error:  # a pickle runs code, which may raise anything
        raise ArtifactError(f"{directory} cannot be loaded: {described(error)}") from error


def _load(
    directory: Path,
    name: str,
    version: str,
    trust: Trust,
    allow_version_mismatch: bool,
    compiled: bool,
    trusted: Trusted,
) -> Artifact:
    started = time.perf_counter()
    is_signed = trust == "signed" or (trust == "safe" and trusted.key is not None)
    signed = verified_manifest(directory, trusted.key) if is_signed else None
    manifest = read_manifest(directory, signed)
    if manifest is None and trust != "any":
        raise BrokenArtifact(
            f"{directory} has no manifest.json, and SLIPWAY_TRUST={trust} refuses what none vouches for: "
            "restore it, or pack the model with `slipway pack`"
        )
    notes = ["No manifest: nothing vouches for this model"] if manifest is None else []
    if manifest is not None and (manifest.name, manifest.version) != (name, version):
        raise BrokenArtifact(
            f"{directory} is served as {name} {version}, but its manifest says {manifest.name} {manifest.version}: "
            "rename the folder or pack again"
        )
    if manifest is not None and manifest.format_version == 1:
        notes += risks(manifest)
    model: Model | CompiledModel | None = None
    if manifest is not None and manifest.compiled is not None and compiled:
        with open_verified(directory / manifest.file, manifest.digest) as (_, digest):
            model = _load_compiled(directory, manifest, manifest.compiled, notes)
    if model is None:
        if manifest is not None:
            notes += version_notes(manifest, allow_version_mismatch)
        model, digest = _load_estimator(directory, manifest, notes, trusted, trust)
    artifact = Artifact(
        name, version, directory, manifest, model.signature, model, digest, notes, time.perf_counter() - started
    )
    try:
        artifact.example_batch()
    except InvalidInput as error:
        raise BrokenArtifact(
            f"{directory}: an example row does not fit the manifest's own signature: {error.detail}"
        ) from None
    return artifact


def _load_compiled(directory: Path, manifest: Manifest, form: CompiledForm, notes: list[str]) -> CompiledModel | None:
    """Proven again on the example rows; None, and a note, where it cannot be used."""
    try:
        return compiled_model.load(directory, form, manifest.signature, manifest.examples)
    except ArtifactError as error:
        notes.append(f"The estimator answers, for its compiled form cannot: {error}")
        return None


def _load_estimator(
    directory: Path, manifest: Manifest | None, notes: list[str], trusted: Trusted, trust: Trust
) -> tuple[Model, str]:
    try:
        return load_model(directory / model_file(directory, manifest), manifest, notes, trusted, trust)
    except ModuleNotFoundError as error:
        why = f"{directory} needs the Python module {error.name!r}, which is not installed here"
        raise BrokenArtifact(". ".join([*notes, why])) from None

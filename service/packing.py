"""Packing: a fitted estimator in a joblib file becomes a model directory whose manifest vouches for it."""

import shutil
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from re import fullmatch
from typing import TYPE_CHECKING, Any

import pandas as pd

from . import inspection
from .artifact import Artifact, load
from .columns import Declaration, cast, declared, observed
from .drift.distribution import Distribution
from .drift.learning import FEWEST_ROWS, learn_distribution
from .errors import ArtifactError
from .estimator import Model, require_predict
from .example_rows import accepted_rows, answered_rows, find_examples
from .folder import MODEL_FILE
from .manifest import NAME_PATTERN, Manifest, Serving, library_versions
from .schema import Signature
from .targets import exchanged, targets_of, with_outputs
from .unpickling import load_estimator

if TYPE_CHECKING:
    from .compiling.compilation import Compilation


@dataclass(frozen=True)
class Packed:
    """What pack() made. `notes`: what the packer should know, in sentences; `compilation`: where one was asked for."""

    artifact: Artifact
    directory: Path
    notes: list[str]
    compilation: "Compilation | None" = None


def pack(
    source: Path,
    *,
    name: str,
    version: str = "1",
    output: Path = Path("models"),
    data: pd.DataFrame | None = None,
    target: str | Sequence[str] | None = None,
    labels: Sequence[str] | None = None,
    declarations: Mapping[str, Declaration] | None = None,
    serving: Serving | None = None,
    force: bool = False,
    compiled: bool = False,
) -> Packed:
    """Writes OUTPUT/NAME/VERSION, all of it or nothing. Raises ArtifactError, in one sentence, for whatever does not fit.

    `compiled`: with a compiled form beside the estimator, if one is proven on all of the data and quicker.
    """
    for what, value in (("name", name), ("version", version)):
        if not fullmatch(NAME_PATTERN, value):
            raise ArtifactError(f"The {what} {value!r} cannot be part of a path: use letters, digits, dots, dashes and underscores")
    directory = output / name / version
    if directory.exists() and not force:
        raise ArtifactError(f"{directory} exists already: choose another --version, or replace it with --force")
    notes: list[str] = []
    estimator, digest = load_estimator(source, None, notes)
    require_predict(estimator)
    targets = [] if data is None else targets_of(data, target)
    features = None if data is None else _features(estimator, cast(data, declarations or {}), targets, notes)
    signature = _labelled(_signature(estimator, features, declarations or {}, notes), labels, estimator)
    model = Model(estimator, signature)
    examples = [] if features is None else find_examples(model, features, notes)
    if len(targets) > 1:
        signature = with_outputs(signature, targets, examples)
        model = Model(estimator, signature)
        if features is not None and data is not None and (doubt := exchanged(model, features, data.rename(columns=str)[targets])):
            notes.append(doubt)
    distribution = None if features is None else _distribution(model, features, notes)
    compilation = _compiled(model, features, notes) if compiled else None
    manifest = Manifest(
        name=name,
        version=version,
        digest=digest,
        created=datetime.now(UTC).replace(microsecond=0),
        libraries=library_versions(estimator),
        estimator=type(estimator).__name__,
        signature=signature,
        examples=examples,
        serving=serving or Serving(),
        compiled=None if compilation is None else compilation.form,
        distribution=distribution,
    )
    staging = output / f".packing-{uuid.uuid4().hex}"  # hidden: a server never finds half a model
    try:
        staging.mkdir(parents=True)
        shutil.copyfile(source, staging / MODEL_FILE)
        manifest.write(staging)
        artifact = _proven(load(staging, name=name, version=version, compiled=False))
        if compilation is not None and compilation.form is not None:
            (staging / compilation.form.file).write_bytes(compilation.content)
            artifact = _proven(load(staging, name=name, version=version))
        _move(staging, directory, notes)
        return Packed(artifact, directory, list(dict.fromkeys(notes + artifact.notes)), compilation)
    except OSError as error:
        raise ArtifactError(f"{error.filename or output} cannot be written: {error.strerror or error}") from None
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _features(estimator: Any, data: pd.DataFrame, targets: Sequence[str], notes: list[str]) -> pd.DataFrame:
    """The data without its targets, in the estimator's own column order."""
    features = data.rename(columns=str).drop(columns=list(targets))
    names = inspection.names(estimator)
    hint = "" if targets else "; if one of them is the target, name it with --target"
    if inspection.takes_text(estimator):
        if features.shape[1] != 1:
            raise ArtifactError(f"A text model takes one column, the data has {_listed(features.columns)}{hint}")
    elif names is not None:
        own = _own_names(names, features, inspection.joins_words(estimator))
        ignored = [name for name in features if name not in own]
        if ignored:
            notes.append(f"The estimator does not know these columns of the data, they are ignored: {_listed(ignored)}")
        features = features[own]
    elif (width := inspection.width(estimator)) not in (None, features.shape[1]):
        raise ArtifactError(f"The estimator takes {width} features, the data has {features.shape[1]} columns{hint}")
    if features.empty:
        raise ArtifactError("The data has no rows")
    return features.reset_index(drop=True)


def _own_names(names: Sequence[str], data: pd.DataFrame, joined: bool) -> list[str]:
    """What the data calls the estimator's columns, in its order. `joined`: a blank and an underscore are the same to the estimator."""

    def to_estimator(name: str) -> str:
        return name.replace(" ", "_") if joined else name

    found: dict[str, list[str]] = {}
    for name in map(str, data):
        found.setdefault(to_estimator(name), []).append(name)
    missing = [name for name in names if to_estimator(name) not in found]
    if missing:
        raise ArtifactError(f"The estimator was fitted on columns that the data does not have: {_listed(missing)}")
    own = [found[to_estimator(name)] for name in names]
    alike = [name for several in own if len(several) > 1 for name in several]
    if alike:
        raise ArtifactError(
            f"The estimator does not tell these columns of the data apart: {_listed(alike)}; leave out those that are not its own"
        )
    return [name for (name,) in own]


def _signature(estimator: Any, features: pd.DataFrame | None, declarations: Mapping[str, Declaration], notes: list[str]) -> Signature:
    """What the estimator tells, what the data shows and what is declared."""
    told = Signature.of(estimator)
    numbers_only, columns = inspection.numbers_only(estimator) and told.input != "text", told.columns
    if features is not None:
        columns = tuple(observed(features[name], numbers_only=numbers_only, in_frame=told.input == "frame") for name in features)
        if told.input == "text" and columns[0].type != "string":
            raise ArtifactError(f"A text model takes strings, the data's column {columns[0].name!r} holds {columns[0].type}s")
        if told.input == "text":  # no vectorizer takes a missing text
            columns = (columns[0].model_copy(update={"nullable": False}),)
    else:
        notes.append("Without --data there are no example rows to verify answers with, and the columns' types and ranges are not known")
        if columns is not None and not told.named and len(declarations) == len(columns):
            columns = tuple(column.model_copy(update={"name": name}) for column, name in zip(columns, declarations, strict=True))
    names = [column.name for column in columns or ()]
    unknown = [name for name in declarations if name not in names]
    if unknown:
        raise ArtifactError(f"columns.toml declares columns that the model does not have: {_listed(unknown)}; it has {_listed(names)}")
    if columns is None:
        return told
    columns = tuple(declared(column, declarations.get(column.name)) for column in columns)
    named = told.named or features is not None or bool(names and set(names) == set(declarations))
    return Signature(input=told.input, columns=columns, named=named, classes=told.classes, labels=told.labels)


def _labelled(signature: Signature, labels: Sequence[str] | None, estimator: Any) -> Signature:
    if labels is None:
        return signature
    if signature.classes is None or signature.multi_output:
        raise ArtifactError(f"--labels names the classes of one output, which {type(estimator).__name__} does not have")
    if len(labels) != len(signature.classes) or len(set(labels)) != len(labels):
        raise ArtifactError(f"--labels must name {len(signature.classes)} different classes, in the order of {signature.classes}")
    return signature.model_copy(update={"labels": list(labels)})


def _distribution(model: Model, features: pd.DataFrame, notes: list[str]) -> Distribution | None:
    rows, answers = answered_rows(model, features)
    if len(rows) < FEWEST_ROWS:
        notes.append(f"Drift will not be measured: it takes {FEWEST_ROWS} rows of data to measure it against, there are {len(rows)}")
        return None
    distribution = learn_distribution(model.signature, rows, answers)
    tracked = {variable.name for variable in distribution.features}
    untracked = [name for name in model.signature.names or () if name not in tracked]
    if untracked:
        notes.append(f"Drift of these columns will not be measured: {_listed(untracked)}")
    return distribution


def _compiled(model: Model, features: pd.DataFrame | None, notes: list[str]) -> "Compilation":
    # Not at the top: it brings ONNX's packages, and most packing does not compile.
    from .compiling.compilation import compile_model

    if features is None:
        raise ArtifactError("A compiled form is proven on the rows of --data, which is not given")
    found = compile_model(model, accepted_rows(model.signature, features))
    if found.form is None:
        notes.append(f"There is no compiled form, the estimator answers. {found.reason}")
    return found


def _proven(artifact: Artifact) -> Artifact:
    """The packed model, which must answer its own examples again."""
    batch = artifact.example_batch()
    if batch is not None and (difference := artifact.disagreement(artifact.model.infer(batch.data))) is not None:
        raise ArtifactError(f"The estimator does not answer the same row twice in the same way: {difference}")
    return artifact


def _move(staging: Path, directory: Path, notes: list[str]) -> None:
    directory.parent.mkdir(parents=True, exist_ok=True)
    if directory.exists():
        notes.append(f"{directory} was replaced")
        replaced = staging.with_name(f"{staging.name}-replaced")
        directory.rename(replaced)
        try:
            staging.rename(directory)
        except OSError:
            replaced.rename(directory)
            raise
        shutil.rmtree(replaced)
    else:
        staging.rename(directory)


def _listed(names: Any) -> str:
    names = [str(name) for name in names]
    return ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")

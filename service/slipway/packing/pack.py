"""Packing: a fitted estimator in its file becomes a model directory whose manifest vouches for it."""

import hashlib
import shutil
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from re import fullmatch
from typing import TYPE_CHECKING, Any

import pandas as pd

from ..drift.learning import FEWEST_ROWS, learn_distribution
from ..errors import ArtifactError
from ..model import inspection
from ..model.answers import Answers
from ..model.artifact import Artifact, load
from ..model.contained import described
from ..model.distribution import Distribution
from ..model.estimator import Model, require_predict
from ..model.estimator_file import load_estimator, told_signature
from ..model.formats.mlflow_folder import read_mlflow
from ..model.formats.registry import kept_as
from ..model.known_columns import Knowledge, known_columns
from ..model.manifest import NAME_PATTERN, Manifest, Serving
from ..model.own_modules import CODE_FILE, OwnModules, zipped
from ..model.signature import Signature
from ..model.verify import NOBODY, Trusted, library_versions
from .check import tried
from .columns import Declaration, declared, observed, training_frame
from .csv_shape import listed
from .data import read_data, told_by
from .example_rows import accepted_rows, answered_rows, find_examples
from .explaining import explanation
from .mlflow_example import example_frame
from .own_code import as_fitted, as_told
from .tables import is_parquet
from .targets import exchanged, with_outputs

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
    data: pd.DataFrame | Path | None = None,
    target: str | Sequence[str] | None = None,
    missing: Sequence[str] = (),
    header: bool = True,
    labels: Sequence[str] | None = None,
    declarations: Mapping[str, Declaration] | None = None,
    serving: Serving | None = None,
    force: bool = False,
    compiled: bool = False,
    trusted: Trusted = NOBODY,
    code: Path | None = None,
) -> Packed:
    """Writes OUTPUT/NAME/VERSION, all of it or nothing. Raises ArtifactError, in one sentence, for whatever does not
    fit.

    `data`: a frame, or a CSV or Parquet file, of which `missing` are words for a missing value and `header` says
    whether it has one.
    `compiled`: with a compiled form beside the estimator, if one is proven on all of the data and quicker.
    `code`: a folder with modules of one's own, which go with it.
    """
    for what, value in (("name", name), ("version", version)):
        if not fullmatch(NAME_PATTERN, value):
            raise ArtifactError(
                f"The {what} {value!r} cannot be part of a path: use letters, digits, dots, dashes and underscores"
            )
    directory = output / name / version
    if directory.exists() and not force:
        raise ArtifactError(f"{directory} exists already: choose another --version, or replace it with --force")
    notes: list[str] = []
    saved = read_mlflow(source)
    if saved is not None:
        source, data = saved.file, example_frame(saved) if data is None else data
    modules = None if code is None else zipped(code)
    own = None if modules is None else OwnModules(modules)
    estimator, digest = load_estimator(source, None, notes, trusted, code=own)
    require_predict(estimator)
    declarations = declarations or {}
    data_of = None if data is None else read_data(estimator, data, target, declarations, missing, header, notes)
    features = None if data_of is None else data_of.features
    names = inspection.names(estimator) if features is None else [str(name) for name in features]
    if "" in (names or ()):
        raise ArtifactError(
            "One of the columns has no name, and no row can name it: give it one before fitting, and pack that"
        )
    categories = [name for name, declaration in declarations.items() if declaration.is_category]
    known = known_columns(estimator, names or (), features, categories)
    if features is None and (untold := known.untold()):
        raise ArtifactError(
            f"The estimator was fitted on {untold}, and does not tell enough of them to serve it without data: name "
            "some with --data"
        )
    is_typed = isinstance(data, pd.DataFrame) or (data is not None and is_parquet(data))
    if features is not None:
        given = features
        features = training_frame(given, known, declarations)
        texts = pd.DataFrame() if data_of is None else data_of.texts
        features = as_told(estimator, features, texts, notes)
        features = as_fitted(estimator, features, given, texts, known, declarations, notes, is_typed=is_typed)
    signature = _labelled(
        _signature(
            told_signature(estimator, saved),
            estimator,
            features,
            known,
            declarations,
            missing,
            notes,
            is_typed=is_typed,
            has_target=target is not None,
        ),
        labels,
        estimator,
    )
    model = Model(estimator, signature)
    examples = []
    if features is not None:
        told = [name for name, declaration in declarations.items() if _declares_type(declaration)]
        explained = partial(explanation, estimator, features, known, told, is_typed=is_typed)
        examples = find_examples(model, features, notes, explained)
    if features is not None and data_of is not None and len(data_of.targets.columns) > 1:
        signature = with_outputs(signature, [str(name) for name in data_of.targets], examples)
        model = Model(estimator, signature)
        if doubt := exchanged(model, features, data_of.targets):
            notes.append(doubt)
    distribution = None
    if features is not None:
        rows, answers = answered_rows(model, features)
        notes += told_by(known, features, signature, answers)
        distribution = _distribution(signature, rows, answers, notes)
    compilation = _compiled(model, features, notes) if compiled else None
    with source.open("rb") as opened:
        file = kept_as(source, opened)
    manifest = Manifest(
        name=name,
        version=version,
        file=file,
        digest=digest,
        code=None if modules is None else "sha256:" + hashlib.sha256(modules).hexdigest(),
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
        shutil.copyfile(source, staging / file)
        if modules is not None:
            (staging / CODE_FILE).write_bytes(modules)
        manifest.write(staging)
        artifact = _proven(load(staging, name=name, version=version, compiled=False, trusted=trusted))
        if compilation is not None and compilation.form is not None:
            (staging / compilation.form.file).write_bytes(compilation.content)
            artifact = _proven(load(staging, name=name, version=version, trusted=trusted))
        _move(staging, directory, notes)
        return Packed(artifact, directory, list(dict.fromkeys(notes + artifact.notes)), compilation)
    except OSError as error:
        raise ArtifactError(f"{error.filename or output} cannot be written: {error.strerror or error}") from None
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _signature(
    told: Signature,
    estimator: Any,
    features: pd.DataFrame | None,
    known: Knowledge,
    declarations: Mapping[str, Declaration],
    missing: Sequence[str],
    notes: list[str],
    *,
    is_typed: bool,
    has_target: bool,
) -> Signature:
    """What the estimator tells, what the data shows and what is declared."""
    numbers_only, columns = inspection.numbers_only(estimator) and told.input != "text", told.columns
    if features is not None:
        columns = tuple(
            observed(
                features[name],
                numbers_only=numbers_only,
                in_frame=told.input == "frame",
                known=known,
                is_declared=_declares_type(declarations.get(str(name))),
                is_typed=is_typed,
                missing_words=missing,
                has_target=has_target,
            )
            for name in features
        )
        if told.input == "text" and columns[0].type != "string":
            raise ArtifactError(
                f"A text model takes strings, the data's column {columns[0].name!r} holds {columns[0].type}s"
            )
        if told.input == "text":  # no vectorizer takes a missing text
            columns = (columns[0].model_copy(update={"nullable": False}),)
    else:
        notes.append(
            "Without --data there are no example rows to verify answers with, and the columns' types and ranges are "
            "not known"
        )
        if columns is not None and not told.named and len(declarations) == len(columns):
            columns = tuple(
                column.model_copy(update={"name": name}) for column, name in zip(columns, declarations, strict=True)
            )
    names = [column.name for column in columns or ()]
    unknown = [name for name in declarations if name not in names]
    if unknown:
        raise ArtifactError(
            f"columns.toml declares columns that the model does not have: {listed(unknown)}; it has {listed(names)}"
        )
    if columns is None:
        return told
    columns = tuple(declared(column, declarations.get(column.name)) for column in columns)
    named = told.named or features is not None or bool(names and set(names) == set(declarations))
    return Signature(input=told.input, columns=columns, named=named, classes=told.classes, labels=told.labels)


def _declares_type(declaration: Declaration | None) -> bool:
    return declaration is not None and (declaration.type or declaration.dtype or declaration.categories) is not None


def _labelled(signature: Signature, labels: Sequence[str] | None, estimator: Any) -> Signature:
    if labels is None:
        return signature
    if signature.classes is None or signature.multi_output:
        raise ArtifactError(f"--labels names the classes of one output, which {type(estimator).__name__} does not have")
    if len(labels) != len(signature.classes) or len(set(labels)) != len(labels):
        raise ArtifactError(
            f"--labels must name {len(signature.classes)} different classes, in the order of {signature.classes}"
        )
    return signature.model_copy(update={"labels": list(labels)})


def _distribution(
    signature: Signature, rows: list[list[Any]], answers: Answers, notes: list[str]
) -> Distribution | None:
    if len(rows) < FEWEST_ROWS:
        notes.append(
            f"Drift will not be measured: it takes {FEWEST_ROWS} rows of data to measure it against, there are "
            f"{len(rows)}"
        )
        return None
    distribution = learn_distribution(signature, rows, answers)
    tracked = {variable.name for variable in distribution.features}
    untracked = [name for name in signature.names or () if name not in tracked]
    if untracked:
        notes.append(f"Drift of these columns will not be measured: {listed(untracked)}")
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
    """The packed model, which must answer its own examples again, and what a server would try it with."""
    batch = artifact.trial_batch()
    if batch is None:
        return artifact
    try:
        answers = tried(artifact.model, batch)
    except Exception as error:  # an estimator may raise anything
        raise ArtifactError(f"No server would serve it, for {artifact.failing(described(error))}") from error
    if artifact.example_batch() is not None and (difference := artifact.disagreement(answers)) is not None:
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

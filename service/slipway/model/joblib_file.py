"""The estimator in a joblib file as a model: nothing in the file runs before its digest is verified."""

import contextlib
import warnings
from pathlib import Path
from typing import Any, BinaryIO

import joblib
import numpy as np
from pydantic import ValidationError
from sklearn.exceptions import InconsistentVersionWarning
from threadpoolctl import ThreadpoolController

from ..errors import ArtifactError, BrokenArtifact
from ..system.files import open_file
from .contained import contained, described, harmless
from .estimator import Model, require_predict
from .file_kinds import foreign, unloadable
from .format_one import check_categories
from .inspection import classes, joins_words, names, width
from .known_columns import known_columns
from .manifest import Manifest, first_error
from .signature import Signature
from .verify import open_verified

_MOST_NOTES = 20


def load_model(path: Path, manifest: Manifest | None, notes: list[str]) -> tuple[Model, str]:
    """The model and the file's digest, without a prediction. Raises ArtifactError, saying what to do, and nothing else.

    One at a time: catching warnings is process-wide.
    """
    try:
        estimator, digest = load_estimator(path, None if manifest is None else manifest.digest, notes)
        require_predict(estimator)
        return _model(estimator, manifest, path.parent, notes), digest
    finally:
        _end_openmp_threads()


def load_estimator(path: Path, expected_digest: str | None, notes: list[str]) -> tuple[Any, str]:
    """The object in a joblib file and the file's digest, which is verified on the same open file before any of it
    runs.
    """
    with open_verified(path, expected_digest) as (file, digest):
        return _unpickle(file, path, notes), digest


def _unpickle(file: BinaryIO, path: Path, notes: list[str]) -> Any:
    # Not left to joblib, which would take a table's first letter for an order to import.
    if (kind := foreign(file)) is not None:
        raise ArtifactError(f"{path} is no joblib file that can be loaded: it is {kind}")
    try:
        with warnings.catch_warnings(record=True) as caught, contained:
            warnings.simplefilter("always")
            estimator = joblib.load(file)
    except MemoryError:
        raise ArtifactError(f"{path} does not fit into memory, or is corrupt") from None
    except Exception as error:  # a pickle may raise anything
        with open_file(path) as again:
            why = f"{path} {unloadable(again, error)}"
        raise (BrokenArtifact if isinstance(error, ImportError) else ArtifactError)(why) from error
    for warning in caught:
        note = harmless(str(warning.message))
        if isinstance(warning.message, InconsistentVersionWarning):
            fitted, here = warning.message.original_sklearn_version, warning.message.current_sklearn_version
            note = f"Fitted with scikit-learn {fitted}, loaded with {here}: answers may differ"
        if note not in notes and len(notes) < _MOST_NOTES:
            notes.append(note)
    return estimator


def _model(estimator: Any, manifest: Manifest | None, directory: Path, notes: list[str]) -> Model:
    try:
        signature = Signature.of(estimator) if manifest is None else manifest.signature
        lacking = "a manifest" if manifest is None else "the data that shows them"
        _check_categories(estimator, signature, directory, lacking)
        if manifest is not None:
            _check_signature(signature, estimator, directory)
            if manifest.format_version == 1:
                check_categories(manifest, estimator)
        with contained:
            model = Model(estimator, signature)
    except ArtifactError:
        raise
    except ValidationError as error:
        raise ArtifactError(f"{directory} holds an estimator that cannot be served: {first_error(error)}") from None
    except Exception as error:  # an estimator's own attributes may raise anything
        raise ArtifactError(f"{directory} holds an estimator that cannot be served: {described(error)}") from error
    if hasattr(estimator, "predict_proba") and signature.classes is None:
        notes.append("The estimator has predict_proba but no classes_: its probabilities are not served")
    return model


def _check_signature(signature: Signature, estimator: Any, directory: Path) -> None:
    """A manifest that was edited by hand may no longer describe its model."""
    count = width(estimator)
    if signature.columns is not None and count is not None and len(signature.columns) != count:
        raise BrokenArtifact(
            f"{directory}: the manifest has {len(signature.columns)} columns, the estimator {count}: pack the model "
            "again"
        )
    if signature.classes != classes(estimator):
        raise BrokenArtifact(f"{directory}: the manifest's classes are not the estimator's: pack the model again")
    wanted = names(estimator)
    if signature.input == "frame" and wanted is not None:
        joined = joins_words(estimator)  # blanks and underscores are the same to it
        pairs = zip(signature.names or (), wanted, strict=False)
        for name, own in pairs:
            if name != own and not (joined and name.replace(" ", "_") == own.replace(" ", "_")):
                raise BrokenArtifact(
                    f"{directory}: the manifest has a column {name!r} where the estimator has {own!r}: pack the model "
                    "again"
                )
    for column in signature.columns or ():
        if column.dtype is not None and not _is_dtype(column.dtype):
            raise BrokenArtifact(
                f"{directory}: the manifest's dtype of {column.name!r}, {column.dtype!r}, is none of pandas': pack it "
                "again"
            )


def _is_dtype(name: str) -> bool:
    with contextlib.suppress(TypeError, ValueError):
        return np.dtype(name) is not None
    # Not at the top: most models of arrays do without pandas.
    from pandas.api.types import pandas_dtype

    try:
        return pandas_dtype(name) is not None
    except (TypeError, ValueError):
        return False


def _check_categories(estimator: Any, signature: Signature, directory: Path, lacking: str) -> None:
    """A model that was fitted on categories is served only if it, or what vouches for it, tells which and of which
    columns.
    """
    columns = signature.columns or ()
    # Data has shown them; to ask a large estimator takes a while.
    if not any(column.type == "any" for column in columns):
        return
    told = [column.name for column in columns if column.dtype == "category"]
    if categories := known_columns(estimator, names(estimator) or ()).untold(told):
        raise ArtifactError(
            f"{directory} holds an estimator that was fitted on {categories}, and does not tell enough of them "
            f"to serve it without {lacking}: pack it with `slipway pack --data`"
        )


def _end_openmp_threads() -> None:
    """Loading XGBoost starts OpenMP threads. A fork does not copy them, and a forked child that wants them waits for
    ever.
    """
    for library in ThreadpoolController().lib_controllers:
        if library.user_api == "openmp" and hasattr(library.dynlib, "omp_pause_resource_all"):
            library.dynlib.omp_pause_resource_all(1)  # omp_pause_soft: threads start anew when they are wanted

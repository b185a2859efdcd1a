"""The estimator in its file as a model, whatever its format: nothing in the file runs before its digest is verified."""

import contextlib
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from pydantic import ValidationError

from ..errors import ArtifactError, BrokenArtifact
from ..settings import Trust
from .contained import contained, described
from .estimator import Model, require_predict
from .format_one import check_categories
from .formats.mlflow_folder import MlflowFolder, read_mlflow
from .formats.registry import RUN_NO_CODE, Format, recognised
from .inspection import classes, joins_words, names, width
from .known_columns import known_columns
from .manifest import Manifest, first_error
from .own_modules import CODE_FILE, MOST_BYTES, OwnModules
from .signature import Signature
from .verify import NOBODY, Trusted, open_verified

_EXTRAS: dict[Format, str] = {"skops": "skops", "onnx": "onnx"}


def load_model(
    path: Path, manifest: Manifest | None, notes: list[str], trusted: Trusted = NOBODY, trust: Trust = "any"
) -> tuple[Model, str]:
    """The model and the file's digest, without a prediction. Raises ArtifactError, saying what to do, and nothing else.

    One at a time: catching warnings is process-wide.
    """
    expected = None if manifest is None else manifest.digest
    code = None if manifest is None or manifest.code is None else _own_modules(path.parent, manifest.code, trust)
    estimator, digest = load_estimator(path, expected, notes, trusted, trust, code)
    require_predict(estimator)
    return _model(estimator, manifest, path.parent, notes), digest


def load_estimator(
    path: Path,
    expected_digest: str | None,
    notes: list[str],
    trusted: Trusted = NOBODY,
    trust: Trust = "any",
    code: OwnModules | None = None,
) -> tuple[Any, str]:
    """The object in a model's file and the file's digest, which is verified on the same open file before any of it
    runs. At the level `safe` a pickle is not opened.
    """
    with open_verified(path, expected_digest) as (file, digest):
        form = recognised(file)
        if trust == "safe" and form not in RUN_NO_CODE:
            raise BrokenArtifact(
                f"{path} is a {'pickle' if form == 'joblib' else f'file of {form}'}, which SLIPWAY_TRUST=safe does not "
                f"open: {'loading it would run the code in it. ' if form == 'joblib' else ''}Write the model with "
                "skops.io.dump or as ONNX, or pack it with --compile"
            )
        try:
            with contextlib.nullcontext() if code is None else code.importable():
                return _read(form, file, path, trusted, notes), digest
        except ModuleNotFoundError as error:
            if form == "joblib":
                raise
            extra = _EXTRAS.get(form)
            way = f"pip install 'slipway-serve[{extra}]'" if extra else f"install {form}"
            raise BrokenArtifact(
                f"{path} needs the Python module {error.name!r}, which is not installed here: {way}"
            ) from None


def _own_modules(directory: Path, digest: str, trust: Trust) -> OwnModules:
    if trust == "safe":
        raise BrokenArtifact(
            f"{directory} has modules of its own in {CODE_FILE}, which SLIPWAY_TRUST=safe does not run: install "
            "them where it is served, and pack it without --code"
        )
    with open_verified(directory / CODE_FILE, digest) as (file, _):
        return OwnModules(file.read(MOST_BYTES))


def _read(form: Format, file: BinaryIO, path: Path, trusted: Trusted, notes: list[str]) -> Any:
    # Not at the top: a server imports the libraries of the formats that it has, and no others.
    if form == "onnx":
        from .formats.onnx_file import read as read_onnx

        return read_onnx(file, path)
    if form == "lightgbm":
        from .formats.lightgbm_file import read as read_lightgbm

        return read_lightgbm(file, path)
    if form == "xgboost":
        from .formats.xgboost_file import read as read_xgboost

        return read_xgboost(file, path)
    from .formats.joblib_file import read as read_joblib
    from .formats.openmp import end_openmp_threads

    try:
        if form == "joblib":
            return read_joblib(file, path, notes)
        from .formats.skops_file import read as read_skops

        return read_skops(file, path, trusted.types, notes)
    finally:
        end_openmp_threads()


def told_signature(estimator: Any, saved: MlflowFolder | None) -> Signature:
    """What the estimator tells by itself, and what MLflow's signature does, where there is one."""
    told = Signature.of(estimator)
    return told if saved is None else saved.refined(told)


def _model(estimator: Any, manifest: Manifest | None, directory: Path, notes: list[str]) -> Model:
    try:
        signature = told_signature(estimator, read_mlflow(directory)) if manifest is None else manifest.signature
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

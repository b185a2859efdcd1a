"""The folder of models: which versions of which models it holds, and what its models.toml overrides."""

import logging
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..errors import ArtifactError
from ..model.file_kinds import instead
from ..model.formats.mlflow_folder import MLMODEL
from ..model.formats.registry import MODEL_FILE, file_in
from ..model.manifest import MANIFEST, MOST_BYTES, NAME_PATTERN, Serving, first_error
from ..settings import Execution
from ..system.files import read_file

log = logging.getLogger("slipway.models")

OVERRIDES_FILE = "models.toml"
_MOST_NAMED = 5


class Overrides(BaseModel):
    """One table of models.toml; None leaves what the manifest says."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    version: str | None = Field(None, description="The default version, instead of the highest.")
    default: bool | None = None
    execution: Execution | None = None
    batching: bool | None = None
    compiled: bool | None = None
    lazy: bool | None = None
    optional: bool | None = None
    signature_change: bool | None = Field(None, description="A reload may change what callers must send.")
    log_rate: float | None = Field(None, ge=0, le=1)
    drift: bool | None = Field(None, description="false: its drift is not counted, though its manifest could tell it.")

    def applied_to(self, serving: Serving) -> Serving:
        others = {"version", "signature_change", "drift"}
        return serving.model_copy(update=self.model_dump(exclude=others, exclude_none=True))


def find_models(folder: Path) -> list[tuple[str, str, Path]]:
    """All (name, version, directory) by name and version; a bare model is version 1. Raises ArtifactError where two
    are the same.
    """
    found: dict[tuple[str, str], Path] = {}
    for name, version, directory in _candidates(folder):
        if not _holds_model(directory):
            continue
        if (name, version) in found:
            raise ArtifactError(
                f"{found[name, version]} and {directory} both hold model {name} {version}: move one of them away"
            )
        found[name, version] = directory
    ordered = sorted(found, key=lambda key: (key[0], version_key(key[1])))
    return [(name, version, found[name, version]) for name, version in ordered]


def served_in(folder: Path) -> list[tuple[str, str, Path]]:
    """Name, version and directory of each. Raises ArtifactError where there are none."""
    if not folder.is_dir():
        raise ArtifactError(
            f"The models folder {folder} does not exist: create it with `slipway pack`, or name another with "
            "SLIPWAY_MODELS"
        )
    found, others = find_models(folder), overlooked(folder)
    if not found:
        remedy = "; ".join(others) or f"add one with `slipway pack MODEL.joblib --name NAME --output {folder}`"
        raise ArtifactError(f"The models folder {folder} holds no model: {remedy}")
    for other in others:
        log.warning("not served: %s", other)
    return found


def overlooked(folder: Path) -> list[str]:
    """A sentence for each folder that `find_models` passes over although what is in it looks like a model."""
    passed = [directory for _, _, directory in _candidates(folder) if not _holds_model(directory)]
    return [found for directory in passed if (found := instead(directory)) is not None]


def models_in(directory: Path) -> list[Path]:
    """The model directories that a command is given: this one, or all below it. Raises ArtifactError where there are
    none.
    """
    if _holds_model(directory):
        return [directory]
    found = [path for _, _, path in find_models(directory)]
    if not found:
        hint = next(iter(overlooked(directory)), None) or (
            "name a model's folder, such as models/iris/1, or a folder of models"
        )
        raise ArtifactError(f"{directory} holds no {MODEL_FILE}: {hint}")
    return found


def model_in(directory: Path) -> Path:
    """The one model directory that a command is given. Raises ArtifactError with those that are there, or beside it."""
    if _holds_model(directory):
        return directory
    is_there = directory.is_dir()
    found = [str(path) for _, _, path in find_models(directory if is_there else directory.parent)]
    way = f"name one of {', '.join(found[:_MOST_NAMED])}" if found else "name a model's folder, such as models/iris/1"
    hint = next(iter(overlooked(directory)), way) if is_there and not found else way
    raise ArtifactError(f"{directory} {f'holds no {MODEL_FILE}' if is_there else 'does not exist'}: {hint}")


def _candidates(folder: Path) -> Iterator[tuple[str, str, Path]]:
    yield "model", "1", folder
    for directory in _folders_in(folder):
        yield directory.name, "1", directory
        yield from ((directory.name, version.name, version) for version in _folders_in(directory))


def _holds_model(directory: Path) -> bool:
    names = (MANIFEST, MLMODEL)
    return file_in(directory) is not None or any((directory / name).exists() for name in names)


def version_key(version: str) -> tuple[Any, ...]:
    """Orders versions as people read them: 10 > 9, 1.10 > 1.2, and 2.0 > 2.0-rc1."""
    parts = re.findall(r"\d+|[A-Za-z]+", version)
    return (*((2, int(part), "") if part.isdigit() else (0, 0, part) for part in parts), (1, 0, ""), version)


def read_overrides(folder: Path) -> dict[str, Overrides]:
    """The tables of models.toml by model; empty without the file. Raises ArtifactError naming what is wrong."""
    path = folder / OVERRIDES_FILE
    try:
        tables = tomllib.loads(read_file(path, MOST_BYTES).decode())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:  # TOMLDecodeError and UnicodeDecodeError are ValueErrors
        raise ArtifactError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    overrides = {}
    for name, table in tables.items():
        if not isinstance(table, dict):
            raise ArtifactError(f"{path}: {name} must be a table: put the keys of a model under [{name}]")
        try:
            overrides[name] = Overrides.model_validate(table)
        except ValidationError as error:
            raise ArtifactError(
                f"{path}: [{name}] {first_error(error)}; the keys are {', '.join(Overrides.model_fields)}"
            ) from None
    return overrides


def _folders_in(folder: Path) -> list[Path]:
    """Subfolders with a name that can stand in a path; `..data` of a mounted ConfigMap and other hidden ones are not
    models.
    """
    try:
        return sorted(entry for entry in folder.iterdir() if re.fullmatch(NAME_PATTERN, entry.name) and entry.is_dir())
    except FileNotFoundError:
        return []
    except OSError as error:
        raise ArtifactError(f"{folder} cannot be read: {error.strerror}") from None

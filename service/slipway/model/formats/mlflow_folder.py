"""A model that MLflow saved: a folder with a file MLmodel, which names the file, its columns and an example. Read
without MLflow.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from ...errors import ArtifactError, BrokenArtifact
from ...system.files import read_file
from ..contained import harmless
from ..signature import Column, ColumnType, Signature

MLMODEL = "MLmodel"
_MOST_BYTES = 64 * 1024 * 1024
# Where a flavour names its file.
_FLAVOURS = {"sklearn": "pickled_model", "xgboost": "data", "lightgbm": "data", "onnx": "data"}
# Of a column in MLflow's signature: its JSON type, and its dtype where no value may be missing.
_TYPES: dict[str, tuple[ColumnType, str | None]] = {
    "boolean": ("boolean", None),
    "datetime": ("datetime", "datetime64[ns]"),
    "double": ("number", None),
    "float": ("number", "float32"),
    "integer": ("integer", "int32"),
    "long": ("integer", "int64"),
    "string": ("string", None),
}


@dataclass(frozen=True)
class MlflowFolder:
    """`types`: MLflow's types of the columns, by name; `required`: those that may not be missing."""

    directory: Path
    flavour: str
    file: Path
    types: Mapping[str, str]
    required: frozenset[str]
    fitted_with: str | None = None  # of scikit-learn

    def refined(self, told: Signature) -> Signature:
        """What the estimator tells, with the names and types that only MLflow's signature has."""
        columns = told.columns
        if columns is None or told.input == "text" or len(columns) != len(self.types):
            return told
        names = [column.name for column in columns]
        if told.input == "array" and not told.named:
            names = list(self.types)
        elif set(names) != set(self.types):
            return told
        pairs = zip(names, columns, strict=True)
        refined = tuple(self._column(name, column, in_frame=told.input == "frame") for name, column in pairs)
        return told.model_copy(update={"columns": refined, "named": True})

    def _column(self, name: str, column: Column, *, in_frame: bool) -> Column:
        update: dict[str, Any] = {"name": name}
        told = _TYPES.get(self.types[name])
        if told is not None and column.dtype is None and column.categories is None and in_frame:
            is_required = name in self.required
            update |= {"type": told[0], "dtype": told[1] if is_required or told[0] == "datetime" else None}
            update["nullable"] = column.nullable or not is_required
        return column.model_copy(update=update)

    def example(self) -> tuple[list[str] | None, list[list[Any]]] | None:
        """Names, where there are any, and rows of the saved input example; None where there is none."""
        for name in ("serving_input_example.json", "input_example.json"):
            try:
                found = json.loads(read_file(self.directory / name, _MOST_BYTES))
            except FileNotFoundError:
                continue
            except (OSError, ValueError) as error:
                raise ArtifactError(f"{self.directory / name} cannot be read: {harmless(str(error))}") from None
            if isinstance(found, dict):
                found = found.get("dataframe_split", found)
                names, rows = found.get("columns"), found.get("data", found.get("inputs"))
                if isinstance(rows, list) and rows and all(isinstance(row, list) for row in rows):
                    return None if names is None else [str(name) for name in names], rows
        return None


def read_mlflow(directory: Path) -> MlflowFolder | None:
    """What MLmodel says; None where there is none. Raises ArtifactError, naming what cannot be served."""
    path = directory / MLMODEL
    try:
        content = read_file(path, _MOST_BYTES)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read: {error.strerror or error}") from None
    try:
        # Not at the top: who has no such folder does without PyYAML.
        import yaml
    except ModuleNotFoundError:
        raise BrokenArtifact(
            f"{path} needs the Python module 'yaml', which is not installed here: pip install 'slipway-serve[mlflow]'"
        ) from None
    try:
        found = yaml.safe_load(content)
        flavours = found["flavors"]
        flavour = next((name for name in _FLAVOURS if name in flavours), None)
        if flavour is None:
            others = ", ".join(sorted(harmless(str(name)) for name in flavours if name != "python_function"))
            raise ArtifactError(
                f"{directory} is a model of MLflow of the flavour {others or 'python_function'}, whose code only "
                f"MLflow runs: log the estimator itself, as one of {', '.join(_FLAVOURS)}"
            )
        own = flavours[flavour]
        name = str(own.get(_FLAVOURS[flavour]) or "model.pkl")
        version = own.get("sklearn_version")
        columns = _columns(found.get("signature"))
    except (yaml.YAMLError, KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
        raise ArtifactError(f"{path} is no file of MLflow that can be read: {type(error).__name__}") from None
    file = directory / name
    if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
        raise BrokenArtifact(f"{path} names a file outside of its folder, {harmless(name)}: it is not opened")
    if file.is_dir():  # an ONNX model with its weights beside it
        raise ArtifactError(f"{file} is a folder: save the model as one file")
    types = {each: kind for each, (kind, _) in columns.items()}
    required = frozenset(each for each, (_, is_required) in columns.items() if is_required)
    return MlflowFolder(directory, flavour, file, types, required, None if version is None else str(version))


def _columns(signature: Any) -> dict[str, tuple[str, bool]]:
    """Type and whether it is required, by name; empty for tensors, which have no names."""
    inputs = (signature or {}).get("inputs")
    if not inputs:
        return {}
    columns = json.loads(inputs) if isinstance(inputs, str) else inputs
    if not all(isinstance(column, dict) and isinstance(column.get("name"), str) for column in columns):
        return {}
    return {column["name"]: (str(column.get("type")), bool(column.get("required", True))) for column in columns}

"""The estimator in a file of joblib, pickle or cloudpickle: all are pickles, and run what is in them."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import joblib
from sklearn.exceptions import InconsistentVersionWarning

from ...errors import ArtifactError, BrokenArtifact
from ...system.files import open_file
from ..contained import contained, harmless
from ..file_kinds import foreign, unloadable

_MOST_NOTES = 20


def read(file: BinaryIO, path: Path, notes: list[str]) -> Any:
    """The object in it. Raises ArtifactError, saying what else it is or what it lacks."""
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
    note_warnings([warning.message for warning in caught], notes)
    return estimator


def note_warnings(caught: Sequence[Warning | str], notes: list[str]) -> None:
    """What was warned of while an estimator was read, once each."""
    for warning in caught:
        note = harmless(str(warning))
        if isinstance(warning, InconsistentVersionWarning):
            fitted, here = warning.original_sklearn_version, warning.current_sklearn_version
            note = f"Fitted with scikit-learn {fitted}, loaded with {here}: answers may differ"
        if note not in notes and len(notes) < _MOST_NOTES:
            notes.append(note)

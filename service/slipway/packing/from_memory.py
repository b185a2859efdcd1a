"""An estimator and its data that are in memory, as `pack` takes them: a joblib file, and a frame with its targets."""

import pickle
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FunctionType
from typing import Any

import joblib
import numpy as np
import pandas as pd

from ..errors import ArtifactError
from ..model import inspection
from ..model.contained import contained, described

MAIN = "__main__"
_MOST_NAMED = 5


class _Nowhere:
    def write(self, _: object) -> None:
        pass


class _Names(pickle.Pickler):
    """Finds what a pickle would hold only by its name in the notebook or script that runs."""

    def __init__(self) -> None:
        super().__init__(_Nowhere(), pickle.HIGHEST_PROTOCOL)
        self.found: dict[str, None] = {}

    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, type | FunctionType) and value.__module__ == MAIN:
            self.found[value.__qualname__] = None
        return NotImplemented


@contextmanager
def estimator_file(estimator: Any, folder: Path) -> Iterator[Path]:
    """The estimator as joblib.dump writes it, in a hidden file of `folder` that goes away. Raises ArtifactError for
    what no other process could load.
    """
    path = folder / f".packing-{uuid.uuid4().hex}.joblib"
    names = _Names()
    try:
        with contained:
            names.dump(estimator)
        folder.mkdir(parents=True, exist_ok=True)
        with contained:
            joblib.dump(estimator, path)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise ArtifactError(f"{error.filename or folder} cannot be written: {error.strerror or error}") from None
    except Exception as error:  # what an estimator holds may raise anything
        path.unlink(missing_ok=True)
        raise ArtifactError(
            f"{type(estimator).__name__} cannot be saved: {described(error)}: leave out of it what only this process "
            "has, such as lambdas, open files and generators"
        ) from error
    try:
        if names.found:
            own = ", ".join(list(names.found)[:_MOST_NAMED])
            raise ArtifactError(
                f"The estimator needs {own} of this notebook or script, which no server can import: put it into a "
                "module (a .py file on the server's PYTHONPATH), import it from there, fit again, and pack that"
            )
        yield path
    finally:
        path.unlink(missing_ok=True)


def frame_of(estimator: Any, X: Any) -> pd.DataFrame:
    """A frame of the rows that the estimator was fitted on. An array's columns are named as the estimator has them,
    else x0, x1, … Raises ArtifactError.
    """
    if isinstance(X, pd.DataFrame):
        return X
    if isinstance(X, pd.Series):
        return X.to_frame("text" if X.name is None else str(X.name))
    if inspection.takes_text(estimator):
        return pd.DataFrame({"text": pd.Series(list(X), dtype="str")})
    if hasattr(X, "toarray"):  # scipy's sparse matrices
        X = X.toarray()
    values = np.asarray(X)
    if values.ndim != 2:
        raise ArtifactError(
            f"X has the shape {values.shape}: give a DataFrame, or an array of two dimensions, rows by columns"
        )
    names = inspection.names(estimator)
    if names is None or len(names) != values.shape[1]:
        names = tuple(f"x{place}" for place in range(values.shape[1]))
    return pd.DataFrame(values, columns=list(names))


def with_targets(features: pd.DataFrame, y: Any) -> tuple[pd.DataFrame, Sequence[str] | None]:
    """The frame with the columns of y beside it, row by row, and their names; None without y. Raises ArtifactError."""
    if y is None:
        return features, None
    if isinstance(y, pd.DataFrame):
        targets = y.rename(columns=str)
    elif isinstance(y, pd.Series):
        targets = y.to_frame("target" if y.name is None else str(y.name))
    else:
        values = np.asarray(y)
        several = values.ndim == 2 and values.shape[1] > 1
        names = [f"target_{place}" for place in range(values.shape[1])] if several else ["target"]
        targets = pd.DataFrame(values if several else values.reshape(-1), columns=names)
    if len(targets) != len(features):
        raise ArtifactError(f"X has {len(features):,} rows, y has {len(targets):,}: they must be of the same rows")
    taken = {str(name) for name in features}
    names = [_free(str(name), taken) for name in targets]
    both = pd.concat([features.reset_index(drop=True), targets.set_axis(names, axis=1).reset_index(drop=True)], axis=1)
    return both, names


def _free(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    taken.add(name)
    return name

"""The input example that was saved with a model of MLflow, as the data of `slipway pack`."""

from typing import Any

import pandas as pd

from ..errors import ArtifactError
from ..model.contained import described
from ..model.formats.mlflow_folder import MlflowFolder

# MLflow's names of types, as pandas has them; a column in which a value may be missing keeps what pandas makes of it.
_DTYPES: dict[str, Any] = {
    "boolean": "bool",
    "datetime": "datetime64[ns]",
    "double": "float64",
    "float": "float32",
    "integer": "int32",
    "long": "int64",
    "string": "str",
}


def example_frame(saved: MlflowFolder) -> pd.DataFrame | None:
    """In the dtypes of MLflow's signature; None where no example was saved. Raises ArtifactError."""
    found = saved.example()
    if found is None:
        return None
    names, rows = found
    try:
        names = names or (list(saved.types) if len(saved.types) == len(rows[0]) else None)
        frame = pd.DataFrame(rows, columns=names or [f"x{place}" for place in range(len(rows[0]))])
        for name, kind in saved.types.items():
            if (
                name in frame
                and kind in _DTYPES
                and (name in saved.required or kind in ("datetime", "double", "float"))
            ):
                frame[name] = frame[name].astype(_DTYPES[kind])
        return frame
    except Exception as error:  # a file that was edited by hand may hold anything
        raise ArtifactError(
            f"The input example in {saved.directory} does not fit MLflow's signature: {described(error)}"
        ) from None

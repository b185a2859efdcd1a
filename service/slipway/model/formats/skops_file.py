"""The estimator in a file of skops, which runs no code but that of the types it names: scikit-learn's, and those on
the operator's list.
"""

import json
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import skops.io
from skops.io.exceptions import UntrustedTypesFoundException

from ...errors import ArtifactError, BrokenArtifact
from ..contained import contained, described, harmless
from .joblib_file import note_warnings

_MOST_NAMED = 20
_A_NAME = re.compile(r"[\w.]+", re.ASCII)


def read(file: BinaryIO, path: Path, trusted: Sequence[str], notes: list[str]) -> Any:
    """`trusted`: the operator's list of types. Raises ArtifactError, naming what the file asks for beyond it."""
    try:
        with warnings.catch_warnings(record=True) as caught, contained:
            warnings.simplefilter("always")
            estimator = skops.io.load(file, trusted=list(trusted))
    except UntrustedTypesFoundException:
        file.seek(0)
        asked = skops.io.get_untrusted_types(data=file.read())
        off = [harmless(name) for name in asked if name not in trusted]
        # A file can name a type so that it is more than a value to a shell.
        named = [name for name in (*trusted, *off[:_MOST_NAMED]) if _A_NAME.fullmatch(name)]
        more = f" and {len(off) - _MOST_NAMED} more" if len(off) > _MOST_NAMED else ""
        raise BrokenArtifact(
            f"{path} asks for types that are not on your list of trusted ones: {', '.join(off[:_MOST_NAMED])}{more}. "
            f"If you trust their code, list them: SLIPWAY_TRUSTED_TYPES='{json.dumps(named)}'"
        ) from None
    except MemoryError:
        raise ArtifactError(f"{path} does not fit into memory, or is corrupt") from None
    except ImportError as error:
        raise BrokenArtifact(
            f"{path} needs the Python module {error.name!r}, which is not installed here: install it"
        ) from error
    except Exception as error:  # of a file that was made to harm, anything
        raise ArtifactError(
            f"{path} is no file of skops that can be loaded: {described(error)}. It is damaged, or of another version "
            "of skops: copy it again, or write it again with skops.io.dump"
        ) from error
    note_warnings([warning.message for warning in caught], notes)
    return estimator

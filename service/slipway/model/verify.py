"""What may be loaded: the digest that the manifest states, and the libraries that the model was fitted with."""

import hashlib
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, BinaryIO, Self

from ..errors import ArtifactError, BrokenArtifact
from ..settings import Settings
from ..system.files import open_file
from .file_kinds import instead
from .formats.native import Native
from .manifest import Manifest


@dataclass(frozen=True)
class Trusted:
    """What the operator trusts, never what a file asks for. `types`: of skops files, by their full names."""

    types: tuple[str, ...] = ()
    key: Path | None = None  # of signatures

    @classmethod
    def by(cls, settings: Settings) -> Self:
        return cls(tuple(settings.trusted_types), settings.trust_key)


NOBODY = Trusted()


@contextmanager
def open_verified(path: Path, expected_digest: str | None) -> Iterator[tuple[BinaryIO, str]]:
    """A model file, open at its beginning, and its digest. Raises ArtifactError where another digest is expected."""
    try:
        with open_file(path) as file:
            digest = "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()
            if expected_digest is not None and digest != expected_digest:
                raise BrokenArtifact(
                    f"{path} is not the file that was packed: its digest is {digest}, the manifest says "
                    f"{expected_digest}. "
                    "Restore the file, or pack the model again if it was meant to change"
                )
            file.seek(0)
            yield file, digest
    except FileNotFoundError:
        found = instead(path.parent)
        raise BrokenArtifact(f"{path} does not exist" + (f"; {found}" if found else "")) from None
    except IsADirectoryError:
        raise ArtifactError(instead(path) or f"{path} is a folder: name the model's file") from None
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read: {error.strerror or error}") from None


def library_versions(estimator: Any) -> dict[str, str]:
    """Versions of Python, of the libraries that unpickle an estimator and of the one that it comes from."""
    versions = {"python": platform.python_version()}
    if isinstance(estimator, Native):
        own: tuple[str, ...] = ("numpy", estimator.runtime)
    else:
        own = ("scikit-learn", "numpy", "joblib", _distribution(estimator))
    for name in own:
        found = installed_version(name)
        if found is not None:
            versions[name] = found
    return versions


def installed_version(distribution: str) -> str | None:
    if distribution == "python":
        return platform.python_version()
    for name in (distribution, f"{distribution}-cpu"):  # xgboost-cpu provides xgboost
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return None


def _distribution(estimator: Any) -> str:
    package = type(estimator).__module__.partition(".")[0]
    return {"sklearn": "scikit-learn"}.get(package, package)


def version_notes(manifest: Manifest, allow_mismatch: bool) -> list[str]:
    """Raises for another scikit-learn; other libraries are noted."""
    notes = []
    for library, packed in manifest.libraries.items():
        here = installed_version(library)
        if here == packed:
            continue
        if library == "scikit-learn" and not allow_mismatch:
            if here is None:
                raise BrokenArtifact(
                    "Only its estimator can answer, but scikit-learn is not installed here: install "
                    f"scikit-learn=={packed}, "
                    "or pack the model with --compile"
                )
            raise BrokenArtifact(
                f"Packed with scikit-learn {packed}, but {here} is installed: install scikit-learn=={packed}, "
                "pack the model again, or set SLIPWAY_ALLOW_VERSION_MISMATCH=true"
            )
        notes.append(
            f"Packed with {library} {packed}, {'not installed here' if here is None else f'loaded with {here}'}"
        )
    return notes

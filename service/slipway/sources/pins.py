"""Which version of each model answers where none is named: the highest, or the one that models.toml pins. Changing
that keeps the comments of the file.
"""

from pathlib import Path
from typing import NamedTuple

import tomlkit
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import InlineTable, Table

from ..errors import ArtifactError
from ..model.manifest import MOST_BYTES
from ..system.files import read_file, whole
from .folder import OVERRIDES_FILE, read_overrides, served_in, version_key

_READABLE = 0o644  # by the server, which may be another user


class Held(NamedTuple):
    """One version in the folder. `default`: it answers where no version is named, unless a server has refused it."""

    name: str
    version: str
    directory: Path
    default: bool
    pinned: bool


def held(folder: Path) -> list[Held]:
    """By name and version. Raises ArtifactError for a folder that no server would read."""
    versions = _versions(folder)
    pins = {name: table.version for name, table in read_overrides(folder).items()}
    return [
        Held(name, version, directory, version == (pins.get(name) or _highest(found)), version == pins.get(name))
        for name, found in versions.items()
        for version, directory in found.items()
    ]


def pin(folder: Path, name: str, version: str) -> None:
    """Raises ArtifactError, naming the versions that there are."""
    versions = _versions_of(folder, name)
    if version not in versions:
        raise ArtifactError(f"Model {name} has no version {version} in {folder}; there are {', '.join(versions)}")
    _set_version(folder, name, version)


def unpin(folder: Path, name: str) -> str:
    """The version that answers from now on. Raises ArtifactError where none is pinned."""
    versions = _versions_of(folder, name)
    if _pinned(folder, name) is None:
        raise ArtifactError(
            f"{folder / OVERRIDES_FILE} pins no version of {name}: the highest, {_highest(versions)}, answers"
        )
    _set_version(folder, name, None)
    return _highest(versions)


def roll_back(folder: Path, name: str) -> tuple[str, str]:
    """Pins the version before the one that answers; answers both, the old one first. Raises ArtifactError where there
    is none.
    """
    versions = _versions_of(folder, name)
    current = _pinned(folder, name) or _highest(versions)
    older = [version for version in versions if version_key(version) < version_key(current)]
    if not older:
        raise ArtifactError(
            f"Model {name} has no version before {current} in {folder} to go back to; there are {', '.join(versions)}"
        )
    _set_version(folder, name, _highest(older))
    return current, _highest(older)


def _versions(folder: Path) -> dict[str, dict[str, Path]]:
    """In their order."""
    found: dict[str, dict[str, Path]] = {}
    for name, version, directory in served_in(folder):
        found.setdefault(name, {})[version] = directory
    return found


def _versions_of(folder: Path, name: str) -> dict[str, Path]:
    found = _versions(folder)
    if name not in found:
        raise ArtifactError(f"There is no model {name} in {folder}; there are {', '.join(found)}")
    return found[name]


def _pinned(folder: Path, name: str) -> str | None:
    table = read_overrides(folder).get(name)
    return None if table is None else table.version


def _highest(versions: "dict[str, Path] | list[str]") -> str:
    return max(versions, key=version_key)


def _set_version(folder: Path, name: str, version: str | None) -> None:
    """None: the highest. In one step: a server may read the file at any moment."""
    path = folder / OVERRIDES_FILE
    read_overrides(folder)  # what a server would refuse is not made worse
    try:
        document = tomlkit.parse(read_file(path, MOST_BYTES).decode()) if path.exists() else tomlkit.document()
        table = document.setdefault(name, tomlkit.table())
        assert isinstance(table, Table | InlineTable), "a server reads it"
        if version is not None:
            table["version"] = version
        else:
            table.remove("version")
            if not table and not table.as_string().strip():
                document.remove(name)
        mode = path.stat().st_mode & 0o777 if path.exists() else _READABLE
    except (OSError, ValueError, TOMLKitError) as error:
        raise ArtifactError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    with whole(path) as beside:
        beside.write_text(tomlkit.dumps(document))
        beside.chmod(mode)

"""Archives and image layers, unpacked below a folder: files and folders alone, no links, nothing that leads out of it,
and no more than a bound.
"""

import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from lzma import LZMAError
from pathlib import Path
from typing import BinaryIO

from ..errors import ArtifactError
from .address import safe_path

_MOST_FILES = 100_000
_CHUNK = 1024 * 1024
_WHITEOUT, _OPAQUE = ".wh.", ".wh..wh..opq"


def unpack(archive: Path, kind: str, folder: Path, most_bytes: int, root: str = "") -> None:
    """The files of `archive` that lie below `root`. Raises ArtifactError for what a model has no use for."""
    try:
        for name, file, size in _tar(archive, root, folder) if kind == "tar" else _zip(archive, root):
            most_bytes -= size
            if most_bytes < 0:
                raise ArtifactError(f"{archive.name} unpacks to more than SLIPWAY_FETCH_CACHE_BYTES: nothing is used")
            _write(file, size, folder / name)
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, LZMAError, EOFError, NotImplementedError) as error:
        raise ArtifactError(f"{archive.name} is damaged or no archive: {error}") from None


def _write(file: BinaryIO, size: int, target: Path) -> None:
    """Of the size that was announced: what is longer is a bomb."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.is_dir():
        shutil.rmtree(target)
    target.unlink(missing_ok=True)  # of a layer below
    with target.open("xb") as written:
        while chunk := file.read(min(_CHUNK, size + 1)):
            size -= len(chunk)
            if size < 0:
                raise ArtifactError(f"{target.name} is longer than its archive says: nothing of it is used")
            written.write(chunk)
    if size:
        raise ArtifactError(f"{target.name} is shorter than its archive says: nothing of it is used")


def _wanted(name: str, root: str) -> str | None:
    """The path below `root`; None for what lies elsewhere."""
    path = name.removeprefix("./").strip("/")
    if not path or path == ".":
        return None
    parts = safe_path(path).parts
    if root:
        if parts[0] != root:
            return None
        parts = parts[1:]
    return "/".join(parts) or None


def _tar(archive: Path, root: str, folder: Path) -> Iterator[tuple[str, BinaryIO, int]]:
    with tarfile.open(archive, "r:*") as opened:
        for count, member in enumerate(opened):
            if count > _MOST_FILES:
                raise ArtifactError(f"{archive.name} has more than {_MOST_FILES} files")
            is_elsewhere = bool(root) and member.name.removeprefix("./").lstrip("/").partition("/")[0] != root
            if is_elsewhere:  # of an image: its system
                continue
            if (path := _wanted(member.name, root)) is None or member.isdir():
                continue
            if not member.isreg() or member.issparse():
                raise ArtifactError(
                    f"{member.name[:100]!r} in {archive.name} is a link or a device: pack the files themselves"
                )
            last = path.rpartition("/")[2]
            if last.startswith(_WHITEOUT):
                _remove(folder, path, last)
                continue
            file = opened.extractfile(member)
            if file is not None:
                yield path, file, member.size  # type: ignore[misc]


def _remove(folder: Path, path: str, last: str) -> None:
    """What a layer hides of those below it."""
    parent = folder / path.removesuffix(last)
    hidden = parent if last == _OPAQUE else parent / last.removeprefix(_WHITEOUT)
    if hidden.is_dir():
        shutil.rmtree(hidden)
    else:
        hidden.unlink(missing_ok=True)


def _zip(archive: Path, root: str) -> Iterator[tuple[str, BinaryIO, int]]:
    with zipfile.ZipFile(archive) as opened:
        if len(opened.infolist()) > _MOST_FILES:
            raise ArtifactError(f"{archive.name} has more than {_MOST_FILES} files")
        for member in opened.infolist():
            if (path := _wanted(member.filename, root)) is None or member.is_dir():
                continue
            mode = member.external_attr >> 16
            if mode and stat.S_IFMT(mode) not in (0, stat.S_IFREG):
                raise ArtifactError(
                    f"{member.filename[:100]!r} in {archive.name} is a link or a device: pack the files themselves"
                )
            if member.flag_bits & 1:
                raise ArtifactError(f"{archive.name} is encrypted: make one without a password")
            with opened.open(member) as file:
                yield path, file, member.file_size  # type: ignore[misc]

"""Models fetched from an address into the cache: resumed, retried, verified, and in place all at once or not at all."""

import contextlib
import hashlib
import os
import re
import shutil
import time
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from tqdm import tqdm

from ..errors import ArtifactError, BrokenArtifact
from ..model.formats.mlflow_folder import MLMODEL
from ..model.formats.registry import file_in
from ..model.manifest import MANIFEST, NAME_PATTERN, read_manifest
from ..model.own_modules import CODE_FILE
from .address import Address, safe_path
from .cache import Mirror
from .folder import find_models
from .remote import Changed, Interrupted, Item, Source, Unreachable
from .unpacking import unpack

ATTEMPTS = 5  # without a byte more
_LONGEST_WAIT = 8.0  # seconds between two of them
_RELISTED = 3  # times, where files change while they are fetched
_PENDING = 4  # chunks that wait to be hashed


class Fetched(NamedTuple):
    """`folder`: of models. `changed`: whether anything was fetched; `size`: bytes that were."""

    folder: Path
    changed: bool
    size: int


def fetch(address: Address, cache: Path, most_bytes: int, open_source: Callable[[Address], Source]) -> Fetched:
    """Raises Unreachable where the source does not answer, else ArtifactError in a sentence; what was there before is
    left as it is.
    """
    try:
        with Mirror(cache, address).locked() as mirror:
            fetched = _fetch(address, mirror, most_bytes, open_source(address))
            mirror.make_room(most_bytes)
            return fetched
    except OSError as error:
        raise ArtifactError(f"{error.filename or cache} cannot be written: {error.strerror or error}") from None


def _fetch(address: Address, mirror: Mirror, most_bytes: int, source: Source) -> Fetched:
    for _ in range(_RELISTED):
        items = _retried(lambda: source.items(), address)
        if not items:
            raise ArtifactError(f"{address.shown} holds no files: check the address")
        if len({item.path for item in items}) < len(items):
            raise ArtifactError(f"{address.shown} names a file twice")
        known = sum(item.size or 0 for item in items)
        if known > most_bytes:
            raise ArtifactError(
                f"{address.shown} has {known:,} bytes, and SLIPWAY_FETCH_CACHE_BYTES allows {most_bytes:,}: "
                "name less, or allow more"
            )
        missing = [item for item in items if mirror.has(item) is None]
        if not missing and mirror.knows({item.path for item in items}):
            mirror.touch()
            return Fetched(mirror.current, False, 0)
        try:
            size = 0
            total = sum(item.size or 0 for item in missing) or None
            bar: tqdm[Any] = tqdm(total=total, unit="B", unit_scale=True, desc=address.shown, disable=None)
            with bar:
                for item in missing:
                    size += _download(source, item, mirror, address, most_bytes, bar)
        except Changed:
            continue
        _put_in_place(address, mirror, source, items, most_bytes)
        return Fetched(mirror.current, True, size)
    raise Unreachable(f"{address.shown} changes faster than it can be fetched: try again")


def _retried(ask: Callable[[], list[Item]], address: Address) -> list[Item]:
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return ask()
        except Interrupted as error:
            if attempt == ATTEMPTS:
                raise Unreachable(f"{address.shown} cannot be reached: {error}") from None
            _wait(attempt)
        except Changed:
            _wait(attempt)
    raise Unreachable(f"{address.shown} changes faster than it can be listed: try again")


def _wait(attempt: int) -> None:
    time.sleep(min(_LONGEST_WAIT, 0.25 * 2**attempt))


def _download(source: Source, item: Item, mirror: Mirror, address: Address, most_bytes: int, bar: "tqdm[Any]") -> int:
    """The bytes that came. What has come stays for the next time, and is gone on from if it is still the same file."""
    partial = mirror.partial(item)
    if not item.tag and item.digest is None:  # nothing would tell that it is another file by now
        partial.unlink(missing_ok=True)
    came, failures = 0, 0
    while True:
        start = partial.stat().st_size if partial.exists() else 0
        try:
            digest, size = _append(source, item, partial, start, most_bytes, bar)
            came += size - start
            if item.size is None or size >= item.size:
                break
            raise Interrupted(f"{item.path} ended {item.size - size} bytes early")
        except Interrupted as error:
            grown = (partial.stat().st_size if partial.exists() else 0) - start
            came += max(0, grown)
            failures = 1 if grown > 0 else failures + 1
            if failures == ATTEMPTS:
                raise Unreachable(f"{address.shown}: {item.path} cannot be fetched: {error}") from None
            _wait(failures)
        except Changed:
            partial.unlink(missing_ok=True)
            raise
    wanted = item.digest or (address.pin if item.packed else None)
    if (item.size is not None and size != item.size) or (wanted is not None and digest != wanted):
        partial.unlink()
        expected = f"{item.size:,} bytes" if wanted is None else f"the SHA-256 {wanted}"
        raise BrokenArtifact(
            f"{address.shown}: {item.path} is not the file that was expected: it has {size:,} bytes and the SHA-256 "
            f"{digest}, not {expected}"
        )
    mirror.keep(item, partial, digest)
    return came


def _append(
    source: Source, item: Item, partial: Path, start: int, most_bytes: int, bar: "tqdm[Any]"
) -> tuple[str, int]:
    """The SHA-256 and the size of the whole, hashed in a thread beside the download."""
    digest, size = hashlib.sha256(), start
    pending: deque[Future[None]] = deque()
    with ThreadPoolExecutor(1) as hashing, partial.open("ab") as file:
        if start:
            with partial.open("rb") as before:
                while chunk := before.read(1 << 20):
                    digest.update(chunk)
        for chunk in source.chunks(item, start):
            pending.append(hashing.submit(digest.update, chunk))
            size += file.write(chunk)
            bar.update(len(chunk))
            if size > most_bytes or (item.size is not None and size > item.size):
                break
            while len(pending) > _PENDING:
                pending.popleft().result()
    return digest.hexdigest(), size


def _put_in_place(address: Address, mirror: Mirror, source: Source, items: list[Item], most_bytes: int) -> None:
    with mirror.staging() as staging:
        tree = staging / "tree"
        tree.mkdir()
        for item in items:
            if item.packed:
                unpack(mirror.file(item), item.packed, tree, most_bytes, source.root)
            else:
                target = tree / safe_path(item.path)
                target.parent.mkdir(parents=True, exist_ok=True)
                os.link(mirror.file(item), target)
        if address.pin is not None and not any(item.packed for item in items):
            _check_pin(address, tree)
        folder = _arranged(address, source, tree, staging)
        _verify(address, folder, mirror.digests())
        mirror.switch_to(folder, items)


def _check_pin(address: Address, tree: Path) -> None:
    try:
        found = hashlib.sha256((tree / MANIFEST).read_bytes()).hexdigest()
    except FileNotFoundError:
        raise BrokenArtifact(
            f"{address.shown} holds no {MANIFEST}, whose SHA-256 #sha256= pins: name the folder of one model"
        ) from None
    if found != address.pin:
        raise BrokenArtifact(
            f"{address.shown}: its {MANIFEST} is not the one that was pinned: its SHA-256 is {found}, not {address.pin}"
        )


def _arranged(address: Address, source: Source, tree: Path, staging: Path) -> Path:
    """A folder of models: what is one model is put below its name and version."""
    inside = list(tree.iterdir())
    if len(inside) == 1 and inside[0].is_dir() and _is_model(inside[0]):  # archives often have one folder at the top
        tree = inside[0]
    if not _is_model(tree):
        return tree
    manifest = read_manifest(tree)
    if source.place is not None:
        name, version = source.place
    elif manifest is not None:
        name, version = manifest.name, manifest.version
    else:
        last = urlsplit(address.url).path.strip("/").rpartition("/")[2].partition(".")[0]
        name, version = (last if re.fullmatch(NAME_PATTERN, last) else "model"), "1"
    if not all(re.fullmatch(NAME_PATTERN, part) for part in (name, version)):
        raise ArtifactError(
            f"{address.shown} is called {name!r} {version!r}, which cannot be part of a path: register it by a name of "
            "letters, digits, dots, dashes and underscores"
        )
    folder = staging / "models"
    (folder / name).mkdir(parents=True)
    tree.rename(folder / name / version)
    return folder


def _is_model(folder: Path) -> bool:
    return file_in(folder) is not None or any((folder / name).exists() for name in (MANIFEST, MLMODEL))


def _verify(address: Address, folder: Path, hashed: Mapping[int, str]) -> None:
    """Every file that a manifest vouches for, before anybody opens it. `hashed`: the SHA-256 by inode, of files that
    were hashed while they came.
    """
    found = find_models(folder)
    if not found:
        raise ArtifactError(f"{address.shown} holds no models: NAME/VERSION/manifest.json, or the files of one model")
    for name, version, directory in found:
        manifest = read_manifest(directory)
        if manifest is None:
            continue
        wanted = [(manifest.file, manifest.digest)]
        if manifest.code is not None:
            wanted.append((CODE_FILE, manifest.code))
        if manifest.compiled is not None:
            wanted.append((manifest.compiled.file, manifest.compiled.digest))
        for file, digest in wanted:
            try:
                with (directory / file).open("rb") as opened:
                    known = hashed.get(os.fstat(opened.fileno()).st_ino)
                    got = "sha256:" + (known or hashlib.file_digest(opened, "sha256").hexdigest())
            except FileNotFoundError:
                raise BrokenArtifact(
                    f"{address.shown}: {name} {version} lacks {file}, which its manifest names"
                ) from None
            if got != digest:
                raise BrokenArtifact(
                    f"{address.shown}: {file} of {name} {version} is not the file that was packed: its digest is "
                    f"{got}, the manifest says {digest}"
                )


def place_in(output: Path, fetched: Path, *, force: bool) -> list[Path]:
    """The models of a folder put into another one, each at once. Raises ArtifactError where one is there already."""
    placed = []
    staging = output / f".fetching-{uuid.uuid4().hex}"
    try:
        for name, version, directory in find_models(fetched):
            target = output / name / version
            if target.exists() and _same(directory, target):
                placed.append(target)
                continue
            if target.exists() and not force:
                raise ArtifactError(f"{target} exists already, with other files: replace it with --force")
            shutil.copytree(directory, staging / name / version, copy_function=_linked)
            target.parent.mkdir(parents=True, exist_ok=True)
            if target.exists():
                target.rename(staging / name / f"{version}-before")
            (staging / name / version).rename(target)
            placed.append(target)
    except OSError as error:
        raise ArtifactError(f"{error.filename or output} cannot be written: {error.strerror or error}") from None
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return placed


def _linked(source: str, target: str) -> None:
    with contextlib.suppress(OSError):  # of another file system
        os.link(source, target)
        return
    shutil.copyfile(source, target)


def _same(one: Path, other: Path) -> bool:
    def stamp(folder: Path) -> dict[str, tuple[int, int]]:
        files = [path for path in folder.rglob("*") if path.is_file()]
        return {str(path.relative_to(folder)): (path.stat().st_size, path.stat().st_ino) for path in files}

    return stamp(one) == stamp(other)

"""What has been fetched: a folder per address, of which those that were not used for the longest time go first.

In it: files/ by their SHA-256, partial/, snapshots/ of links to the files, and `current`, a link to the newest of them.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import time
import uuid
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, Self

from ..errors import ArtifactError
from ..system.files import make_private_folder
from .address import Address
from .remote import Item

_STATE = "state.json"
_READ_ONLY = 0o444


class Mirror:
    """The copy of one address."""

    def __init__(self, cache: Path, address: Address) -> None:
        self._cache = cache
        self._address = address
        self.folder = cache / address.key
        self.current = self.folder / "current"
        self._items: dict[str, dict[str, Any]] = {}
        self._new: dict[str, dict[str, Any]] = {}

    @contextlib.contextmanager
    def locked(self) -> Iterator[Self]:
        """One at a time fetches; the others wait for it, and find what it has fetched."""
        make_private_folder(self._cache)
        if self._cache.stat().st_uid != os.getuid():
            raise ArtifactError(f"SLIPWAY_FETCH_CACHE: {self._cache} is somebody else's: name a folder of your own")
        for name in ("files", "partial", "snapshots"):
            make_private_folder(self.folder / name)
        with (self.folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            for left in (self.folder / "snapshots").glob(".*"):
                shutil.rmtree(left, ignore_errors=True)
            self._items = self._read()
            yield self

    def _read(self) -> dict[str, dict[str, Any]]:
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            items = json.loads((self.folder / _STATE).read_bytes())["items"]
            if isinstance(items, dict) and self.current.is_dir():
                return items
        return {}

    def has(self, item: Item) -> Path | None:
        """The file, if what was fetched of it is still what the source has."""
        for known in (self._new, self._items):
            found = known.get(item.path)
            if found is None or found["tag"] != item.tag or not item.tag:
                continue
            if item.size in (None, found["size"]) and item.digest in (None, found["sha256"]):
                path = self.folder / "files" / str(found["sha256"])
                if path.exists():
                    return path
        return None

    def knows(self, paths: Collection[str]) -> bool:
        """Whether it has these and no others."""
        return self._items.keys() == set(paths)

    def file(self, item: Item) -> Path:
        return self.folder / "files" / str((self._new.get(item.path) or self._items[item.path])["sha256"])

    def partial(self, item: Item) -> Path:
        name = hashlib.sha256(json.dumps([item.path, item.tag, item.digest]).encode()).hexdigest()
        return self.folder / "partial" / name

    def keep(self, item: Item, partial: Path, digest: str) -> None:
        target = self.folder / "files" / digest
        self._new[item.path] = {"tag": item.tag, "size": partial.stat().st_size, "sha256": digest}
        if target.exists():
            partial.unlink()
        else:
            partial.chmod(_READ_ONLY)  # links of it are in snapshots
            partial.replace(target)

    def digests(self) -> dict[int, str]:
        """The SHA-256 of its files, by inode."""
        return {path.stat().st_ino: path.name for path in (self.folder / "files").iterdir()}

    @contextlib.contextmanager
    def staging(self) -> Iterator[Path]:
        folder = self.folder / "snapshots" / f".{uuid.uuid4().hex}"
        folder.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def switch_to(self, folder: Path, items: list[Item]) -> None:
        """In one step, as a ConfigMap's link is; what nothing refers to any more goes."""
        snapshot = self.folder / "snapshots" / uuid.uuid4().hex
        folder.rename(snapshot)
        link = self.folder / f".current-{snapshot.name}"
        link.symlink_to(Path("snapshots") / snapshot.name)
        link.replace(self.current)
        known = self._items | self._new
        self._items = {item.path: known[item.path] for item in items}
        self._new = {}
        state = {"address": self._address.shown, "fetched": time.time(), "items": self._items}
        partial = self.folder / f".{_STATE}"
        partial.write_text(json.dumps(state))
        partial.replace(self.folder / _STATE)
        wanted = {str(item["sha256"]) for item in self._items.values()}
        for left in (self.folder / "files").iterdir():
            if left.name not in wanted:
                left.unlink()
        for left in (self.folder / "snapshots").iterdir():
            if left.name != snapshot.name and not left.name.startswith("."):
                shutil.rmtree(left, ignore_errors=True)
        for left in (self.folder / "partial").iterdir():
            left.unlink()

    def touch(self) -> None:
        """It is in use."""
        os.utime(self.folder / _STATE)

    def make_room(self, most_bytes: int) -> None:
        """Other addresses' copies go, the one that was not used for the longest time first."""
        others = [path for path in self._cache.iterdir() if path.is_dir() and path != self.folder]
        others.sort(key=_last_used)
        total = sum(map(_size, [self.folder, *others]))
        for other in others:
            if total <= most_bytes:
                return
            with (other / "lock").open("w") as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError:  # it is being fetched
                    continue
                total -= _size(other)
                shutil.rmtree(other, ignore_errors=True)


def _last_used(folder: Path) -> float:
    try:
        return (folder / _STATE).stat().st_mtime
    except OSError:
        return 0.0


def _size(folder: Path) -> int:
    """Bytes on the disk: links count once."""
    sizes = {}
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):
            if path.is_file() and not path.is_symlink():
                sizes[path.stat().st_ino] = path.stat().st_size
    return sum(sizes.values())

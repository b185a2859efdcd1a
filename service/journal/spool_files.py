"""The files in the folder of a spool, by their names: other files there are left alone."""

import os
import re
from collections.abc import Iterable
from pathlib import Path

_SEGMENT = re.compile(r"(?P<owner>[0-9a-f]{32})\.(?P<number>\d{10})\.jsonl")
_LOCK = re.compile(r"(?P<owner>[0-9a-f]{32})\.lock")


def owned(path: Path) -> re.Match[str] | None:
    return _SEGMENT.fullmatch(path.name) or _LOCK.fullmatch(path.name)


def listed(folder: Path) -> Iterable[Path]:
    try:
        return [path for path in folder.iterdir() if _SEGMENT.fullmatch(path.name)]
    except FileNotFoundError:
        return []


def size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

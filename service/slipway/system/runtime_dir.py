"""The folder in memory where a server keeps its board and its metrics, and where `slipway drain` finds them."""

import fcntl
import os
import shutil
import tempfile
from pathlib import Path

SHARED_MEMORY = Path("/dev/shm")


class CannotStart(Exception):
    """Why no server can run here; the message says what to do about it."""


def runtime_dir(base: Path | None, port: int) -> Path:
    """One folder per user and port. Under a shared `base` such as /dev/shm its name can be guessed: see `claim`."""
    if base is None:
        base = SHARED_MEMORY if os.access(SHARED_MEMORY, os.W_OK | os.X_OK) else Path(tempfile.gettempdir())
    return base / f"slipway-{os.getuid()}-{port}"


def board_path(directory: Path) -> Path:
    return directory / "board"


def metrics_path(directory: Path) -> Path:
    return directory / "metrics"


def claim(directory: Path) -> None:
    """Makes the folder ours until this process and its forks have ended, and clears it of an earlier life. Raises
    CannotStart.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError as exc:
        raise CannotStart(
            f"{directory} cannot be used ({exc.strerror}): set SLIPWAY_RUNTIME_DIR to a folder of your own"
        ) from exc
    if os.fstat(descriptor).st_uid != os.geteuid():
        raise CannotStart(
            f"{directory} belongs to another user: remove it, or set SLIPWAY_RUNTIME_DIR to another folder"
        )
    os.fchmod(descriptor, 0o700)
    if not _lock(descriptor, fcntl.LOCK_EX):
        raise CannotStart(
            f"{directory} is in use by another Slipway server: stop that one, or choose another port with SLIPWAY_PORT"
        )
    board_path(directory).unlink(missing_ok=True)
    shutil.rmtree(metrics_path(directory), ignore_errors=True)
    metrics_path(directory).mkdir(mode=0o700)
    # The descriptor stays open: the lock lasts as long as it does.


def release(directory: Path) -> None:
    """What the server kept in memory goes with it."""
    shutil.rmtree(directory, ignore_errors=True)


def in_use(directory: Path) -> bool:
    """Whether a server has claimed the folder and lives."""
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        return not _lock(descriptor, fcntl.LOCK_SH)
    finally:
        os.close(descriptor)


def _lock(descriptor: int, mode: int) -> bool:
    try:
        fcntl.flock(descriptor, mode | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True

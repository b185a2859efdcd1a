"""A model's files, which anybody may have put into its folder, read with care; and what is written, for its owner
alone.
"""

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path

from ..errors import ArtifactError


def open_file(path: Path) -> BufferedReader:
    """The file, open at its beginning. Raises OSError, also for a device or a pipe, which may have no end."""
    mode = path.stat().st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):  # what a directory is the system says itself
        raise OSError(errno.EINVAL, "It is a device, a pipe or a socket, and no file")
    return path.open("rb")


def read_file(path: Path, most_bytes: int) -> bytes:
    """Its content. Raises OSError, also where it is larger than `most_bytes` or than the memory."""
    with open_file(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > most_bytes:
            raise OSError(errno.EFBIG, f"It has {size:,} bytes, at most {most_bytes:,} are possible")
        try:
            return file.read(size)
        except MemoryError:
            raise OSError(errno.ENOMEM, f"Its {size:,} bytes do not fit into memory") from None


def make_private_folder(folder: Path) -> None:
    """What is missing of it and above it, whatever the umask: pathlib's `parents` would be for everybody. Raises
    OSError.
    """
    for missing in reversed([each for each in (folder, *folder.parents) if not each.exists()]):
        missing.mkdir(mode=0o700, exist_ok=True)


def make_private_file(path: Path, flags: int = 0) -> None:
    """An empty one where there is none; what opens it by name afterwards leaves its mode as it is. Raises OSError."""
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | flags, 0o600))


@contextlib.contextmanager
def whole(output: Path) -> Iterator[Path]:
    """A file beside `output` to write, which takes its place in the end, for its owner alone.

    Raises ArtifactError where the disk does not take it.
    """
    if not output.name or (output.exists() and not output.is_file()):
        raise ArtifactError(f"{output} is a folder or a device: name a file for the output")
    target = output.resolve()  # a symbolic link stays one
    partial = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        partial.unlink(missing_ok=True)  # of a process that had this number before
        make_private_file(partial, os.O_EXCL | os.O_NOFOLLOW)
        yield partial
        partial.replace(target)
    except OSError as error:
        raise ArtifactError(f"{output} cannot be written: {error.strerror or error}") from None
    finally:
        partial.unlink(missing_ok=True)


def not_writable(path: Path) -> Path | None:
    """What keeps this user from writing the file and others beside it: the file, or the nearest folder that is there;
    None: nothing that their modes and owners tell.
    """
    folder = next(each for each in path.absolute().parents if each.exists())
    for each, mode in ((folder, os.W_OK | os.X_OK), (path, os.R_OK | os.W_OK)):
        if each.exists() and not os.access(each, mode, effective_ids=True):
            return each
    return None

"""A model's files, which anybody may have put into its folder, read with care; and a command's output, written whole or not at all."""

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path

from .errors import ArtifactError


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


@contextlib.contextmanager
def whole(output: Path) -> Iterator[Path]:
    """A file beside `output` to write, which takes its place in the end. Raises ArtifactError where the disk does not take it."""
    if not output.name or (output.exists() and not output.is_file()):
        raise ArtifactError(f"{output} is a folder or a device: name a file for the output")
    target = output.resolve()  # a symbolic link stays one
    partial = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        yield partial
        partial.replace(target)
    except OSError as error:
        raise ArtifactError(f"{output} cannot be written: {error.strerror or error}") from None
    finally:
        partial.unlink(missing_ok=True)

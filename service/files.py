"""A model's files, which anybody may have put into its folder: opened if they are files, read if they are no larger than they can be."""

import errno
import os
import stat
from io import BufferedReader
from pathlib import Path


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

"""Messages of the packer name the flags of `slipway pack`; in Python they are arguments."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import ArtifactError

ARGUMENTS = {
    "--data": "X",
    "--target": "y",
    "--columns": "columns=",
    "--compile": "compile=True",
    "--force": "replace=True",
    "--labels": "labels=",
    "--missing": "missing=",
    "--name": "name=",
    "--output": "output=",
    "--version": "version=",
    "--no-compiled": "compiled=False",
}


def in_python(sentence: str) -> str:
    return re.sub(r"--[a-z]+(?:-[a-z]+)*", lambda found: ARGUMENTS.get(found[0], found[0]), sentence)


@contextmanager
def python_words() -> Iterator[None]:
    """An ArtifactError from within names arguments where it named flags."""
    try:
        yield
    except ArtifactError as error:
        raise type(error)(in_python(str(error))) from error.__cause__

"""Which formats a model's file may have, told by its first bytes alone: a wrong name makes no format."""

import contextlib
import re
import zipfile
from pathlib import Path
from typing import BinaryIO, Literal

Format = Literal["joblib", "skops", "onnx", "xgboost", "lightgbm"]

MODEL_FILE = "model.joblib"
# What a model directory's file may be called, the first that is there being the model of one without a manifest.
FILES = (
    MODEL_FILE,
    "model.pkl",
    "model.pickle",
    "model.skops",
    "model.onnx",
    "model.ubj",
    "model.json",
    "model.txt",
)
FILE_PATTERN = rf"^({'|'.join(map(re.escape, FILES))})$"
SUFFIXES = (".joblib", ".pkl", ".pickle", ".skops", ".onnx", ".ubj")  # of files that are models wherever they lie
RUN_NO_CODE: frozenset[Format] = frozenset({"skops", "onnx"})  # what SLIPWAY_TRUST=safe opens
HEAD = 64 * 1024  # bytes: the first keys of a JSON file, and the fields of a graph that say what it is

# Of ONNX: the format's version, and the next field.
_GRAPH = re.compile(rb"\x08[\x01-\x20][\x12\x1a\x22\x2a\x32\x3a\x42]")


def recognised(file: BinaryIO) -> Format:
    """The format of an open file, which is left at its beginning. What is none of the others may be a pickle: its own
    reader says what else it is.
    """
    try:
        head = file.read(HEAD)
        if head.startswith(b"PK\x03\x04"):
            return "skops" if _is_skops(file) else "joblib"
        if head.startswith(b"tree\n"):
            return "lightgbm"
        if is_xgboost(head):
            return "xgboost"
        return "onnx" if _GRAPH.match(head) else "joblib"
    finally:
        file.seek(0)


def is_xgboost(head: bytes) -> bool:
    return head[:1] == b"{" and (b"learner" in head[:512] or b"gradient_booster" in head)


def _is_skops(file: BinaryIO) -> bool:
    with contextlib.suppress(OSError, ValueError, zipfile.BadZipFile), zipfile.ZipFile(file) as archive:
        return "schema.json" in archive.namelist()
    return False


def kept_as(source: Path, file: BinaryIO) -> str:
    """What a model directory calls the file that is packed."""
    found = recognised(file)
    if found == "xgboost":
        return "model.ubj" if b"\x00" in file.read(64) else "model.json"
    if found == "joblib":
        return "model.pkl" if source.suffix in (".pkl", ".pickle") else MODEL_FILE
    return {"skops": "model.skops", "onnx": "model.onnx", "lightgbm": "model.txt"}[found]


def file_in(directory: Path) -> str | None:
    """The file of a model directory without a manifest; None where there is none."""
    return next((name for name in FILES if (directory / name).exists()), None)

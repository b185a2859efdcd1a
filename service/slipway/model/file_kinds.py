"""What a file is that was given as a model, told by its bytes and with the way out of it. Nothing in the file runs."""

import bz2
import contextlib
import gzip
import lzma
import os
import pickle
import pickletools
import re
import zipfile
import zlib
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path
from typing import Any, BinaryIO

from ..system.files import open_file
from .contained import described, harmless
from .formats.registry import HEAD, SUFFIXES

_PART = 1024 * 1024
WRAPPERS = {"xgboost": "XGBClassifier or XGBRegressor", "lightgbm": "LGBMClassifier or LGBMRegressor"}

_FIT = "only scikit-learn estimators, and those of libraries that follow it, can be served"
_DUMP = "MODEL is the file that joblib.dump or skops.io.dump wrote of a fitted estimator, or an ONNX graph"
_XGBOOST = "write it with save_model() as JSON or UBJ"
_MAGIC = (
    (b"\x89HDF\r\n\x1a\n", f"an HDF5 file, as Keras writes its networks; {_FIT}"),
    (b"PAR1", "a table (Parquet); --data takes tables, " + _DUMP),
    (b"\x93NUMPY", "an array of numpy; " + _DUMP),
    (
        b"CBM1",
        "a model of CatBoost; load it with load_model() of CatBoostClassifier or CatBoostRegressor, and write that "
        "with joblib.dump",
    ),
    (b"binf", f"a model of XGBoost in its old binary form; {_XGBOOST}"),
    (
        b"version https://git-lfs",
        "a pointer of Git LFS, not the file that it stands for; fetch that with `git lfs pull`",
    ),
    (b"%PDF", "a PDF document; " + _DUMP),
    (b"\x7fELF", "a program; " + _DUMP),
)
_INFLATED: dict[bytes, tuple[str, Callable[[BinaryIO], Any]]] = {
    b"\x1f\x8b": ("gzip", lambda file: gzip.GzipFile(fileobj=file)),
    b"BZh": ("bzip2", bz2.BZ2File),
    b"\xfd7zXZ": ("xz", lzma.LZMAFile),
    b"\x5d\x00\x00": ("lzma", lzma.LZMAFile),
}
_OWN_FORMS = (b"\x04\x22\x4d\x18", b"ZF")  # of joblib: lz4, and its files of long ago
_TEXT_PICKLE = b"ccopy_reg\n_reconstructor\n"  # an object in protocols 0 and 1; more would let a table pass


def foreign(file: BinaryIO) -> str | None:
    """What an open file is, and what to do instead: "an ONNX graph; …". None where it may be a joblib file. Leaves
    it at its beginning.
    """
    try:
        return _foreign(file)
    finally:
        file.seek(0)


def inflated(path: Path) -> int:
    """Bytes of what a compressed file holds, which is read for it; of any other, its own. Raises OSError."""
    with open_file(path) as file:
        size, head = os.fstat(file.fileno()).st_size, file.read(HEAD)
        file.seek(0)
        opened = next((opened for magic, (_, opened) in _INFLATED.items() if head.startswith(magic)), None)
        with contextlib.suppress(EOFError, lzma.LZMAError, zlib.error):  # loading it will say so
            if opened is not None:
                size = max(size, _length(opened(file)))
            elif head[:1] == b"x":
                size = max(size, _length(_Deflated(file)))
    return size


class _Deflated:
    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._rest = zlib.decompressobj()

    def read(self, most: int) -> bytes:
        """Empty at the end."""
        while not self._rest.eof and (part := self._rest.unconsumed_tail or self._file.read(_PART)):
            if found := self._rest.decompress(part, most):
                return found
        return b""


def _length(file: Any) -> int:
    return sum(map(len, iter(lambda: file.read(_PART), b"")))


def _foreign(file: BinaryIO) -> str | None:
    head = file.read(HEAD)
    for magic, (name, opened) in _INFLATED.items():
        if head.startswith(magic):
            return _compressed(file, name, opened)
    if head.startswith(b"PK\x03\x04"):
        return (
            _archive(file) if zipfile.is_zipfile(file) else ("a zip archive that is cut off; copy it again, as a whole")
        )
    if head[:1] == b"x":
        with contextlib.suppress(zlib.error):
            if inside := zlib.decompressobj().decompress(head, HEAD):
                return _compressed_by("zlib", inside)
    return _kind(head)


def _compressed(file: BinaryIO, name: str, opened: Callable[[BinaryIO], Any]) -> str | None:
    file.seek(0)
    try:
        return _compressed_by(name, opened(file).read(HEAD))
    except (OSError, EOFError, lzma.LZMAError, zlib.error):
        return None  # cut off, which loading it will say


def _compressed_by(name: str, inside: bytes) -> str | None:
    what = _kind(inside) if inside else None
    return what and f"a file compressed by {name}, with something else than a joblib file inside: {what}"


def _kind(head: bytes) -> str | None:
    """Of the first bytes of what is not compressed."""
    if not head:
        return "empty; write it again with joblib.dump"
    if head[:1] == b"\x80" or head.startswith((*_OWN_FORMS, _TEXT_PICKLE)):
        return None
    for magic, what in _MAGIC:
        if head.startswith(magic):
            return what
    if head[257:262] == b"ustar":
        return "a tar archive; unpack it, and name the joblib file that is in it"
    return _text(head)


def _text(head: bytes) -> str:
    try:
        text = head.decode("utf-8-sig", errors="strict" if len(head) < HEAD else "ignore")
    except UnicodeDecodeError:
        text = "\0"
    if not text.isprintable() and any(not (char.isprintable() or char in "\r\n\t\f") for char in text):
        return f"something that is not known here, its first bytes are {head[:8].hex(' ')}; {_DUMP}"
    start = text.lstrip()[:200].lower()
    if start.startswith(("<!doctype html", "<html")):
        return "a page of HTML: what it was downloaded from answered with a page; download it anew"
    if start.startswith("<?xml"):
        return f"XML, such as PMML; {_DUMP}"
    if text.lstrip()[:1] in ("{", "["):
        return f"JSON; {_DUMP}"
    lines = text.splitlines()[:3]
    separator = next((each for each in ",;\t" if lines and lines[0].count(each)), None)
    if len(lines) > 1 and separator and lines[0].count(separator) == lines[1].count(separator):
        return f"a table (CSV); --data takes tables, {_DUMP}"
    return f"plain text; {_DUMP}"


def _archive(file: BinaryIO) -> str:
    with zipfile.ZipFile(file) as archive:
        names = archive.namelist()
    last = {name.rpartition("/")[2] for name in names}
    if "data.pkl" in last:
        return f"a file of PyTorch; {_FIT}"
    if "model.weights.h5" in last or {"metadata.json", "config.json"} <= last:
        return f"a network of Keras; {_FIT}"
    if "MLmodel" in last:
        return "a zip archive of an MLflow model; unpack it, and pack the folder"
    if names and all(name.endswith(".npy") for name in names):
        return "arrays of numpy (npz); " + _DUMP
    return f"a zip archive; unpack it, and name the joblib file that is in it ({', '.join(names[:3]) or 'it is empty'})"


def instead(folder: Path) -> str | None:
    """What lies in a folder that should hold model.joblib: a sentence with the way out; None where nothing looks
    like a model.
    """
    try:
        names = sorted(path.name for path in folder.iterdir() if path.is_file())
    except OSError:
        return None
    if {"saved_model.pb", "keras_metadata.pb"} & set(names):
        return f"{folder} is a model of TensorFlow: {_FIT}"
    models = [name for name in names if name.endswith(SUFFIXES)]
    return (
        f"{folder} holds {models[0]}: pack it with `slipway pack {folder / models[0]} --name {folder.name}`"
        if models
        else None
    )


def unloadable(file: BinaryIO, error: Exception) -> str:
    """Why a joblib file could not be loaded, and what to do: the end of a sentence that begins with the file."""
    told = described(error)
    wanted = _wanted_module(error)
    # The module _loss was scikit-learn's once.
    package = "sklearn" if re.match(r"_(?!_main__)", wanted) else wanted.partition(".")[0]
    library, here = _installed(package or "sklearn")
    if package in ("", "sklearn") and (fitted := fitted_version(file)) not in (None, here):
        way = f"install scikit-learn=={fitted}, or fit the model again"
        return f"was fitted with scikit-learn {fitted}, which {here}, installed here, cannot load ({told}): {way}"
    if wanted != package and here is not None:
        way = "install the version that it was dumped with, or fit the model again"
        return f"was dumped with another version of {library} than {here}, which is installed here ({told}): {way}"
    if isinstance(error, ModuleNotFoundError):
        way = "install it, or name its folder in PYTHONPATH if it is a file of your own"
        return f"needs the Python module {harmless(repr(error.name))}, which is not installed here: {way}"
    if isinstance(error, AttributeError) and wanted:
        way = (
            "move it from the script or notebook to a module that is installed here, or that is in a folder of "
            "PYTHONPATH"
        )
        return (
            f"refers to a class or function that cannot be imported here ({harmless(str(error))}): {way}, and dump the "
            "model again"
        )
    if isinstance(error, EOFError | pickle.UnpicklingError | lzma.LZMAError | zlib.error):
        return (
            f"is no joblib file that can be loaded: {told}. It is damaged or cut off: copy it again, or dump the model "
            "again"
        )
    return f"is no joblib file that can be loaded: {told}"


def _wanted_module(error: Exception) -> str:
    """The module that was not found, or in which a name was not; empty for any other error."""
    if isinstance(error, ImportError):
        return error.name or ""
    found = re.search(r"<?module '([\w.]+)'", str(error)) if isinstance(error, AttributeError) else None
    return "" if found is None else found[1] if not found[1].endswith("__main__") else "__main__"


def _installed(package: str) -> tuple[str, str | None]:
    """The distribution that a module belongs to, and its version; None where it is none that is installed."""
    for distribution in packages_distributions().get(package, ()):
        with contextlib.suppress(PackageNotFoundError):
            return distribution, version(distribution)
    return package, None


def fitted_version(file: BinaryIO) -> str | None:
    """The scikit-learn version that is written in a joblib file, of the estimators in it; None where none is."""
    file.seek(0)
    head = file.read(6)
    opened = next((found for magic, (_, found) in _INFLATED.items() if head.startswith(magic)), None)
    file.seek(0)
    try:
        if head[:1] == b"\x78":
            return _version_in(zlib.decompress(file.read()))
        return _version_in((file if opened is None else opened(file)).read())
    except (OSError, EOFError, MemoryError, lzma.LZMAError, zlib.error):
        return None


def _version_in(content: bytes) -> str | None:
    """By a search, for joblib's arrays stand between the opcodes as they are; pickletools reads the two strings that
    are found.
    """
    for place in re.finditer(rb"[\x8cXUV].{0,7}?_sklearn_version", content, re.DOTALL):
        words: list[str] = []
        with contextlib.suppress(ValueError):  # of pickletools: what is cut off here need not be whole
            for _, argument, _ in pickletools.genops(content[place.start() : place.start() + 200]):
                words += [argument] if isinstance(argument, str) else []
                if len(words) == 2 and re.fullmatch(r"\d+\.\d[\w.]*", words[1]):
                    return words[1]
    return None

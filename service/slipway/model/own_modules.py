"""Modules of a user's own, kept with the model in code.zip: imported from there alone, by this model alone.

Two models may have modules of one name: neither is to be found in sys.modules but while its model is loaded.
"""

import builtins
import contextlib
import io
import sys
import types
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from importlib.abc import InspectLoader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.metadata import packages_distributions
from importlib.util import spec_from_loader
from pathlib import Path
from typing import Any

from ..errors import ArtifactError, BrokenArtifact

CODE_FILE = "code.zip"
MOST_BYTES = 16 * 1024 * 1024
_MADE = (1980, 1, 1, 0, 0, 0)  # zip's first moment: the same modules are the same file


def zipped(folder: Path) -> bytes:
    """The modules and packages of a folder, the same bytes for the same sources. Raises ArtifactError."""
    if not folder.is_dir():
        raise ArtifactError(f"--code: {folder} is no folder: name the one that your modules lie in")
    content = io.BytesIO()
    paths = sorted(path for path in folder.rglob("*.py") if not any(part[0] == "." for part in path.parts[1:]))
    if not paths:
        raise ArtifactError(f"--code: {folder} holds no modules, no .py files")
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in paths:
            archive.writestr(zipfile.ZipInfo(path.relative_to(folder).as_posix(), _MADE), path.read_bytes())
    if content.tell() > MOST_BYTES:
        raise ArtifactError(f"--code: {folder} holds more than {MOST_BYTES:,} bytes of modules: name less")
    return content.getvalue()


class OwnModules(MetaPathFinder, InspectLoader):
    """Finds and loads the modules of one code.zip, whose bytes have been verified."""

    def __init__(self, content: bytes) -> None:
        """Raises ArtifactError for a name that something else has, which it would hide."""
        self._sources: dict[str, tuple[str, bool]] = {}
        self._loaded: dict[str, types.ModuleType] = {}
        try:
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                if sum(member.file_size for member in archive.infolist()) > MOST_BYTES:
                    raise BrokenArtifact(f"{CODE_FILE} unpacks to more than {MOST_BYTES:,} bytes: it is not used")
                for path in archive.namelist():
                    parts = path.removesuffix(".py").split("/")
                    is_package = parts[-1] == "__init__" and len(parts) > 1
                    name = ".".join(parts[:-1] if is_package else parts)
                    self._sources[name] = archive.read(path).decode(), is_package
        except (zipfile.BadZipFile, UnicodeDecodeError, NotImplementedError) as error:
            raise BrokenArtifact(f"{CODE_FILE} is damaged: {error}") from None
        self._names = {name.partition(".")[0] for name in self._sources}
        # A package's folder need have no __init__.py.
        self._folders = {name[:place] for name in self._sources for place, char in enumerate(name) if char == "."}
        if taken := sorted(self._names & (sys.stdlib_module_names | packages_distributions().keys())):
            raise ArtifactError(
                f"--code: there is another module called {taken[0]}, which yours would hide: rename it, and dump the "
                "model again"
            )

    @contextlib.contextmanager
    def importable(self) -> Iterator[None]:
        """While the model is loaded."""
        hidden = {name: sys.modules.pop(name) for name in list(sys.modules) if self._has(name)}
        sys.modules.update(self._loaded)
        sys.meta_path.insert(0, self)
        try:
            yield
        finally:
            sys.meta_path.remove(self)
            self._loaded |= {name: sys.modules.pop(name) for name in list(sys.modules) if self._has(name)}
            sys.modules.update(hidden)

    def _has(self, name: str) -> bool:
        return name.partition(".")[0] in self._names

    def find_spec(
        self, fullname: str, _path: Sequence[str] | None, _target: types.ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname in self._sources:
            return spec_from_loader(fullname, self, is_package=self.is_package(fullname))
        if fullname in self._folders:
            return ModuleSpec(fullname, self, is_package=True)
        if self._has(fullname):
            raise ModuleNotFoundError(f"No module named {fullname!r} in {CODE_FILE}", name=fullname)
        return None

    def is_package(self, fullname: str) -> bool:
        return fullname in self._folders if fullname not in self._sources else self._sources[fullname][1]

    def get_source(self, fullname: str) -> str:
        return self._sources[fullname][0] if fullname in self._sources else ""

    def exec_module(self, module: types.ModuleType) -> None:
        """What the module imports later, in a function, it finds here, too."""
        vars(module)["__builtins__"] = {**vars(builtins), "__import__": self._import}
        super().exec_module(module)

    def _import(
        self,
        name: str,
        globals: Mapping[str, Any] | None = None,
        locals: Mapping[str, Any] | None = None,
        fromlist: Sequence[str] = (),
        level: int = 0,
    ) -> types.ModuleType:
        if self in sys.meta_path or not (level or self._has(name)):
            return builtins.__import__(name, globals, locals, fromlist, level)
        with self.importable():
            return builtins.__import__(name, globals, locals, fromlist, level)

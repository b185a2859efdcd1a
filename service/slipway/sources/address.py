"""Where models are fetched from: s3://bucket/folder, gs:, az:, https:, oci://registry/name:tag, models:/name@alias."""

import hashlib
import re
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from urllib.parse import urlsplit

from ..errors import ArtifactError
from ..settings import ADDRESS_OF_MODELS

OBJECT_STORES = ("s3", "gs", "az")
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


class Address(NamedTuple):
    """`pin`: the SHA-256 that the archive or the manifest must have, of #sha256=…; None: none is asked for."""

    scheme: str
    url: str
    pin: str | None

    @property
    def shown(self) -> str:
        """For messages: without what may be a secret, a password or a signature in the query."""
        return shown(self.url)

    @property
    def key(self) -> str:
        """Of its copy in the cache."""
        return hashlib.sha256(f"{self.url}#{self.pin}".encode()).hexdigest()[:32]


def parse(text: str) -> Address:
    """Raises ArtifactError, with what an address looks like."""
    url, _, fragment = text.partition("#")
    scheme = url.partition(":")[0]
    pin = None
    if fragment:
        found = re.fullmatch(r"sha256=([0-9a-f]{64})", fragment)
        if found is None:
            raise ArtifactError(f"{shown(url)}: after # only sha256= and 64 hexadecimal digits can follow")
        pin = found[1]
    is_model = re.fullmatch(r"models:/[^/@]+(/\d+|@[^/@]+)", url) is not None
    if not ADDRESS_OF_MODELS.match(url) or (scheme == "models" and not is_model):
        raise ArtifactError(
            f"{shown(text)} is no address of models: s3://BUCKET/FOLDER, gs://…, az://…, https://…, "
            "oci://REGISTRY/NAME:TAG, models:/NAME@ALIAS and models:/NAME/VERSION are"
        )
    if scheme != "models" and not urlsplit(url).netloc:
        raise ArtifactError(f"{shown(url)} names no host or bucket: write {scheme}://…")
    if scheme == "http":
        require_secure(url)
    return Address(scheme, url, pin)


def require_secure(url: str) -> None:
    """Plain HTTP is for this machine alone. Raises ArtifactError."""
    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOOPBACK):
        raise ArtifactError(f"{shown(url)} is not HTTPS: nobody vouches for what comes over plain HTTP")


def shown(url: str) -> str:
    return re.sub(r"//[^/@]*@", "//", url.partition("?")[0].partition("#")[0])


def safe_path(name: str) -> PurePosixPath:
    """A path below a folder, as an archive or a listing names it. Raises ArtifactError for one that leads out of it."""
    path = PurePosixPath(name)
    parts = [part for part in path.parts if part != "."]
    if path.is_absolute() or ".." in parts or not parts or "\\" in name or "\0" in name or len(name) > 1000:
        raise ArtifactError(f"a file is called {name[:100]!r}, which leads out of its folder: nothing of it is used")
    return PurePosixPath(*parts)


def mirror_of(cache: Path, address: str) -> Path:
    """The folder of models that an address is served from."""
    return cache / parse(address).key / "current"

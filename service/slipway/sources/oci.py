"""oci://REGISTRY/NAME:TAG or @sha256:…: an image or artifact with a folder /models, by the distribution API."""

import base64
import hashlib
import json
import os
import platform
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urljoin, urlsplit

from ..errors import ArtifactError
from .address import shown
from .https import Refused, content, request, stream
from .remote import Item

INDEX_TYPES = ("application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json")
MANIFEST_TYPES = ("application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json")
_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
_DOCKER_HUB = ("docker.io", "index.docker.io")
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


class Repository:
    """One repository of a registry, with what it takes to be let in."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        found = re.fullmatch(r"/([a-z0-9._/-]+?)(?::([\w.-]{1,128}))?(?:@(sha256:[0-9a-f]{64}))?", parts.path)
        if found is None:
            raise ArtifactError(
                f"{shown(url)} is no address of an image: oci://REGISTRY/NAME:TAG, or …@sha256:… is, in small letters"
            )
        self.name, self.digest = found[1], found[3]
        self.reference = self.digest or found[2] or "latest"
        host = parts.netloc.rpartition("@")[2]
        self._host = "registry-1.docker.io" if host in _DOCKER_HUB else host
        if host in _DOCKER_HUB and "/" not in self.name:
            self.name = f"library/{self.name}"
        is_here = any(self._host == each or self._host.startswith(f"{each}:") for each in _LOOPBACK)
        self._base = f"{'http' if is_here else 'https'}://{self._host}/v2/{self.name}/"
        self._login = _login(host)
        self._headers: dict[str, str] = {}

    def url(self, path: str) -> str:
        return urljoin(self._base, path)

    def headers(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        return {**self._headers, **(more or {})}

    def enter(self, actions: str = "pull") -> None:
        """Finds out how the registry lets in whom: a token, or the name and password of `docker login`."""
        try:
            content(f"{self._base.partition('/v2/')[0]}/v2/")
        except Refused as error:
            if error.status != 401:
                raise
            kind, _, challenge = error.headers.get("www-authenticate", "").partition(" ")
            told = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
            if kind.lower() == "bearer" and told.get("realm"):
                token = self._token(told, actions)
                self._headers = {"Authorization": f"Bearer {token}"}
            elif self._login:
                self._headers = {"Authorization": f"Basic {self._login}"}

    def _token(self, told: Mapping[str, str], actions: str) -> str:
        realm = told["realm"]
        query = {"service": told.get("service", ""), "scope": f"repository:{self.name}:{actions}"}
        may_know = self._login and may_have_login(self._host, realm)
        headers = {"Authorization": f"Basic {self._login}"} if may_know else {}
        found = json.loads(content(f"{realm}?{urlencode(query)}", headers))
        token = found.get("token") or found.get("access_token")
        if not isinstance(token, str):
            raise ArtifactError(f"{shown(realm)} gave no token for {self.name}: log in with `docker login`")
        return token

    def manifest(self) -> tuple[dict[str, Any], str]:
        """Of this machine's platform, and its digest."""
        accept = {"Accept": ", ".join((*MANIFEST_TYPES, *INDEX_TYPES))}
        found, digest = self._manifest(self.reference, accept)
        if "manifests" in found:
            machine = _ARCHITECTURES.get(platform.machine(), platform.machine())
            fitting = [
                each
                for each in found["manifests"]
                if each.get("platform", {}).get("architecture") in (machine, "unknown", None)
                and each.get("platform", {}).get("os") in ("linux", None)
            ]
            if not fitting:
                raise ArtifactError(f"{self._host}/{self.name} has no image for linux/{machine}")
            found, digest = self._manifest(str(fitting[0]["digest"]), accept)
        return found, digest

    def _manifest(self, reference: str, accept: Mapping[str, str]) -> tuple[dict[str, Any], str]:
        body = content(self.url(f"manifests/{quote(reference, safe=':')}"), self.headers(accept))
        digest = sha256(body)
        if reference.startswith("sha256:") and digest != reference:
            raise ArtifactError(
                f"{self._host}/{self.name}@{reference} is another manifest, its digest is {digest}: do not trust this "
                "registry"
            )
        try:
            found = json.loads(body)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise ArtifactError(f"{self._host}/{self.name}:{reference} is no manifest of an image")
        return found, digest


class OciSource:
    """The layers, from the lowest up; their files below /models are wanted."""

    place: tuple[str, str] | None = None
    root = "models"

    def __init__(self, url: str) -> None:
        self._repository = Repository(url)

    def items(self) -> list[Item]:
        self._repository.enter()
        manifest, _ = self._repository.manifest()
        layers = manifest.get("layers")
        if not isinstance(layers, list) or not layers:
            raise ArtifactError(f"{self._repository.name} has no layers: push models with `slipway push`")
        items = []
        for place, layer in enumerate(layers):
            digest = str(layer.get("digest", ""))
            if not re.fullmatch(r"sha256:[0-9a-f]{64}", digest):
                raise ArtifactError(f"A layer of {self._repository.name} has no SHA-256: {digest[:80]!r}")
            if not re.search(r"tar(\+gzip|\.gzip)?$", str(layer.get("mediaType", ""))):
                kind = str(layer.get("mediaType"))[:100]
                raise ArtifactError(
                    f"A layer of {self._repository.name} is {kind}, and no tar: push with `slipway push`"
                )
            items.append(Item(f"{place:04d}-{digest[7:19]}.tar", layer.get("size"), digest, digest[7:], "tar"))
        return items

    def chunks(self, item: Item, start: int) -> Iterator[bytes]:
        repository = self._repository
        return stream(repository.url(f"blobs/{item.tag}"), start, None, repository.headers())


def sha256(body: bytes) -> str:
    return "sha256:" + hashlib.sha256(body).hexdigest()


def may_have_login(host: str, realm: str) -> bool:
    """Whether a registry's `docker login` may be sent to the realm that it names: its own host, or over HTTPS one of
    the same owner. docker.io is registry-1.docker.io's and auth.docker.io's; co.uk is nobody's.
    """
    parts = urlsplit(realm)
    if parts.netloc == host:
        return True
    if parts.scheme != "https" or parts.hostname is None or re.fullmatch(r"[\d.]+|\[.*", host.partition(":")[0]):
        return False
    labels = host.partition(":")[0].split(".")
    owner = labels[1:]
    if len(owner) < 2 or (len(owner) == 2 and len(owner[0]) <= 3 and len(owner[1]) == 2):
        return False
    return parts.hostname.split(".")[-len(owner) :] == owner


def _login(host: str) -> str | None:
    """Base64 of name:password, as `docker login` keeps it; helpers that keep it elsewhere are not asked."""
    folder = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")
    names = [host, f"https://{host}", f"https://{host}/v1/", f"https://{host}/v2/"]
    if host in _DOCKER_HUB:
        names.append("https://index.docker.io/v1/")
    try:
        logins = json.loads((folder / "config.json").read_bytes()).get("auths", {})
        found: dict[str, Any] = next((logins[name] for name in names if name in logins), {})
        if isinstance(found.get("auth"), str) and found["auth"]:
            base64.b64decode(found["auth"], validate=True)
            return str(found["auth"])
        if found.get("username"):
            return base64.b64encode(f"{found['username']}:{found.get('password', '')}".encode()).decode()
    except (OSError, ValueError, AttributeError, TypeError):
        return None
    return None


def upload(repository: Repository, path: Path, digest: str) -> None:
    """A blob, unless the registry has it."""
    try:
        with request(repository.url(f"blobs/{digest}"), repository.headers(), method="HEAD"):
            return
    except Refused as error:
        if error.status != 404:
            raise
    with request(repository.url("blobs/uploads/"), repository.headers({"Content-Length": "0"}), method="POST") as begun:
        place = urljoin(repository.url(""), begun.headers["Location"])
    place += ("&" if "?" in place else "?") + urlencode({"digest": digest})
    headers = {"Content-Type": "application/octet-stream", "Content-Length": str(path.stat().st_size)}
    own = urlsplit(place).netloc == urlsplit(repository.url("")).netloc
    with (
        path.open("rb") as file,
        request(place, repository.headers(headers) if own else headers, method="PUT", body=file),
    ):
        pass

"""HTTP for sources: redirects to HTTPS alone, credentials for the host that they are meant for, a clear end."""

import contextlib
import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

from ..errors import ArtifactError, BrokenArtifact
from .address import require_secure, shown
from .remote import Changed, Interrupted, Item

PATIENCE = 30.0  # seconds without a byte
CHUNK = 1024 * 1024
_MOST_BYTES = 8 * 1024 * 1024  # of what is not a model's file
_ARCHIVES = {".tar": "tar", ".tar.gz": "tar", ".tgz": "tar", ".tar.xz": "tar", ".zip": "zip"}


class Refused(ArtifactError):
    """An answer of 4xx. `headers`: by their names in small letters."""

    def __init__(self, message: str, status: int, headers: Mapping[str, str]) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Keeps all but what is asked for (Range, Accept) from every other host: a header may be a credential."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        require_secure(newurl)
        redirected = super().redirect_request(req, fp, code, msg, headers, newurl)
        if redirected is not None and _origin(newurl) != _origin(req.full_url):
            kept = {name: value for name, value in req.header_items() if name.lower() in ("range", "accept")}
            redirected.headers.clear()
            redirected.headers.update(kept)
        return redirected


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port


def request(
    url: str, headers: Mapping[str, str] | None = None, *, method: str = "GET", body: Any = None
) -> http.client.HTTPResponse:
    """The answer, open. Raises Refused for 4xx, Interrupted for 5xx and for connections that break."""
    require_secure(url)
    opener = urllib.request.build_opener(_Redirects())
    asked = urllib.request.Request(url, data=body, headers=dict(headers or {}), method=method)
    try:
        return opener.open(asked, timeout=PATIENCE)  # type: ignore[no-any-return]
    except urllib.error.HTTPError as error:
        with error:
            what = f"{shown(url)} answered {error.code} {error.reason}"
            if error.code == 412:
                raise Changed from None
            if error.code >= 500 or error.code in (408, 425, 429):
                raise Interrupted(what) from None
            raise Refused(
                f"{what}{_hint(error.code)}", error.code, {name.lower(): value for name, value in error.headers.items()}
            ) from None
    except (OSError, http.client.HTTPException) as error:
        raise Interrupted(f"{shown(url)}: {getattr(error, 'reason', None) or error or type(error).__name__}") from None


def _hint(status: int) -> str:
    if status in (401, 403):
        return ": check the credentials"
    return ": check the address" if status == 404 else ""


def content(url: str, headers: Mapping[str, str] | None = None) -> bytes:
    """All of a small answer."""
    found = bytearray()
    for chunk in stream(url, 0, None, headers):
        found += chunk
        if len(found) > _MOST_BYTES:
            raise ArtifactError(f"{shown(url)} answered more than {_MOST_BYTES} bytes, where a small file is expected")
    return bytes(found)


def json_of(url: str, headers: Mapping[str, str] | None = None) -> Any:
    try:
        return json.loads(content(url, headers))
    except ValueError:
        raise ArtifactError(f"{shown(url)} did not answer JSON: is it the right address?") from None


def _read(answer: http.client.HTTPResponse, size: int, url: str) -> bytes:
    try:
        return answer.read(size)
    except (OSError, http.client.HTTPException) as error:
        raise Interrupted(f"{shown(url)}: {error or type(error).__name__}") from None


def stream(url: str, start: int, tag: str | None, headers: Mapping[str, str] | None = None) -> Iterator[bytes]:
    """The bytes from `start` on, if the content still has the ETag `tag`; from the beginning on where the server knows
    no ranges, of which the first `start` are dropped. Raises Changed.
    """
    asked = dict(headers or {})
    if start:
        asked["Range"] = f"bytes={start}-"
        if tag and not tag.startswith("W/"):
            asked["If-Range"] = tag
    with request(url, asked) as answer:
        is_part = answer.status == 206
        if tag and answer.headers.get("ETag") not in (None, tag):
            raise Changed
        if is_part and not answer.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
            raise Interrupted(f"{shown(url)} answered another range than it was asked for")
        dropped = 0 if is_part else start
        got, length = 0, answer.headers.get("Content-Length")
        while chunk := _read(answer, CHUNK, url):
            got += len(chunk)
            if dropped:
                chunk, dropped = chunk[dropped:], max(0, dropped - len(chunk))
            if chunk:
                yield chunk
        if length is not None and length.isdigit() and got < int(length):
            raise Interrupted(f"{shown(url)}: the connection ended {int(length) - got} bytes early")


def headers_in(folder: Path | None) -> dict[str, str]:
    """A file per header, as a mounted Secret has them; names that begin with a dot are Kubernetes' own links."""
    if folder is None:
        return {}
    try:
        found = {path.name: path.read_text().strip() for path in folder.iterdir() if path.name[0] != "."}
    except (OSError, UnicodeDecodeError) as error:
        raise BrokenArtifact(f"SLIPWAY_FETCH_HEADERS: {folder} cannot be read: {error}") from None
    for name, value in found.items():
        if not value.isprintable() or not value.isascii():
            raise BrokenArtifact(f"SLIPWAY_FETCH_HEADERS: {folder / name} must be one line of ASCII")
    return found


class HttpsSource:
    """An archive, or the folder of one model: its manifest.json and the files that it names."""

    place: tuple[str, str] | None = None
    root = ""

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        self._url = url
        self._headers = headers

    def items(self) -> list[Item]:
        path = urlsplit(self._url).path
        if packed := next((kind for suffix, kind in _ARCHIVES.items() if path.endswith(suffix)), None):
            return [self._item(self._url, path.rpartition("/")[2], packed)]
        base = self._base()
        manifest = json_of(f"{base}manifest.json", self._headers)
        if not isinstance(manifest, dict) or "digest" not in manifest:
            raise ArtifactError(f"{shown(base)}manifest.json is no manifest of a model: pack the model")
        items = [self._item(f"{base}manifest.json", "manifest.json", None)]
        file = str(manifest.get("file", "model.joblib"))
        items.append(self._item(f"{base}{file}", file, None, str(manifest["digest"])))
        if manifest.get("code"):
            items.append(self._item(f"{base}code.zip", "code.zip", None, str(manifest["code"])))
        compiled = manifest.get("compiled")
        if isinstance(compiled, dict):
            file = {"linear": "model.linear.json", "onnx": "model.onnx"}.get(str(compiled.get("form")), "")
            if file:
                items.append(self._item(f"{base}{file}", file, None, str(compiled.get("digest"))))
        with contextlib.suppress(Refused):
            items.append(self._item(f"{base}model.sig", "model.sig", None))
        return items

    def chunks(self, item: Item, start: int) -> Iterator[bytes]:
        url = self._url if item.packed else urljoin(self._base(), item.path)
        return stream(url, start, item.tag or None, self._headers)

    def _base(self) -> str:
        return self._url if self._url.endswith("/") else f"{self._url}/"

    def _item(self, url: str, path: str, packed: Any, digest: str | None = None) -> Item:
        with request(url, self._headers, method="HEAD") as answer:
            length, tag = answer.headers.get("Content-Length"), answer.headers.get("ETag")
        size = int(length) if length is not None and length.isdigit() else None
        digest = None if digest is None else digest.removeprefix("sha256:")
        return Item(path, size, tag or "", digest, packed)

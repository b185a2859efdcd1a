"""models:/NAME@ALIAS and models:/NAME/VERSION of the MLflow registry at MLFLOW_TRACKING_URI, by its REST API."""

import base64
import os
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlencode

from ..errors import ArtifactError, BrokenArtifact
from ..settings import ADDRESS_OF_MODELS
from .address import parse, require_secure, shown
from .https import json_of, stream
from .remote import Item, Source

_API = "/api/2.0/mlflow"
_PROXY = "/api/2.0/mlflow-artifacts/artifacts"
_MOST_FILES = 10_000


class MlflowRegistry:
    """The folder of one version; served under the registry's name and version."""

    place: tuple[str, str] | None = None
    root = ""

    def __init__(self, url: str, elsewhere: Any) -> None:
        """`elsewhere`: makes the source of another address, where the registry hands its files out itself no more."""
        self._server = os.environ.get("MLFLOW_TRACKING_URI", "").rstrip("/")
        if not self._server:
            raise BrokenArtifact(f"{url} needs MLFLOW_TRACKING_URI, the address of the MLflow server that has it")
        require_secure(self._server)
        self._url = url
        self._headers = _credentials()
        self._elsewhere = elsewhere
        self._source: Source | None = None
        self._root = ""

    def items(self) -> list[Item]:
        name, version = self._version()
        self.place = (name, version)
        asked = urlencode({"name": name, "version": version})
        uri = str(self._json(f"{_API}/model-versions/get-download-uri?{asked}").get("artifact_uri", ""))
        if uri.startswith("mlflow-artifacts:"):
            self._root = re.sub(r"^mlflow-artifacts:(//[^/]*)?/*", "", uri).strip("/")
            return list(self._files(""))
        if not ADDRESS_OF_MODELS.match(uri) or uri.startswith("models:"):
            raise ArtifactError(
                f"{self._url} lies at {shown(uri)}, which cannot be reached from here: start MLflow with "
                "--serve-artifacts, or keep its artifacts in s3:, gs: or az:"
            )
        self._source = self._elsewhere(parse(uri))
        return self._source.items()

    def chunks(self, item: Item, start: int) -> Iterator[bytes]:
        if self._source is not None:
            return self._source.chunks(item, start)
        path = quote(f"{self._root}/{item.path}")
        return stream(f"{self._server}{_PROXY}/{path}", start, None, self._headers)

    def _version(self) -> tuple[str, str]:
        name, at, alias = self._url.removeprefix("models:/").partition("@")
        if not at:
            name, _, version = name.partition("/")
            return name, version
        found = self._json(f"{_API}/registered-models/alias?{urlencode({'name': name, 'alias': alias})}")
        return name, str(found["model_version"]["version"])

    def _files(self, folder: str, depth: int = 0) -> Iterator[Item]:
        where = f"{self._root}/{folder}".rstrip("/")
        found = self._json(f"{_PROXY}?{urlencode({'path': where})}").get("files", [])
        if depth > 20 or len(found) > _MOST_FILES:
            raise ArtifactError(f"{self._url} has too many files or folders for a model")
        for file in found:
            path = f"{folder}/{file['path']}".lstrip("/")
            if file.get("is_dir"):
                yield from self._files(path, depth + 1)
            else:
                # A version never changes: its files are known by where they lie.
                yield Item(path, int(file.get("file_size") or 0), f"{self._root}/{path}")

    def _json(self, path: str) -> dict[str, Any]:
        found = json_of(f"{self._server}{path}", self._headers)
        if not isinstance(found, dict):
            raise ArtifactError(f"{shown(self._server)} is no MLflow server: check MLFLOW_TRACKING_URI")
        return found


def _credentials() -> dict[str, str]:
    if token := os.environ.get("MLFLOW_TRACKING_TOKEN"):
        return {"Authorization": f"Bearer {token}"}
    if name := os.environ.get("MLFLOW_TRACKING_USERNAME"):
        word = f"{name}:{os.environ.get('MLFLOW_TRACKING_PASSWORD', '')}"
        return {"Authorization": f"Basic {base64.b64encode(word.encode()).decode()}"}
    return {}

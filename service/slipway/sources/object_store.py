"""s3:, gs: and az: by obstore, which takes addresses of endpoints and credentials from the environment, or from the
workload's identity.
"""

import os
import re
from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit

import obstore
from obstore import exceptions
from obstore.store import from_url

from ..errors import ArtifactError
from .address import shown
from .remote import Changed, Interrupted, Item

_CHUNK = 4 * 1024 * 1024
_MOST_FILES = 100_000
_PATIENCE = "30s"  # without a byte


class ObjectStore:
    """A folder of models, or one of them, below a prefix."""

    place: tuple[str, str] | None = None
    root = ""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._url = url
        self._prefix = parts.path.strip("/")
        try:
            self._store = from_url(
                f"{parts.scheme}://{parts.netloc}",
                # By itself a whole file would have to come within 30 seconds. What breaks is begun again from where it
                # was, by us.
                client_options={
                    "timeout": "1day",
                    "connect_timeout": "10s",
                    "read_timeout": _PATIENCE,
                    "allow_http": _may_be_http(parts.scheme),
                },
                retry_config={"max_retries": 2},
            )
        except exceptions.BaseError as error:
            raise ArtifactError(f"{shown(url)} cannot be opened: {_told(error)}") from None

    def items(self) -> list[Item]:
        found = []
        for batch in self._listed():
            for meta in batch:
                path = meta["path"].removeprefix(self._prefix).lstrip("/")
                if path and not path.endswith("/"):
                    found.append(Item(path, meta["size"], meta["e_tag"] or str(meta["last_modified"])))
            if len(found) > _MOST_FILES:
                raise ArtifactError(f"{shown(self._url)} holds more than {_MOST_FILES} files: name a folder of models")
        return found

    def _listed(self) -> Iterator[Sequence["obstore.ObjectMeta"]]:
        try:
            yield from self._store.list(prefix=self._prefix or None)
        except exceptions.BaseError as error:
            raise _failure(self._url, error) from None

    def chunks(self, item: Item, start: int) -> Iterator[bytes]:
        path = f"{self._prefix}/{item.path}" if self._prefix else item.path
        options: obstore.GetOptions = {"if_match": item.tag} if item.tag.startswith('"') else {}
        if start:
            options["range"] = {"offset": start}
        try:
            for chunk in self._store.get(path, options=options).stream(min_chunk_size=_CHUNK):
                yield bytes(chunk)
        except exceptions.PreconditionError:
            raise Changed from None
        except exceptions.NotFoundError:
            raise Changed from None
        except exceptions.BaseError as error:
            raise _failure(self._url, error) from None
        except OSError as error:
            raise Interrupted(f"{shown(self._url)}: {error}") from None


def _may_be_http(scheme: str) -> bool:
    """Options of a client hide this variable, which obstore reads itself."""
    prefix = {"s3": "AWS", "gs": "GOOGLE", "az": "AZURE"}[scheme]
    return os.environ.get(f"{prefix}_ALLOW_HTTP", "").lower() in ("1", "true")


def _failure(url: str, error: Exception) -> Exception:
    """What no later try mends, and what one may."""
    told = _told(error)
    if "builder error" in told:
        return ArtifactError(f"{shown(url)}: its endpoint is plain HTTP: set AWS_, AZURE_ or GOOGLE_ALLOW_HTTP=true")
    # Errors of listing have no class of their own.
    is_refused = isinstance(error, exceptions.PermissionDeniedError | exceptions.UnauthenticatedError)
    if is_refused or re.search(r"status code: 40[13]", told):
        return ArtifactError(f"{shown(url)} refuses these credentials: {told}")
    if isinstance(error, exceptions.NotFoundError) or "status code: 404" in told:
        return ArtifactError(f"{shown(url)} is not there: check the address: {told}")
    return Interrupted(f"{shown(url)}: {told}")


def _told(error: Exception) -> str:
    """Its first line, without addresses that may be signed."""
    words = " ".join(str(error).split()).partition(" Debug source")[0]
    return " ".join(shown(word) if "://" in word else word for word in words.split())[:300]

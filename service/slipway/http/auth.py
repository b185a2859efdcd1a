"""API keys from a folder, as Kubernetes mounts a Secret: a file per client, its name the client's id, its content
the key.
"""

import hashlib
import hmac
import logging
import time
from pathlib import Path

from fastapi import Request

from ..engine.call import Call
from ..errors import Unauthorized
from ..system.runtime_dir import CannotStart
from .operation import Handler, Reply, fields_of

log = logging.getLogger("slipway.keys")

REREAD = 2.0  # seconds; a rotated Secret appears in the folder by itself, and the old key may go a moment later

NOT_ONE = "No API key that is known, once and alone: send one, as X-API-Key or as Authorization: Bearer"


def check_keys(folder: Path | None) -> None:
    """Raises CannotStart where no key can ever be read from it. An empty folder may still be filled: its keys are
    read again and again.
    """
    if folder is None:
        return
    try:
        next(folder.iterdir(), None)
    except OSError as exc:
        raise CannotStart(
            f"SLIPWAY_API_KEYS: the keys in {folder} cannot be read ({exc.strerror}): name a folder with a file per "
            "client"
        ) from exc


class ApiKeys:
    """All keys in the folder hold at once, so that a new one can be handed out before the old one is taken away."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._digests: dict[str, bytes] = {}
        self._read_at = float("-inf")

    def client(self, presented: str | None) -> str:
        """The id of the client whose key it is; raises Unauthorized. Takes the same time whichever key it is, or
        none.
        """
        if time.monotonic() - self._read_at > REREAD:
            self._read()
        digest = hashlib.sha256((presented or "").encode()).digest()
        found = None
        for client, known in self._digests.items():
            if hmac.compare_digest(digest, known):
                found = client
        if found is None or not presented:
            raise Unauthorized(
                "Send an API key as X-API-Key, or as Authorization: Bearer" if not presented else NOT_ONE
            )
        return found

    def _read(self) -> None:
        self._read_at = time.monotonic()
        try:
            # Kubernetes keeps the files behind links whose names begin with two dots.
            contents = {
                path.name: path.read_text().strip()
                for path in sorted(self._folder.iterdir())
                if path.is_file() and path.name[0] != "."
            }
        except (OSError, UnicodeDecodeError) as exc:
            log.error("the API keys in %s cannot be read, the last known ones stay: %s", self._folder, exc)
            return
        if not any(contents.values()):
            log.error("there is no API key in %s: every request is refused", self._folder)
        self._digests = {client: hashlib.sha256(key.encode()).digest() for client, key in contents.items() if key}


class Guard:
    """In front of everything that a key is asked for; where none are set there is no guard, and so no cost."""

    def __init__(self, folder: Path) -> None:
        self._keys = ApiKeys(folder)

    def handler(self, handler: Handler) -> Handler:
        async def guarded(call: Call) -> Reply:
            call.client = self._check(call.header(b"x-api-key"), call.header(b"authorization"))
            return await handler(call)

        return guarded

    async def request(self, request: Request) -> None:
        """As a dependency of FastAPI's routes."""
        call = Call(fields_of(request.headers.raw), request.url.path)
        self._check(call.header(b"x-api-key"), call.header(b"authorization"))

    def _check(self, key: str | None, authorization: str | None) -> str:
        """One credential: of two, a proxy before us may have checked the other. A header that came twice is a list,
        and no key.
        """
        if authorization is not None:
            scheme, _, credentials = authorization.partition(" ")
            if scheme.lower() == "bearer":
                if key is not None:
                    raise Unauthorized(NOT_ONE)
                key = credentials.strip()
        return self._keys.client(key)

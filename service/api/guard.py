"""Asks for an API key where keys are set. Probes, metrics and the documentation stay open."""

from pathlib import Path

from fastapi import Request

from ..errors import Unauthorized
from ..keys import ApiKeys
from .call import Call, Handler, Reply, fields_of


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
        """One credential: of two, a proxy before us may have checked the other. A header that came twice is a list, and no key."""
        if authorization is not None:
            scheme, _, credentials = authorization.partition(" ")
            if scheme.lower() == "bearer":
                if key is not None:
                    raise Unauthorized("Send one API key: as X-API-Key, or as Authorization: Bearer, and not both")
                key = credentials.strip()
        return self._keys.client(key)

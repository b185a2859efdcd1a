"""Asks for an API key where keys are set. Probes, metrics and the documentation stay open."""

from pathlib import Path

from fastapi import Request

from ..keys import ApiKeys
from .call import Call, Handler, Reply


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
        self._check(request.headers.get("x-api-key"), request.headers.get("authorization"))

    def _check(self, key: str | None, authorization: str | None) -> str:
        if key is None and authorization is not None:
            scheme, _, credentials = authorization.partition(" ")
            key = credentials.strip() if scheme.lower() == "bearer" else None
        return self._keys.client(key)

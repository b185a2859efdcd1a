"""Answers the prediction paths in front of FastAPI, whose middleware and router cost more than a prediction; it
documents them.
"""

from collections.abc import Iterable
from typing import NamedTuple

from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from ..engine.call import Call, MustWait
from ..prediction.repository import Repository
from .operation import Handler, Operation, Reply, fields_of
from .problems import ErrorResponder


class HotPath(NamedTuple):
    path: str
    handler: Handler
    name: str | None = None
    version: str | None = None


class Dispatch:
    """Knows the paths of all models by heart. What it does not know, FastAPI answers, by the same handlers."""

    def __init__(
        self, app: ASGIApp, operations: Iterable[Operation], repository: Repository, respond_to_error: ErrorResponder
    ) -> None:
        self._app = app
        self._respond_to_error = respond_to_error
        self._paths: dict[str, HotPath] = {}
        for operation in operations:
            path, handler = operation.path, operation.handler
            if "{" not in path:
                self._paths[path] = HotPath(path, handler)
                continue
            for entry in repository:
                version = entry.version if "{version}" in path else None
                actual = path.replace("{name}", entry.name).replace("{version}", entry.version)
                self._paths[actual] = HotPath(path, handler, entry.name, version)
        self._raw_paths = {path.encode(): hot for path, hot in self._paths.items()}

    def find(self, path: str) -> HotPath | None:
        """What answers a POST to this path."""
        return self._paths.get(path)

    def find_raw(self, url: bytes) -> HotPath | None:
        """The same for what a request line says; None where it has a query."""
        return self._raw_paths.get(url)

    async def answer(
        self, hot: HotPath, scope: Scope, headers: dict[bytes, bytes], receive: Receive, key: str | None = None
    ) -> Reply:
        """`headers`: those of the scope; `key`: as Call has it. Raises nothing: what goes wrong is answered, too."""
        query = scope["query_string"]
        try:
            return await hot.handler(
                Call(headers, hot.path, query=query, receive=receive, name=hot.name, version=hot.version, key=key)
            )
        except Exception as exc:
            return self._problem(exc)

    def answer_at_once(
        self, hot: HotPath, headers: dict[bytes, bytes], body: bytes, key: str | None = None
    ) -> Reply | None:
        """The same for a request that is there in whole and has no query; None where the answer must be waited for,
        nothing done.
        """
        answering = hot.handler(Call(headers, hot.path, body=body, name=hot.name, version=hot.version, key=key))
        try:
            answering.send(None)
        except StopIteration as done:
            reply: Reply = done.value
            return reply
        except MustWait:
            return None
        except Exception as exc:
            return self._problem(exc)
        raise AssertionError("A handler must not wait where it was given the body")

    def _problem(self, exc: Exception) -> Reply:
        response = self._respond_to_error.response(exc)
        return Reply(response.status_code, response.raw_headers, bytes(response.body))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """For middleware that only wraps ASGI applications."""
        hot = self.find(scope["path"]) if scope["type"] == "http" and scope["method"] == "POST" else None
        if hot is None:
            await self._app(scope, receive, send)
            return
        scope["route"] = hot  # the envelope counts by its path, the template
        reply = await self.answer(hot, scope, fields_of(scope["headers"]), receive)
        await send({"type": "http.response.start", "status": reply.status, "headers": reply.headers})
        await send({"type": "http.response.body", "body": reply.body})


def add_operations(app: FastAPI, operations: Iterable[Operation]) -> None:
    for operation in operations:
        app.add_api_route(
            operation.path,
            operation.endpoint,
            methods=["POST"],
            response_model=operation.answer,
            status_code=operation.status,
            summary=operation.summary,
            description=operation.handler.__doc__ or "",
            tags=[operation.tag],
            name=operation.path,
            include_in_schema=operation.shown is None,
        )

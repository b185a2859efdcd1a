"""A request to a prediction path and its answer, as small as they can be: these paths are answered before FastAPI's router."""

from collections.abc import Awaitable, Callable, Coroutine
from time import monotonic
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

from fastapi import Request, Response
from pydantic_core import to_json
from starlette.types import Receive, Scope

from ..loaded import LoadedModel

JSON = (b"content-type", b"application/json")


class Call:
    """`headers` by lower-case name; `name` and `version` of the model where the path names them."""

    __slots__ = ("headers", "name", "query", "receive", "started", "version")

    def __init__(
        self, scope: Scope, headers: dict[bytes, bytes], receive: Receive, name: str | None = None, version: str | None = None
    ) -> None:
        self.started = monotonic()
        self.headers = headers
        self.query = dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)) if scope["query_string"] else {}
        self.receive: Callable[[], Coroutine[Any, Any, Any]] = receive  # type: ignore[assignment]  # as every server's is
        self.name = name
        self.version = version

    def header(self, name: bytes) -> str | None:
        value = self.headers.get(name)
        return None if value is None else value.decode("latin-1")


class Reply(NamedTuple):
    """An answer, as ASGI has it."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes

    def response(self) -> Response:
        response = Response(self.body, self.status)
        response.raw_headers = self.headers
        return response


def reply(content: Any, model: LoadedModel) -> Reply:
    """JSON that says who answered. NaN cannot occur in it: the estimator's answers are JSON-ready."""
    body = to_json(content, inf_nan_mode="null")
    return Reply(200, [JSON, (b"content-length", b"%d" % len(body)), *model.answer_headers], body)


Handler = Callable[[Call], Awaitable[Reply]]


class Operation(NamedTuple):
    """A POST path: how it is answered, and how OpenAPI shows it (openapi.py adds the body, the errors and the examples)."""

    path: str
    handler: Handler
    answer: Any = None
    summary: str = ""
    tag: str = "predict"
    shown: bool = True

    async def endpoint(self, request: Request) -> Response:
        """For FastAPI's router, which answers where the dispatcher in front of it does not."""
        named = (request.path_params.get(part) for part in ("name", "version"))
        call = Call(request.scope, dict(request.scope["headers"]), request.receive, *named)
        return (await self.handler(call)).response()

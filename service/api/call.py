"""A request to a prediction path and its answer, as small as they can be: these paths are answered before FastAPI's router."""

from collections.abc import Awaitable, Callable
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

    def __init__(self, scope: Scope, receive: Receive, name: str | None = None, version: str | None = None) -> None:
        self.started = monotonic()
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self.query = dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)) if scope["query_string"] else {}
        self.receive = receive
        self.name = name
        self.version = version

    def header(self, name: bytes) -> str | None:
        value = self.headers.get(name)
        return None if value is None else value.decode("latin-1")


class Reply:
    """JSON that says who answered. NaN cannot occur in it: the estimator's answers are JSON-ready."""

    __slots__ = ("body", "headers")

    def __init__(self, content: Any, model: LoadedModel) -> None:
        self.body = to_json(content, inf_nan_mode="null")
        self.headers = [JSON, (b"content-length", b"%d" % len(self.body)), *model.answer_headers]

    def response(self) -> Response:
        response = Response(self.body)
        response.raw_headers = self.headers
        return response


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
        call = Call(request.scope, request.receive, request.path_params.get("name"), request.path_params.get("version"))
        return (await self.handler(call)).response()

"""A request to a prediction path and its answer, as small as they can be: these paths are answered before FastAPI's router."""

from collections.abc import Callable, Collection, Coroutine, Iterable
from time import monotonic
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

from fastapi import Request, Response
from msgspec.json import encode
from starlette.types import Receive

from ..journal.row_keys import Key
from ..predictor import Prediction

JSON = (b"content-type", b"application/json")


def fields_of(headers: Collection[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """Headers by their lower-case names."""
    fields = dict(headers)
    return fields if len(fields) == len(headers) else combined(headers)


def combined(headers: Iterable[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """The same where a name may come twice: its values are one list (RFC 9110), so that no two readers can each pick another one."""
    fields: dict[bytes, bytes] = {}
    for name, value in headers:
        fields[name] = fields[name] + b", " + value if name in fields else value
    return fields


class Call:
    """`headers` by lower-case name; `path`: the route's template; `name` and `version` of the model where it names them.

    Either `receive`, which is ASGI's, or `body`: all of it is there, and the answer must not wait. `client`: who asks, if keys are set.
    `key`: the request's id, if no other request has it.
    """

    __slots__ = ("body", "client", "headers", "key", "name", "path", "query", "receive", "started", "version")

    def __init__(
        self,
        headers: dict[bytes, bytes],
        path: str,
        *,
        query: bytes = b"",
        receive: Receive | None = None,
        body: bytes | None = None,
        name: str | None = None,
        version: str | None = None,
        key: Key | None = None,
    ) -> None:
        self.client: str | None = None
        self.path = path
        self.started = monotonic()
        self.headers = headers
        self.query = dict(parse_qsl(query.decode("latin-1"), keep_blank_values=True)) if query else {}
        self.receive: Callable[[], Coroutine[Any, Any, Any]] = receive  # type: ignore[assignment]  # as every server's is
        self.body = body
        self.name = name
        self.version = version
        self.key = key

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


def reply(content: Any, prediction: Prediction) -> Reply:
    """JSON that says who answered, and under which key it is logged. NaN cannot occur in it: the estimator's answers are JSON-ready."""
    body = encode(content)
    return Reply(200, [JSON, (b"content-length", b"%d" % len(body)), *prediction.model.answer_headers, *prediction.headers], body)


Handler = Callable[[Call], Coroutine[Any, Any, Reply]]


class Operation(NamedTuple):
    """A POST path: how it is answered, and how OpenAPI shows it (openapi.py adds the body, the errors and the examples)."""

    path: str
    handler: Handler
    answer: Any = None
    summary: str = ""
    tag: str = "predict"
    shown: bool = True
    status: int = 200  # where all is well

    async def endpoint(self, request: Request) -> Response:
        """For FastAPI's router, which answers where the dispatcher in front of it does not."""
        scope = request.scope
        named = {part: request.path_params.get(part) for part in ("name", "version")}
        call = Call(fields_of(scope["headers"]), self.path, query=scope["query_string"], receive=request.receive, **named)
        return (await self.handler(call)).response()

"""A request to a prediction path and its answer, as small as they can be: these paths are answered before FastAPI's
router.
"""

from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping
from typing import Any, NamedTuple

from fastapi import Request, Response
from msgspec.json import encode
from pydantic import BaseModel

from ..engine.call import Call
from ..errors import WrongAnswer
from ..prediction.entry import Entry
from ..prediction.predictor import Prediction

JSON = (b"content-type", b"application/json")


def fields_of(headers: Collection[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """Headers by their lower-case names."""
    fields = dict(headers)
    return fields if len(fields) == len(headers) else combined(headers)


def combined(headers: Iterable[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """The same where a name may come twice: its values are one list (RFC 9110), so that no two readers can each pick
    another one.
    """
    fields: dict[bytes, bytes] = {}
    for name, value in headers:
        fields[name] = fields[name] + b", " + value if name in fields else value
    return fields


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
    """JSON that says who answered, and under which key it is logged. NaN cannot occur in it: the estimator's answers
    are JSON-ready.
    """
    try:
        body = encode(content)
    except Exception as exc:  # half a character
        raise WrongAnswer from exc
    return Reply(
        200, [JSON, (b"content-length", b"%d" % len(body)), *prediction.model.answer_headers, *prediction.headers], body
    )


Handler = Callable[[Call], Coroutine[Any, Any, Reply]]


Schema = dict[str, Any]
Examples = dict[str, Any]  # by title, as OpenAPI has them
SCHEMAS = "#/components/schemas/"


def schemas_of(*models: type[BaseModel]) -> dict[str, Schema]:
    """What OpenAPI's components have of these, by name, and of what they are made of."""
    schemas: dict[str, Schema] = {}
    for model in models:
        schema = model.model_json_schema(ref_template=SCHEMAS + "{model}")
        schemas |= schema.pop("$defs", {}) | {model.__name__: schema}
    return schemas


class Shown(NamedTuple):
    """What OpenAPI says of one model's path that it cannot derive: of the answer, and of the body with its examples."""

    answer: Schema
    body: Schema
    examples: Examples
    components: dict[str, Schema]


class Operation(NamedTuple):
    """A POST path: how it is answered, and all that OpenAPI shows of it.

    `examples` is asked for each time, as models come and go. `components`: schemas that `body` names. `shown` None: as
    it is; else the path has a {name}, and is shown for each model that this answers something for.
    """

    path: str
    handler: Handler
    answer: Any = None
    summary: str = ""
    tag: str = "predict"
    status: int = 200  # where all is well
    body: Schema = {}  # noqa: RUF012  # nobody changes it
    examples: Callable[[], Examples] = dict
    parameters: tuple[str, ...] = ("Model", "Version", "Timeout")
    components: Mapping[str, Schema] = {}
    shown: Callable[[Entry], Shown | None] | None = None

    # For FastAPI's router, which answers where the fast path does not. A docstring here would be shown in OpenAPI.
    async def endpoint(self, request: Request) -> Response:
        scope = request.scope
        named = {part: request.path_params.get(part) for part in ("name", "version")}
        call = Call(
            fields_of(scope["headers"]), self.path, query=scope["query_string"], receive=request.receive, **named
        )
        return (await self.handler(call)).response()

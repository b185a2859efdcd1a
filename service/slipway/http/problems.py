"""The one shape of every error: application/problem+json (RFC 9457)."""

import logging
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import Request, Response
from pydantic import BaseModel, Field
from pydantic_core import to_json
from starlette.exceptions import HTTPException

from ..errors import InvalidInput, Problem, Rejected
from ..telemetry.metrics import Metrics

log = logging.getLogger("slipway.http")

MEDIA_TYPE = "application/problem+json"

REMEDIES = {
    404: "There is nothing at this path; GET /docs lists what there is",
    405: "This path takes other methods: see the Allow header",
}


class ProblemField(BaseModel):
    field: Annotated[str, Field(description="Where in the request, such as `instances[3].petal_length`.")]
    detail: Annotated[str, Field(description="What is wrong there and what would be right.")]


class ProblemDetails(BaseModel):
    """An error, as RFC 9457 spells it."""

    type: Annotated[str, Field(description="Names the kind of error: `about:blank`, or `urn:slipway:` and its code.")]
    title: str
    status: int
    detail: str
    errors: Annotated[list[ProblemField], Field(description="Per field, where fields are to blame.")] = []


def problem_response(problem: Problem) -> Response:
    """Never echoes what the client sent: NaN is no JSON, and a feature may be private."""
    content: dict[str, Any] = {
        "type": f"urn:slipway:{problem.reason}",
        "title": problem.title,
        "status": problem.status,
        "detail": problem.detail,
    }
    if problem.errors:
        content["errors"] = [error._asdict() for error in problem.errors]
    return Response(to_json(content), problem.status, problem.headers, MEDIA_TYPE)


class ErrorResponder:
    """The application's exception handler: counts a Problem and renders it; anything else is ours, logged with its
    traceback.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    async def __call__(self, _: Request, exc: Exception) -> Response:
        return self.response(exc)

    def response(self, exc: Exception) -> Response:
        if isinstance(exc, Problem):
            if isinstance(exc, InvalidInput):
                self._metrics.validation_failed(exc.reason)
            elif isinstance(exc, Rejected):
                self._metrics.rejected(exc.reason)
            return problem_response(exc)
        if isinstance(exc, HTTPException):  # the router's own: unknown paths and methods
            phrase = HTTPStatus(exc.status_code).phrase
            detail = REMEDIES.get(exc.status_code, exc.detail)
            content = {"type": "about:blank", "title": phrase, "status": exc.status_code, "detail": detail}
            headers = dict(exc.headers or {})
            if headers.get("Allow") == "GET":
                headers["Allow"] = "GET, HEAD"
            return Response(to_json(content), exc.status_code, headers, MEDIA_TYPE)
        log.error("unhandled error", exc_info=exc)
        return problem_response(Problem("An unexpected error; the server's log has the cause under this request's id"))

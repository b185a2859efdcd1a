"""GET /health, /ready, /metrics and /metrics/drift: for the kubelet and for Prometheus. Always answered, never shed."""

import asyncio
from time import monotonic
from typing import Annotated

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field
from pydantic_core import to_json

from ..prediction.repository import Repository
from ..settings import DriftSeries
from ..system.board import Lifecycle
from ..telemetry.metrics import CONTENT_TYPE, Metrics

PATHS = frozenset({"/health", "/ready", "/metrics", "/metrics/drift"})


class Health(BaseModel):
    status: str
    model_loaded: bool


class Ready(BaseModel):
    ready: bool
    log: Annotated[
        str | None, Field(description="What keeps the prediction log from its database; left out while nothing does.")
    ] = None


class NotReady(BaseModel):
    ready: bool
    error: str


def probes(repository: Repository, lifecycle: Lifecycle) -> APIRouter:
    router = APIRouter(tags=["probes"])

    @router.get("/health", response_model=Health, summary="Liveness: the process runs")
    async def health() -> Response:
        """Answers without waiting for any prediction. `model_loaded`: every model that this server is expected to
        serve is loaded.
        """
        loaded = all(entry.state == "ready" for entry in repository if entry.expected)
        return _json({"status": "healthy", "model_loaded": loaded})

    @router.get(
        "/ready",
        response_model=Ready,
        responses={503: {"model": NotReady}},
        summary="Readiness: every worker predicts rightly",
    )
    async def ready() -> Response:
        """200 while every worker has, within the last 10 s, answered the example rows of every expected model as its
        manifest says.
        """
        error = "draining: this server is about to stop" if lifecycle.draining else lifecycle.board.verdict()
        if error is None:
            note = lifecycle.board.first_note()
            return _json({"ready": True} if note is None else {"ready": True, "log": note})
        return _json({"ready": False, "error": error}, 503, {"Retry-After": "1"})

    return router


def scrapes(lifecycle: Lifecycle, metrics: Metrics, drift: DriftSeries) -> APIRouter:
    router = APIRouter(tags=["probes"])

    @router.get(
        "/metrics",
        response_class=Response,
        responses={200: {"content": {"text/plain": {}}}},
        summary="Prometheus metrics of all workers",
    )
    async def exposition(request: Request) -> Response:
        began = monotonic()
        body = await asyncio.to_thread(metrics.render, "all" if drift == "together" else "without drift")
        # Prometheus gives up after its timeout, and has seen nothing then; nor has who asks for the head alone.
        if not (request.scope.get("head") or await request.is_disconnected()):
            lifecycle.board.scraped(began)
        return Response(body, media_type=CONTENT_TYPE)

    @router.get(
        "/metrics/drift",
        response_class=Response,
        responses={200: {"content": {"text/plain": {}}}},
        summary="Prometheus metrics of drift, of all workers",
    )
    async def drift_exposition() -> Response:
        """Apart from the others, for they are many and change slowly: to be scraped once a minute."""
        return Response(await asyncio.to_thread(metrics.render, "drift"), media_type=CONTENT_TYPE)

    return router


def _json(content: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(to_json(content), status, headers, "application/json")

"""create_app(settings): the wiring, the lifespan and the one exception handler."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from fastapi import FastAPI
from fastapi.dependencies import models as dependencies
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware

from . import __version__
from .drift.counting import DriftCounter
from .engine.engine import Engine
from .engine.marks import Marks
from .errors import Problem
from .http.auth import Guard
from .http.body import Exchange
from .http.counting import counting
from .http.docs import docs_routes
from .http.envelope import Envelope
from .http.fast_path import Dispatch, add_operations
from .http.feedback import feedback_operations
from .http.models import catalogue_routes
from .http.openapi import describe_api
from .http.probes import probes, scrapes
from .http.problems import ErrorResponder
from .prediction.predictor import Predictor
from .prediction.readiness import Readiness
from .prediction.repository import Repository
from .prediction_log.log import open_log
from .protocols import native, techniques
from .settings import Settings
from .system.board import Board, Lifecycle
from .telemetry.metrics import Metrics

PROTOCOLS = (native.operations, techniques.operations)


def create_app(
    settings: Settings,
    *,
    lifecycle: Lifecycle | None = None,
    metrics: Metrics | None = None,
    repository: Repository | None = None,
) -> Envelope:
    """The ASGI application, its models loaded but never asked: predictions begin in the lifespan, after the fork.
    Raises ArtifactError.

    `repository`: of models that are loaded already, with the same lifecycle and metrics.
    """
    lifecycle = lifecycle or Lifecycle(Board(None, slots=1))
    metrics = metrics or Metrics(None, None)
    if repository is None:
        repository = Repository(settings, metrics, Marks(lifecycle))
        repository.load_eager()
    engine = Engine(settings, metrics, repository.marks)
    signatures = [
        (entry.name, entry.validator.signature if entry.validator is not None else None) for entry in repository
    ]
    prediction_log = open_log(settings, signatures, metrics.log)
    drift = DriftCounter(metrics.drift)
    predictor = Predictor(settings, repository, engine, prediction_log, drift, metrics)
    readiness = Readiness(repository, engine, lifecycle, prediction_log)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        engine.start()
        await prediction_log.start()
        tasks = [asyncio.create_task(engine.watch())]  # a warm-up in a child may hang, too
        repository.set_aside(lifecycle.board.aside, engine.warm_up)
        for entry in repository:
            await repository.warm_up(entry, engine.warm_up)
        await readiness.report()
        drift.start(entry.model for entry in repository if entry.model is not None)
        tasks += [asyncio.create_task(task) for task in (readiness.run(), drift.run())]
        yield
        for task in tasks:
            task.cancel()
        drift.close()
        await asyncio.to_thread(engine.close)
        await prediction_log.close()

    app = FastAPI(
        title="Slipway",
        version=__version__,
        summary="Predictions from fitted scikit-learn models.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # a redirect would lead wherever the client's own Host header says
    )
    respond_to_error = ErrorResponder(metrics)
    for error in (Problem, HTTPException, Exception):
        app.add_exception_handler(error, respond_to_error)
    exchange = Exchange(settings, repository)
    operations = [operation for protocol in PROTOCOLS for operation in protocol(predictor, exchange, settings)]
    operations = [operation._replace(handler=counting(operation.handler)) for operation in operations]
    operations += feedback_operations(prediction_log, exchange, settings)
    guard = Guard(settings.api_keys) if settings.api_keys else None
    if guard is not None:
        operations = [operation._replace(handler=guard.handler(operation.handler)) for operation in operations]
    add_operations(app, operations)
    tells, told = probes(repository, lifecycle), scrapes(lifecycle, metrics, settings.drift)
    for router in (tells, docs_routes(app), catalogue_routes(predictor, guard)):
        app.include_router(router)
    beside = None
    if settings.metrics_port is None:
        app.include_router(told)
    else:
        port = FastAPI(title="Slipway", openapi_url=None, redirect_slashes=False, routes=[*tells.routes, *told.routes])
        for error in (HTTPException, Exception):
            port.add_exception_handler(error, respond_to_error)
        beside = Envelope(port, None, port, settings, lifecycle, metrics)
    describe_api(app, operations, repository, keys=guard is not None)
    hot = Dispatch(app, operations, repository, respond_to_error)
    if not settings.cors_origins:
        return Envelope(app, hot, app, settings, lifecycle, metrics, beside)
    outer = CORSMiddleware(
        hot, settings.cors_origins, allow_methods=["GET", "POST"], allow_headers=["*"], expose_headers=["*"]
    )
    return Envelope(outer, None, app, settings, lifecycle, metrics, beside)


def forget_endpoints() -> None:
    """FastAPI remembers those that it has seen, and so keeps all of an application that has been replaced."""
    for each in vars(dependencies).values():
        if hasattr(each, "cache_clear"):
            each.cache_clear()

"""create_app(settings): the wiring, the lifespan and the one exception handler."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware

from . import __version__
from .drift.counting import DriftCounter
from .engine.engine import Engine
from .engine.marks import Marks
from .errors import ArtifactError, Problem
from .http.auth import Guard
from .http.body import Exchange
from .http.envelope import Envelope
from .http.fast_path import Dispatch, add_operations
from .http.feedback import feedback_operations
from .http.models import catalogue_routes
from .http.openapi import describe_api, docs_routes
from .http.probes import probes
from .http.problems import ErrorResponder
from .model.rows import MOST_NAMES
from .prediction.loading import Loading
from .prediction.predictor import Predictor
from .prediction.readiness import Readiness
from .prediction.repository import Repository
from .prediction_log.log import Journal, allowed
from .prediction_log.queue import Recorder
from .prediction_log.redaction import Redaction
from .prediction_log.stores.forms import AS_RECORDS, AS_VALUES, PACKED
from .prediction_log.stores.room import Room
from .prediction_log.stores.store import open_store
from .prediction_log.upkeep.embedded import prepare
from .protocols.native import named_operations, predict_operations
from .protocols.techniques import technique_operations
from .settings import Settings
from .system.board import Board, Lifecycle
from .telemetry.metrics import Metrics

log = logging.getLogger("slipway.app")


def create_app(
    settings: Settings, *, lifecycle: Lifecycle | None = None, metrics: Metrics | None = None, loading: Loading | None = None
) -> Envelope:
    """The ASGI application, its models loaded but never asked: predictions begin in the lifespan, after the fork. Raises ArtifactError."""
    lifecycle = lifecycle or Lifecycle(Board(None, slots=1))
    metrics = metrics or Metrics(None, None)
    marks = Marks(lifecycle)
    repository = Repository(settings, metrics, marks)
    repository.load_eager(loading)
    engine = Engine(settings, metrics, marks)
    journal = make_journal(settings, repository, metrics)
    drift = DriftCounter(metrics.drift)
    predictor = Predictor(settings, repository, engine, journal, drift, metrics)
    readiness = Readiness(repository, engine, lifecycle, journal)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        engine.start()
        await journal.start()
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
        await journal.close()

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
    operations = predict_operations(predictor, exchange) + named_operations(predictor, exchange)
    operations += feedback_operations(journal, exchange, settings)
    if settings.techniques:
        operations += technique_operations(predictor, exchange)
    guard = Guard(settings.api_keys) if settings.api_keys else None
    if guard is not None:
        operations = [operation._replace(handler=guard.handler(operation.handler)) for operation in operations]
    add_operations(app, operations)
    for router in (probes(repository, lifecycle, metrics), docs_routes(app), catalogue_routes(predictor, guard)):
        app.include_router(router)
    describe_api(app, operations, repository, keys=guard is not None)
    hot = Dispatch(app, operations, repository, respond_to_error)
    if not settings.cors_origins:
        return Envelope(app, hot, app, settings, lifecycle, metrics)
    outer = CORSMiddleware(hot, settings.cors_origins, allow_methods=["GET", "POST"], allow_headers=["*"], expose_headers=["*"])
    return Envelope(outer, None, app, settings, lifecycle, metrics)


def make_journal(settings: Settings, repository: Repository, metrics: Metrics) -> Journal:
    """Raises ArtifactError for settings that cannot be met. What is needed is imported before the fork, and an embedded file made."""
    key = settings.log_hash_key.get_secret_value() if settings.log_hash_key else ""
    redaction = Redaction(settings.log_omit, settings.log_hash, key.encode(), settings.log_record_bytes)
    signatures = [(entry.name, entry.validator.signature) for entry in repository if entry.validator is not None]
    if unknown := redaction.unknown(signatures):
        named = [f"SLIPWAY_{name.upper()}" for name in ("log_omit", "log_hash") if not set(unknown).isdisjoint(getattr(settings, name))]
        known = sorted({f"{model}.{column}" for model, signature in signatures for column in signature.names or ()})
        there = f"{', '.join(known[:MOST_NAMES])}{', …' if len(known) > MOST_NAMES else ''}" or "none with names"
        sentence = f"{' and '.join(named)}: no model has the columns {', '.join(unknown)}; there are {there}"
        if all(entry.validator is not None and entry.validator.signature.columns is not None for entry in repository):
            raise ArtifactError(sentence)
        log.warning("%s, as far as their columns are known", sentence)
    url = settings.log_database.get_secret_value()
    if settings.log != "off":
        try:
            open_store(url)  # connects to nothing yet
        except ValueError as exc:
            raise ArtifactError(str(exc)) from None
    form = AS_RECORDS if settings.log == "spooled" else PACKED if url.startswith("postgres") else AS_VALUES
    recorder = Recorder(redaction, metrics.log, form)
    room = Room(allowed(settings, settings.log_database_bytes), metrics.log, deletes=settings.log != "off")
    return Journal(settings, recorder, metrics.log, lambda: open_store(url, room), lambda: prepare(url))

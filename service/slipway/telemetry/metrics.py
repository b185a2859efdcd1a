"""Every metric once, with the alert, panel or autoscaler that reads it; right across worker processes and their
restarts.
"""

import os
from collections.abc import Callable, Iterable
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed
from itertools import chain
from pathlib import Path
from platform import python_version
from typing import Literal, cast, get_args

from prometheus_client import CONTENT_TYPE_LATEST as CONTENT_TYPE
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
    values,
)
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

from .. import __version__
from .drift_metrics import DriftMetrics
from .log_metrics import LogMetrics
from .model_metrics import ModelMetrics
from .slot_files import ReservedDict, counter, observer, series_lost, slot_values

__all__ = ["CONTENT_TYPE", "InferenceMetrics", "Metrics"]

Part = Literal["all", "drift", "without drift"]
ModelState = Literal["unloaded", "loading", "ready", "failed"]
Reload = Literal["loaded", "refused", "failed"]

MASTER = "master"  # the slot of the process that forks the workers and serves nothing itself

# From a linear model's answer to the longest that somebody waits for one.
_BUCKETS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_MOST_CLASSES = 100  # per model; a client can multiply series no further than this
MOST_MODELS = 100
_STATES: tuple[ModelState, ...] = ("unloaded", "loading", "ready", "failed")


def _sklearn_version() -> str:
    """Empty where all models are compiled, and it is not installed."""
    try:
        return installed("scikit-learn")
    except PackageNotFoundError:
        return ""


class InferenceMetrics:
    """The metrics of one model version, its children kept: looking them up at each request costs as much as
    counting.
    """

    def __init__(self, duration: Histogram, errors: Counter, predictions: Counter, name: str, version: str) -> None:
        self.observe = observer(duration.labels(name, version))
        self.failed = errors.labels(name, version).inc
        self._predictions = predictions
        self._model = (name, version)
        self._classes: dict[str, Callable[[float], None]] = {}

    def predicted(self, label: str, rows: int) -> None:
        """Rows of one class, "" where the model is no classifier."""
        (self._classes.get(label) or self._class(label))(rows)

    def _class(self, label: str) -> Callable[[float], None]:
        if len(self._classes) >= _MOST_CLASSES:
            label = "other"
        count = self._classes[label] = counter(self._predictions.labels(*self._model, label))
        return count


class Metrics:
    """`directory` None: everything in this process. Otherwise each process writes the files of its `slot` there, and
    `render` adds them up.

    The slots outlive the processes, so that totals survive a worker's death and the files do not multiply.
    """

    def __init__(self, directory: Path | None, slot: Callable[[], str] | None, most_models: int = MOST_MODELS) -> None:
        self._directory = directory
        self._slot = slot or (lambda: "0")
        if directory is not None:
            _share(directory, self._slot)
        else:  # also in a fork of a process whose metrics are in files
            values.ValueClass = values.MutexValue
        # The files cannot hold these, and one process should show what several do.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = registry = CollectorRegistry()
        self._add_requests(registry)
        self._add_inferences(registry)
        self._add_models(registry)
        self._add_workers(registry)
        self.log = LogMetrics(registry)
        self._build_info.labels(__version__, python_version(), _sklearn_version()).set(1)
        self.drift = DriftMetrics(registry)
        self.models = ModelMetrics(registry, most_models)

        self._certificate: Gauge | None = None
        self._routes: dict[tuple[str, str, int], Callable[[float], None]] = {}
        self._models: dict[tuple[str, str], InferenceMetrics] = {}
        self.states: dict[tuple[str, str], ModelState] = {}  # by name and version: what a forked worker shows
        self.process_started()

    def _add_requests(self, registry: CollectorRegistry) -> None:
        # Alert on the share of 5xx and on the p99, panels by route; its _count is the request rate.
        self._requests = Histogram(
            "slipway_http_request_duration_seconds",
            "Time from a request's headers to the end of its answer.",
            ("method", "route", "status"),
            buckets=_BUCKETS,
            registry=registry,
        )
        # The autoscaler's signal: work that waits, before the CPU shows it.
        self.in_flight = Gauge(
            "slipway_http_requests_in_flight",
            "Prediction requests being handled.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        # Alert: more replicas or a larger bound are needed.
        self._rejected = Counter(
            "slipway_requests_rejected", "Requests turned away with 503.", ("reason",), registry=registry
        )
        # Panel: a client that was deployed with the wrong features.
        self._validation_failures = Counter(
            "slipway_validation_failures",
            "Requests refused with 4xx for what they contain.",
            ("reason",),
            registry=registry,
        )
        # Panel: the hit rate, which tells whether the cache is worth its memory.
        cache = Counter(
            "slipway_cache_requests", "Rows looked up in the prediction cache.", ("result",), registry=registry
        )
        self._hits, self._misses = cache.labels("hit"), cache.labels("miss")

    def _add_inferences(self, registry: CollectorRegistry) -> None:
        # Panel: the model's own share of the latency; its _count is the number of inference calls.
        self._inference_duration = Histogram(
            "slipway_inference_duration_seconds",
            "Time in the model.",
            ("model", "version"),
            buckets=_BUCKETS,
            registry=registry,
        )
        # Panel: the model raises or answers rubbish. The alert is on the 500s that follow.
        self._inference_errors = Counter(
            "slipway_inference_errors", "Inference calls that failed.", ("model", "version"), registry=registry
        )
        # Alert: a model that hangs, or takes its process along, until it is set aside.
        self._inferences_lost = Counter(
            "slipway_inferences_lost",
            "Inference calls that did not return: hung, or died where their process ended.",
            ("model", "version", "reason"),
            registry=registry,
        )
        # Panel: drift of the predicted classes; their sum is the rows per model.
        self._predictions = Counter(
            "slipway_predictions",
            "Predicted rows by class; empty where there are no classes.",
            ("model", "version", "class"),
            registry=registry,
        )

    def _add_models(self, registry: CollectorRegistry) -> None:
        # Panel: why a pod takes long to start. The slowest worker's, where workers load for themselves.
        self._load_duration = Gauge(
            "slipway_model_load_duration_seconds",
            "Time that the last load of the model took.",
            ("model", "version"),
            registry=registry,
            multiprocess_mode="max",
        )
        # Panel: which models serve, and whether one has failed in some worker. The alert is on /ready, which says 503
        # then.
        self._model_state = Gauge(
            "slipway_model_state",
            "Workers in which the model is in this state.",
            ("model", "version", "state"),
            registry=registry,
            multiprocess_mode="livesum",
        )

        # Panel: whether the memory for lazily loaded models suffices. Where each load is followed by another model's
        # leave, it does not.
        self._lazy_loads = Counter("slipway_lazy_loads", "Times that a lazy model was loaded.", registry=registry)
        self._let_go = Counter(
            "slipway_models_let_go", "Times that a lazy model went to make room for another.", registry=registry
        )
        self._lazy_bytes = Gauge(
            "slipway_lazy_models_bytes",
            "Bytes that lazily loaded models count with now, in all workers.",
            registry=registry,
            multiprocess_mode="livesum",
        )

    def _add_workers(self, registry: CollectorRegistry) -> None:
        # Panel: fewer workers than configured.
        self._workers = Gauge(
            "slipway_workers", "Worker processes alive.", registry=registry, multiprocess_mode="livesum"
        )
        # Alert: workers that are killed, by the kernel for memory or by the master for hanging.
        self._restarts = Counter("slipway_worker_restarts", "Workers that died and were replaced.", registry=registry)
        # Alert: new files that are not served, while all looks well.
        self._reloads = Counter(
            "slipway_reloads",
            "Times that models were read anew: loaded; refused, where some were not taken; failed, where none were.",
            ("outcome",),
            registry=registry,
        )
        for outcome in get_args(Reload):  # an alert sees no increase in a series that begins with 1
            self._reloads.labels(outcome)
        # Panel: which build runs where, to lay over a change in latency.
        self._build_info = Gauge(
            "slipway_build_info",
            "Always 1.",
            ("version", "python", "sklearn"),
            registry=registry,
            multiprocess_mode="max",
        )

    def process_started(self) -> None:
        """A worker's first call after the fork: it counts itself, and the models that it was born with."""
        if self._slot() == MASTER:
            return
        self._workers.set(1)
        for (name, version), state in self.states.items():
            self._show_state(name, version, state)

    def reloaded(self, outcome: Reload) -> None:
        """The master's call."""
        self._reloads.labels(outcome).inc()

    def worker_died(self, slot: str, *, restart: bool) -> None:
        """The master's call when a worker is gone: what it had in hand is gone too, what it counted stays."""
        mark_process_dead(slot, self._directory)  # type: ignore[no-untyped-call]
        if restart:
            self._restarts.inc()

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        key = (method, route, status)
        observe = self._routes.get(key)
        if observe is None:
            known = method if method in _METHODS else "other"
            observe = observer(self._requests.labels(known, route, str(status)))
            if known == method:  # what clients make up must not fill the dictionary either
                self._routes[key] = observe
        observe(seconds)

    def rejected(self, reason: str) -> None:
        self._rejected.labels(reason).inc()

    def validation_failed(self, reason: str) -> None:
        self._validation_failures.labels(reason).inc()

    def inference(self, name: str, version: str) -> InferenceMetrics:
        key = (name, version)
        if key not in self._models:
            for reason in ("hung", "died"):  # an alert sees no increase in a series that begins with 1
                self._inferences_lost.labels(name, version, reason)
            self._models[key] = InferenceMetrics(
                self._inference_duration, self._inference_errors, self._predictions, name, version
            )
        return self._models[key]

    def inference_lost(self, name: str, version: str, reason: Literal["hung", "died"]) -> None:
        """It did not return, and never will."""
        self._inferences_lost.labels(name, version, reason).inc()

    def cache(self, hits: int, misses: int) -> None:
        """Rows that were found and not found."""
        if hits:
            self._hits.inc(hits)
        if misses:
            self._misses.inc(misses)

    def model_state(self, name: str, version: str, state: ModelState) -> None:
        """Remembered in the master and shown by each worker: the master answers for no model."""
        self.states[name, version] = state
        if self._slot() != MASTER:
            self._show_state(name, version, state)

    def model_loaded(self, name: str, version: str, seconds: float) -> None:
        self._load_duration.labels(name, version).set(seconds)

    def lazily_loaded(self, held: int) -> None:
        """`held`: bytes of all that are loaded now."""
        self._lazy_loads.inc()
        self._lazy_bytes.set(held)

    def let_go(self, held: int) -> None:
        self._let_go.inc()
        self._lazy_bytes.set(held)

    def certificate_expires(self, at: float) -> None:
        """A worker's call, where it serves one: without one, and in the master, there is no such series."""
        if self._certificate is None:
            # Alert before it is over.
            self._certificate = Gauge(
                "slipway_tls_certificate_expiry_timestamp_seconds",
                "Until when the certificate is valid that is served; of several, the one that ends first.",
                registry=self._registry,
                multiprocess_mode="livemin",
            )
        self._certificate.set(at)

    def render(self, part: Part = "all") -> bytes:
        """The exposition text of all processes, or drift's part of it, or all but that. Reads files: call it in a
        thread.
        """
        everything = self._registry if self._directory is None else _AllSlots(self._directory, self.drift)
        return generate_latest(everything if part == "all" else _Part(everything, drift=part == "drift"))

    def _show_state(self, name: str, version: str, state: ModelState) -> None:
        for each in _STATES:
            self._model_state.labels(name, version, each).set(each == state)


def _share(directory: Path, slot: Callable[[], str]) -> None:
    """Has the library keep the values of this process in the files of its slot."""
    # The library takes both from the environment when it is first imported, and names the files by process id.
    # Set here, as long as no metric exists, they are as good, and the files are named by slot.
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(directory)
    values.MmapedDict = ReservedDict  # type: ignore[attr-defined]
    values.ValueClass = slot_values(slot)


class _Part(Collector):
    """Drift's families, or all others."""

    def __init__(self, everything: Collector, *, drift: bool) -> None:
        self._everything = everything
        self._drift = drift

    def collect(self) -> Iterable[Metric]:
        return (each for each in self._everything.collect() if each.name.startswith("slipway_drift_") == self._drift)


class _AllSlots(Collector):
    """The sum of all files. Not the library's own collector, which fails on a file that a worker has made and not
    filled yet.
    """

    def __init__(self, directory: Path, same_in_all: Collector) -> None:
        self._directory = directory
        self._same_in_all = same_in_all

    def collect(self) -> Iterable[Metric]:
        files = [str(path) for path in self._directory.glob("*.db") if _filled(path)]
        merged = cast(Iterable[Metric], MultiProcessCollector.merge(files))  # type: ignore[no-untyped-call]
        # Alert: the panels and the other alerts no longer see all.
        lost = GaugeMetricFamily(
            "slipway_metrics_lost", "1 since there was no room for a series in the runtime folder.", int(series_lost())
        )
        return chain(merged, self._same_in_all.collect(), (lost,))


def _filled(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except FileNotFoundError:  # a dead worker's gauges
        return False

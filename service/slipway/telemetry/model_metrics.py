"""Requests by model and version: how many, how they ended, and how long they took. Of a bounded number of models."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Histogram

from .slot_files import counter, observer

OTHER = "other"
# As few as tell a p99 and hold the usual objectives: each is a series of every model.
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_CLASSES = ("2xx", "4xx", "5xx")

Observe = Callable[[int, float], None]  # the status of an answer, and its seconds


class ModelMetrics:
    """Part of Metrics. Beyond `most` versions of models they share the series of a model that is called other."""

    def __init__(self, registry: CollectorRegistry, most: int) -> None:
        # Alerts: the burn rate of a model's error budget. Panel: requests by model.
        self._requests = Counter(
            "slipway_model_requests",
            "Requests to a model by how they ended; without those that found no model, or had no key.",
            ("model", "version", "status"),
            registry=registry,
        )
        # Alert and panel: the share of a model's requests that take too long.
        self._latency = Histogram(
            "slipway_model_latency_seconds",
            "Time from a request's headers until its answer is made, by model.",
            ("model", "version"),
            buckets=BUCKETS,
            registry=registry,
        )
        self._most = most
        self._observers: dict[tuple[str, str], Observe] = {}

    def observer(self, name: str, version: str) -> Observe:
        """All its series begin with 0: an alert sees no increase to a series' first value."""
        key = (name, version)
        if key not in self._observers and len(self._observers) >= self._most:
            key = (OTHER, "")
        if key not in self._observers:
            self._observers[key] = self._observe(*key)
        return self._observers[key]

    def _observe(self, name: str, version: str) -> Observe:
        latency = observer(self._latency.labels(name, version))
        good, refused, failed = (counter(self._requests.labels(name, version, each)) for each in _CLASSES)

        def observe(status: int, seconds: float) -> None:
            (good if status < 400 else refused if status < 500 else failed)(1)
            latency(seconds)

        return observe

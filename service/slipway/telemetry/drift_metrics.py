"""The metrics of drift: rows counted by bin, and the shares that are expected of the bins. A recording rule makes
PSI of them.
"""

from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Counter
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ..model.distribution import Distribution
from .slot_files import counter

_LABELS = ("model", "version", "part", "name", "bin")
Count = Callable[[float], None]


class DriftMetrics(Collector):
    """`expect` in the master, before the fork: all workers show the same. `counters` in a worker."""

    def __init__(self, registry: CollectorRegistry) -> None:
        # Recording rule slipway:drift_psi, with the alerts on it; panel of missing values.
        self._values = Counter(
            "slipway_drift_values",
            "Values by bin of the training distribution.",
            _LABELS,
            registry=registry,
        )
        # Panel: PSI is of a sample while this rises.
        skipped = Counter(
            "slipway_drift_skipped_rows", "Rows that drift was not counted of: there were too many.", registry=registry
        )
        self.skipped: Count = skipped.inc
        self._expected: dict[tuple[str, str], Distribution] = {}
        registry.register(self)

    def expect(self, model: str, version: str, distribution: Distribution) -> None:
        self._expected[model, version] = distribution

    def counters(self, model: str, version: str, distribution: Distribution) -> dict[str, list[list[Count]]]:
        """By part, variable and bin. Each begins with 0: Prometheus does not see the increase to a series' first
        value.
        """
        return {
            part: [
                [counter(self._values.labels(model, version, part, each.name, name)) for name in each.bins]
                for each in variables
            ]
            for part, variables in distribution.parts.items()
        }

    def collect(self) -> Iterable[Metric]:
        """No gauge of the library's: the shares never change, and need no file of each worker."""
        # Recording rule slipway:drift_psi.
        family = GaugeMetricFamily(
            "slipway_drift_expected_share", "Share of a bin in the training distribution.", labels=_LABELS
        )
        for (model, version), distribution in self._expected.items():
            for part, variables in distribution.parts.items():
                for each in variables:
                    for name, share in zip(each.bins, each.shares, strict=True):
                        family.add_metric([model, version, part, each.name, name], share)
        if family.samples:
            yield family

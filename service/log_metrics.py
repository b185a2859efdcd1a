"""The prediction log's metrics, with the alert or panel that reads each."""

from typing import Literal, get_args

from prometheus_client import CollectorRegistry, Counter, Gauge

Outcome = Literal["stored", "spooled", "dropped"]


class LogMetrics:
    """Part of Metrics. A row that goes by way of the spool counts as spooled, then as stored."""

    def __init__(self, registry: CollectorRegistry) -> None:
        # SlipwayLogRecordsDropped alerts on any that is dropped; panel: records a second, by outcome.
        records = Counter(
            "slipway_log_records",
            "Records and feedback of the prediction log, by what became of them.",
            ("outcome",),
            registry=registry,
        )
        self._records = {outcome: records.labels(outcome) for outcome in get_args(Outcome)}
        # Alert before it reaches the bound, SLIPWAY_LOG_SPOOL_BYTES; panel: what an outage of the database has left to replay.
        self._spool_bytes = Gauge(
            "slipway_log_spool_bytes", "Bytes on disk that wait for the database.", registry=registry, multiprocess_mode="livesum"
        )
        # SlipwayLogDatabaseAway alerts where it is below slipway_workers.
        self._database_up = Gauge(
            "slipway_log_database_up",
            "Workers whose prediction log is not known to be cut off from its database.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        # Panel: why it is cut off.
        self._failures = Counter(
            "slipway_log_database_failures", "Calls of the database that failed, by kind.", ("kind",), registry=registry
        )
        # Panel: whether the writer keeps up.
        self._queue = Gauge("slipway_log_queue_rows", "Rows in memory.", registry=registry, multiprocess_mode="livesum")

    def counted(self, outcome: Outcome, entries: int) -> None:
        if entries:
            self._records[outcome].inc(entries)

    def spool_bytes(self, size: int) -> None:
        self._spool_bytes.set(size)

    def database_up(self, up: bool) -> None:
        self._database_up.set(up)

    def failed(self, kind: str) -> None:
        self._failures.labels(kind).inc()

    def queue(self, rows: int) -> None:
        self._queue.set(rows)

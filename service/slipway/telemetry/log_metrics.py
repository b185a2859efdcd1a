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
        # Alert before it reaches the bound, SLIPWAY_LOG_SPOOL_BYTES; panel: what an outage of the database has left to
        # replay.
        self._spool_bytes = Gauge(
            "slipway_log_spool_bytes",
            "Bytes on disk that wait for the database.",
            registry=registry,
            multiprocess_mode="livesum",
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
        # Panel: how near it is to its bound, SLIPWAY_LOG_DATABASE_BYTES; past it records wait in the spool, and are
        # dropped.
        self._database_bytes = Gauge(
            "slipway_log_database_bytes",
            "Bytes of the SQLite file and its write-ahead log.",
            registry=registry,
            multiprocess_mode="mostrecent",
        )
        # Panel: feedback for ids that were never given, or whose rows are lost.
        strays = Counter(
            "slipway_log_strays",
            "Feedback whose row nobody finds, by what became of it.",
            ("outcome",),
            registry=registry,
        )
        self._strays = {outcome: strays.labels(outcome) for outcome in ("stored", "dropped")}
        # Panel: what the bound of the SQLite file has cost.
        self._deleted = Counter(
            "slipway_log_deleted_rows", "Rows of the oldest days that made room in the SQLite file.", registry=registry
        )
        # Panel: whether the writer keeps up.
        self._queue = Gauge("slipway_log_queue_rows", "Rows in memory.", registry=registry, multiprocess_mode="livesum")

    def counted(self, outcome: Outcome, entries: int) -> None:
        if entries:
            self._records[outcome].inc(entries)

    def spool_bytes(self, size: int) -> None:
        self._spool_bytes.set(size)

    def database_bytes(self, size: int) -> None:
        self._database_bytes.set(size)

    def deleted(self, rows: int) -> None:
        self._deleted.inc(rows)

    def strays(self, outcome: Literal["stored", "dropped"], rows: int) -> None:
        if rows:
            self._strays[outcome].inc(rows)

    def database_up(self, up: bool) -> None:
        self._database_up.set(up)

    def failed(self, kind: str) -> None:
        self._failures.labels(kind).inc()

    def queue(self, rows: int) -> None:
        self._queue.set(rows)

"""What the prediction log keeps: a record of every answered row, and feedback that joins the true outcome to one."""

from typing import NamedTuple


# One answered row; field order is the column order of the table `predictions`, and of a spool's line.
class Record(NamedTuple):
    # UUIDv7 as text, 36 characters; of row i of a request: the first row's + i (the low 20 bits count rows, zero in the
    # first).
    key: str
    time: float  # seconds since the epoch, UTC, when the answer was made; the day of it decides the partition
    request_id: str
    position: int  # of the row in its request, from 0
    model: str
    version: str
    digest: str  # sha256:…
    dialect: str  # the route's template, such as /predict
    features: str  # JSON text: an object by column where the signature names columns, else a list
    answer: str  # JSON text of the prediction
    confidence: float | None  # None also for multi-output lists
    latency_ms: float  # from the request's arrival to its answer
    client: str | None  # the authenticated client's id


class Feedback(NamedTuple):  # the true outcome of a row; table `feedback`; several for one row: the latest counts
    key: str  # its own key, UUIDv7 (exactly once, as records)
    time: float
    prediction: str  # key of the row
    outcome: str  # JSON text
    client: str | None


Entry = Record | Feedback

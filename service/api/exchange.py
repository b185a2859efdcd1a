"""What every dialect does with a call: find the model it is for, and read its bounded JSON body."""

from ..caller import Caller
from ..errors import FieldError, InvalidParameter, UnsupportedMediaType
from ..repository import Entry, Repository
from ..rows import Batch, RowValidator
from ..settings import Settings
from .body import read_body
from .call import Call
from .decoding import FREE, decode, object_in, require_json_object, require_rows, require_shape, rows_in, shape_of

SHORTEST_TIMEOUT = 0.001  # seconds; less than this only spells a mistake


class Exchange:
    """Built once per application; holds the limits that every request is read under."""

    def __init__(self, settings: Settings, repository: Repository) -> None:
        self._timeout = settings.request_timeout
        self._max_body_bytes = settings.max_body_bytes
        self._repository = repository

    def entry(self, call: Call) -> Entry:
        """The model asked for: by the path, else the query, else the headers, else the default. Raises UnknownModel."""
        if not (call.name or call.query) and b"x-model" not in call.headers and b"x-model-version" not in call.headers:
            return self._repository.default()
        name = call.name or call.query.get("model") or call.header(b"x-model")
        version = call.version or call.query.get("version") or call.header(b"x-model-version")
        return self._repository.find(name, version)

    async def read(self, call: Call) -> tuple[bytes, Caller]:
        """The body, and the caller to wait with. Raises 4xx problems, ClientGone when the client left in mid-body."""
        timeout = self._timeout
        if b"x-request-timeout" in call.headers:
            timeout = min(timeout, _seconds(call.headers[b"x-request-timeout"]))
        content_type = call.headers.get(b"content-type")
        if content_type and content_type != b"application/json":  # none named is taken as JSON: many a client sends none
            _require_json(content_type)
        if b"content-encoding" in call.headers and call.headers[b"content-encoding"].lower() != b"identity":
            raise UnsupportedMediaType("The body must not be compressed: send it without Content-Encoding")
        body = await read_body(call, self._max_body_bytes, timeout)
        return body, Caller(call.started + timeout, call.receive, call.body is None, call.started, call.path, call.client, call.key)


def _seconds(asked: bytes) -> float:
    try:
        seconds = float(asked)
    except ValueError:
        seconds = 0.0
    if not SHORTEST_TIMEOUT <= seconds < float("inf"):
        remedy = f"Send a number of seconds from {SHORTEST_TIMEOUT} on, or leave the header out"
        raise InvalidParameter("X-Request-Timeout is no usable number of seconds", [FieldError("X-Request-Timeout", remedy)])
    return seconds


def _require_json(content_type: bytes) -> None:
    media_type = content_type.partition(b";")[0].strip().lower()
    if media_type != b"application/json" and not (media_type.startswith(b"application/") and media_type.endswith(b"+json")):
        raise UnsupportedMediaType("The body must be JSON: send it with Content-Type: application/json")


class OneOrMany:
    """Reads the rows of `{"features": […]}` or `{"instances": […]}`; `many`: which of them it was."""

    __slots__ = ("_body", "many")

    def __init__(self, body: bytes, entry: Entry) -> None:
        self._body = body
        self.many = False
        if entry.state != "ready":
            require_rows(body)  # before anybody waits for the model

    def __call__(self, validator: RowValidator) -> Batch:
        if len(self._body) > FREE:
            require_shape(self._body, shape_of(validator), validator.instances)
        found = validator.rows_of_json(self._body)
        if found is not None:
            batch, self.many = found
            return batch
        body = rows_in(decode(self._body))
        if "features" in body:
            return validator.features(body["features"])
        self.many = True
        return validator.instances(body["instances"])


class OneOrManyByColumn:
    """Reads one row `{"sepal_length": 5.1, …}`, or a list of them under `instances`."""

    __slots__ = ("_body", "many")

    def __init__(self, body: bytes, entry: Entry) -> None:
        self._body = body
        self.many = False
        if entry.state != "ready":
            require_json_object(body)

    def __call__(self, validator: RowValidator) -> Batch:
        if len(self._body) > FREE:
            require_shape(self._body, shape_of(validator), validator.instances)
        body = object_in(decode(self._body))
        self.many = "instances" in body
        return validator.instances(body["instances"]) if list(body) == ["instances"] else validator.row(body)

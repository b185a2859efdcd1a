"""Exceptions that own their HTTP status and code. Everything a client may see as an error is a Problem."""

from collections.abc import Mapping, Sequence
from typing import ClassVar, NamedTuple


class FieldError(NamedTuple):
    """What is wrong with one field: `field` is a path such as `instances[3].petal_length`."""

    field: str
    detail: str


class Problem(Exception):
    """An error with an HTTP status (RFC 9457). `reason` is its code: the metric label and the tail of `type`."""

    status: ClassVar[int] = 500
    title: ClassVar[str] = "Internal server error"
    reason: ClassVar[str] = "internal"
    headers: ClassVar[Mapping[str, str]] = {}

    def __init__(self, detail: str, errors: Sequence[FieldError] = ()) -> None:
        super().__init__(detail)
        self.detail = detail
        self.errors = tuple(errors)


class InvalidInput(Problem):
    """The client's features or body cannot be used: 4xx, counted as a validation failure."""


class FeatureCount(InvalidInput):
    status = 400
    title = "Wrong number of features"
    reason = "feature_count"


class NotFinite(InvalidInput):
    status = 400
    title = "Features are not finite"
    reason = "not_finite"


class RefusedByModel(InvalidInput):
    """Finite, well-typed values that the estimator cannot compute with, such as 1e300 in a forest."""

    status = 400
    title = "Features the model cannot use"
    reason = "refused_by_model"


class InvalidBody(InvalidInput):
    status = 422
    title = "Invalid request body"
    reason = "invalid_body"


class InvalidParameter(InvalidInput):
    status = 422
    title = "Invalid request parameter"
    reason = "invalid_parameter"


class BodyTooLarge(InvalidInput):
    status = 413
    title = "Request body too large"
    reason = "body_too_large"


class TooManyRows(InvalidInput):
    status = 413
    title = "Too many rows"
    reason = "too_many_rows"


class BodyTimeout(InvalidInput):
    status = 408
    title = "Request body did not arrive"
    reason = "body_timeout"


class UnsupportedMediaType(InvalidInput):
    status = 415
    title = "Unsupported media type"
    reason = "media_type"


class MalformedRequest(Problem):
    """What came is no HTTP; the connection ends with the answer, as with the next three."""

    status = 400
    title = "Malformed request"
    reason = "malformed_request"


class RequestTimeout(Problem):
    """A request that never ends to arrive; the connection ends with the answer."""

    status = 408
    title = "Request did not arrive"
    reason = "request_timeout"


class UnsupportedCoding(Problem):
    status = 501
    title = "Transfer coding not supported"
    reason = "transfer_coding"


class HeadTooLarge(Problem):
    status = 431
    title = "Request headers too large"
    reason = "head_too_large"


class Unauthorized(Problem):
    status = 401
    title = "API key required"
    reason = "unauthorized"
    headers: ClassVar[Mapping[str, str]] = {"WWW-Authenticate": 'Bearer realm="slipway"'}


class UnknownModel(Problem):
    status = 404
    title = "Model not found"
    reason = "unknown_model"


class UnknownVersion(UnknownModel):
    """The model is served, but not in the version that was asked for: perhaps by another pod, during a rollout."""

    title = "Model version not found"
    reason = "unknown_version"


class Rejected(Problem):
    """Not now: 503 with Retry-After, counted by reason."""

    status = 503
    title = "Service unavailable"
    reason = "unavailable"
    headers: ClassVar[Mapping[str, str]] = {"Retry-After": "1"}


class Overloaded(Rejected):
    reason = "full"


class ModelFailed(Rejected):
    reason = "model_failed"
    headers: ClassVar[Mapping[str, str]] = {"Retry-After": "30"}


class ModelLoading(Rejected):
    reason = "model_loading"


class LogFull(Rejected):
    """The prediction log takes no more, and answers are not to be given without it."""

    reason = "log_full"


class LogAway(Rejected):
    """The answer was to be committed to the prediction log first, and could not be."""

    reason = "log_away"


class DeadlineExceeded(Problem):
    status = 504
    title = "Deadline exceeded"
    reason = "deadline"


class ClientGone(Problem):
    """Nobody is left to answer. The status is nginx's, for the log and the metrics; no client sees it."""

    status = 499
    title = "Client closed the connection"
    reason = "client_gone"


class InferenceFailed(Problem):
    title = "Model inference failed"
    reason = "inference_failed"


class WrongAnswer(InferenceFailed):
    """The model has answered what cannot be told: found when its answer is put into words. Its __cause__ is not in
    the log yet.
    """

    def __init__(self) -> None:
        super().__init__("Model inference failed; the server's log has the cause under this request's id")


class ArtifactError(Exception):
    """A model directory that cannot be used; the message says what to do about it."""


class BrokenArtifact(ArtifactError):
    """No later try mends it: digest, manifest, version or a missing library. A server does not start with it."""


class DoesNotFit(BrokenArtifact):
    """There is not enough memory for it by its size alone, and the attempt would end the process."""


class Stopped(SystemExit):
    """A signal has asked this process to end: raised by its handler, and never a model's doing, wherever it comes
    out.
    """

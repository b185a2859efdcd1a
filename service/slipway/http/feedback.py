"""POST /feedback: the true outcome of a row, joined to it by the key that its answer named."""

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from math import isfinite
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    FailFast,
    Field,
    PlainValidator,
    TypeAdapter,
    ValidationError,
)
from pydantic_core import to_json

from ..engine.call import Call
from ..errors import FieldError, InvalidBody, TooManyRows
from ..model.rows import MOST_CHARACTERS, MOST_ERRORS
from ..prediction_log.log import PredictionLog
from ..settings import Settings
from ..telemetry.request_id import MOST_ROWS, TEXT, new_key, time_of
from .body import Exchange
from .decoding import Shape, decode, require_shape
from .operation import JSON, Operation, Reply

FEWEST_BYTES = 60  # of an outcome and its key
MOST_MEMBERS = 12  # in as many bytes, where the outcome is an object by output

WANTED = {
    "prediction_id": "Expected the X-Prediction-ID of an answer, such as 019a1b2c-3d4e-7f00-b123-456789a00000",
    "position": f"Expected the place of the row in its request, a whole number from 0 to {MOST_ROWS - 1}",
    "outcome": "Expected a number, a string, true or false, or a list of them, or an object of them by output",
}

_KINDS = frozenset({bool, int, float, str})
Scalar = bool | int | Annotated[float, Field(allow_inf_nan=False)] | str


def _whole(value: Any) -> Any:
    """JSON has one kind of number: 3.0 is a whole one."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _scalars(value: Any) -> Any:
    """A scalar, or a list or an object of them. Told by type: pydantic tries the kinds in turn, a microsecond for
    each value.
    """
    values = value.values() if isinstance(value, dict) else value if isinstance(value, list) else [value]
    kinds = set(map(type, values))
    if (
        not kinds <= _KINDS
        or value == {}
        or (float in kinds and not all(isfinite(v) for v in values if type(v) is float))
    ):
        raise ValueError(WANTED["outcome"])
    return value


class Outcome(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    prediction_id: Annotated[str, Field(pattern=f"^{TEXT}$", description="X-Prediction-ID of the answer.")]
    position: Annotated[
        int, Field(ge=0, lt=MOST_ROWS, description="Place of the row in its request, from 0."), BeforeValidator(_whole)
    ] = 0
    outcome: Annotated[
        Any,
        PlainValidator(_scalars, Scalar | list[Scalar] | Annotated[dict[str, Scalar], Field(min_length=1)]),
        Field(
            description="What turned out to be true; an array where there are several outputs, an object where they "
            "are named."
        ),
    ]


class Accepted(BaseModel):
    accepted: Annotated[int, Field(description="Outcomes that will be stored.")]


_OUTCOMES = TypeAdapter(Annotated[list[Outcome], FailFast()])


def feedback_operations(prediction_log: PredictionLog, exchange: Exchange, settings: Settings) -> list[Operation]:
    def text(outcome: Outcome, row: str) -> tuple[str, int, str]:
        written = to_json(outcome.outcome).decode()
        if len(written) > settings.log_record_bytes:
            remedy = f"Expected at most {settings.log_record_bytes} bytes, as SLIPWAY_LOG_RECORD_BYTES has it"
            raise _invalid([FieldError(_path(row, "outcome"), remedy)])
        return outcome.prediction_id.lower(), outcome.position, written

    def look(rows: list[Any]) -> None:
        _read({"instances": rows}, settings.max_rows)

    shape = Shape(settings.max_rows, FEWEST_BYTES, 2, MOST_MEMBERS, None)

    async def feedback(call: Call) -> Reply:
        """Stored in the background, of several for one row the latest counts. The row itself may be stored later."""
        read = await exchange.read(call)
        require_shape(read, shape, look)
        body = decode(read) if read else None
        if not isinstance(body, dict):
            raise InvalidBody('The body must be an object such as {"prediction_id": "…", "outcome": 2}')
        many = "instances" in body
        outcomes = [text(outcome, _row(many, i)) for i, outcome in enumerate(_read(body, settings.max_rows))]
        since, until = await prediction_log.kept(call)
        if strange := [i for i, (key, _, _) in enumerate(outcomes) if not since <= time_of(key) <= until]:
            known = f": since {_moment(since)}" if since > 0 else ""
            detail = f"Expected the id of an answer that the log keeps{known}, and not of the future"
            raise _invalid([FieldError(_path(_row(many, i), "prediction_id"), detail) for i in strange[:MOST_ERRORS]])
        prediction_log.feedback(outcomes, call.client)
        content = to_json({"accepted": len(outcomes)})
        return Reply(202, [JSON, (b"content-length", b"%d" % len(content))], content)

    return [
        Operation(
            "/feedback",
            feedback,
            Accepted,
            "The true outcome of a logged row",
            "log",
            status=202,
            body=feedback_schema(settings.max_rows),
            examples=feedback_examples,
            parameters=("Timeout",),
        )
    ]


def feedback_examples() -> dict[str, Any]:
    """With an id of now: an older one may be of before the rows that are kept."""
    identity = new_key()
    return {
        "one row": {"value": {"prediction_id": identity, "outcome": 2}},
        "many rows": {"value": {"instances": [{"prediction_id": identity, "position": 1, "outcome": 0}]}},
    }


def feedback_schema(max_rows: int) -> dict[str, Any]:
    """JSON Schema of the body: one outcome, or many under `instances`."""
    outcome = Outcome.model_json_schema()
    many = {"type": "array", "minItems": 1, "maxItems": max_rows, "items": outcome}
    listed = {"title": "Many rows", "type": "object", "required": ["instances"], "additionalProperties": False}
    return {"anyOf": [outcome, listed | {"properties": {"instances": many}}]}


def _read(body: dict[str, Any], most: int) -> list[Outcome]:
    """Raises InvalidBody, TooManyRows."""
    many = "instances" in body
    if many and len(body) > 1:
        others = islice((name[:MOST_CHARACTERS] for name in body if name != "instances"), MOST_ERRORS)
        raise _invalid([FieldError(name, "Expected within each of the instances, not beside them") for name in others])
    rows = body["instances"] if many else [body]
    if not isinstance(rows, list) or not rows:
        raise _invalid([FieldError("instances", "Expected a list of at least one outcome")])
    if len(rows) > most:
        raise TooManyRows(f"Expected at most {most} outcomes, got {len(rows)}: send them in several requests")
    first = 0
    if all(len(row) <= len(WANTED) for row in rows if isinstance(row, dict)):  # else there is an error for each member
        try:
            return _OUTCOMES.validate_python(rows)
        except ValidationError as exc:
            first = int(_places(exc)[0][0])
    errors = (error for i, row in enumerate(islice(rows, first, None), first) for error in _errors(row, _row(many, i)))
    raise _invalid(list(islice(errors, MOST_ERRORS)))


def _errors(value: Any, row: str) -> Iterator[FieldError]:
    """What is wrong with one outcome."""
    if not isinstance(value, dict):
        yield _error(row, "")
        return
    yield from (_error(row, name) for name in value if name not in WANTED)
    try:
        _OUTCOMES.validate_python([{name: value[name] for name in WANTED if name in value}])
    except ValidationError as exc:
        yield from (_error(row, str(field)) for field in dict.fromkeys(place[1] for place in _places(exc)))


def _places(exc: ValidationError) -> list[tuple[int | str, ...]]:
    return [error["loc"] for error in exc.errors(include_url=False, include_context=False, include_input=False)]


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _invalid(errors: list[FieldError]) -> InvalidBody:
    return InvalidBody(f"{errors[0].field}: {errors[0].detail}", errors)


def _row(many: bool, number: int) -> str:
    return f"instances[{number}]" if many else ""


def _path(row: str, field: str) -> str:
    return ".".join(filter(None, [row, field[:MOST_CHARACTERS]]))


def _error(row: str, field: str) -> FieldError:
    remedy = WANTED.get(field, f"No such field: the fields are {', '.join(WANTED)}" if field else "Expected an object")
    return FieldError(_path(row, field), remedy)

"""POST /feedback: the true outcome of a row, joined to it by the key that its answer named."""

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic_core import to_json

from ..errors import FieldError, InvalidBody, TooManyRows
from ..journal.journal import Journal
from ..journal.row_keys import MOST_ROWS, TEXT
from ..settings import Settings
from .call import JSON, Call, Operation, Reply
from .exchange import Exchange

MOST_ERRORS = 20
FEEDBACK_EXAMPLES = {
    "one row": {"value": {"prediction_id": "019a1b2c-3d4e-7f00-b123-456789a00000", "outcome": 2}},
    "many rows": {"value": {"instances": [{"prediction_id": "019a1b2c-3d4e-7f00-b123-456789a00000", "position": 1, "outcome": 0}]}},
}

WANTED = {
    "prediction_id": "Expected the X-Prediction-ID of an answer, such as 019a1b2c-3d4e-7f00-b123-456789a00000",
    "position": f"Expected the place of the row in its request, a whole number from 0 to {MOST_ROWS - 1}",
    "outcome": "Expected a number, a string, true or false, or a list of them",
}

Scalar = bool | int | Annotated[float, Field(allow_inf_nan=False)] | str


def _whole(value: Any) -> Any:
    """JSON has one kind of number: 3.0 is a whole one."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


class Outcome(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    prediction_id: Annotated[str, Field(pattern=f"^{TEXT}$", description="X-Prediction-ID of the answer.")]
    position: Annotated[int, Field(ge=0, lt=MOST_ROWS, description="Place of the row in its request, from 0."), BeforeValidator(_whole)] = 0
    outcome: Annotated[Scalar | list[Scalar], Field(description="What turned out to be true; an array where there are several outputs.")]


class Accepted(BaseModel):
    accepted: Annotated[int, Field(description="Outcomes that will be stored.")]


_OUTCOMES = TypeAdapter(list[Outcome])


def feedback_operations(journal: Journal, exchange: Exchange, settings: Settings) -> list[Operation]:
    def text(outcome: Outcome) -> tuple[str, int, str]:
        written = to_json(outcome.outcome).decode()
        if len(written) > settings.log_record_bytes:
            raise InvalidBody(f"An outcome is longer than the {settings.log_record_bytes} bytes that a record of the log may have")
        return outcome.prediction_id, outcome.position, written

    async def feedback(call: Call) -> Reply:
        """Stored in the background, of several for one row the latest counts. The row itself may be stored later."""
        body = (await exchange.read_json(call))[0]
        if not isinstance(body, dict):
            raise InvalidBody('The body must be an object such as {"prediction_id": "…", "outcome": 2}')
        outcomes = [text(outcome) for outcome in _read(body, settings.max_rows)]
        journal.feedback(outcomes, call.client)
        content = to_json({"accepted": len(outcomes)})
        return Reply(202, [JSON, (b"content-length", b"%d" % len(content))], content)

    return [Operation("/feedback", feedback, Accepted, "The true outcome of a logged row", "log", status=202)]


def feedback_schema() -> dict[str, Any]:
    """JSON Schema of the body: one outcome, or many under `instances`."""
    outcome = Outcome.model_json_schema()
    many = {"type": "array", "minItems": 1, "items": outcome}
    listed = {"title": "Many rows", "type": "object", "required": ["instances"], "additionalProperties": False}
    return {"anyOf": [outcome, listed | {"properties": {"instances": many}}]}


def _read(body: dict[str, Any], most: int) -> list[Outcome]:
    """Raises InvalidBody, TooManyRows."""
    many = list(body) == ["instances"]
    rows = body["instances"] if many else [body]
    if not isinstance(rows, list) or not rows:
        raise InvalidBody("instances: Expected a list of at least one outcome", [FieldError("instances", "Expected a list")])
    if len(rows) > most:
        raise TooManyRows(f"Expected at most {most} outcomes, got {len(rows)}: send them in several requests")
    try:
        return _OUTCOMES.validate_python(rows)
    except ValidationError as exc:
        found = exc.errors(include_url=False, include_context=False, include_input=False)
        wrong = {(int(error["loc"][0]), str(error["loc"][1]) if len(error["loc"]) > 1 else ""): None for error in found}
        errors = [_error(f"instances[{row}]" if many else "", field) for row, field in list(wrong)[:MOST_ERRORS]]
        raise InvalidBody(f"{errors[0].field}: {errors[0].detail}", errors) from None


def _error(row: str, field: str) -> FieldError:
    remedy = WANTED.get(field, f"No such field: the fields are {', '.join(WANTED)}" if field else "Expected an object")
    return FieldError(".".join(filter(None, [row, field[:100]])), remedy)

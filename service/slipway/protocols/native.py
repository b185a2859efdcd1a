"""POST /predict, features in column order, and /models/{name}/predict, by column name: one row or many, JSON in and
out.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, Any, TypedDict

from pydantic import BaseModel, Field

from ..engine.call import Call
from ..http.body import Exchange
from ..http.decoding import FREE, decode, object_in, require_json_object, require_rows, require_shape, rows_in, shape_of
from ..http.operation import SCHEMAS, Examples, Operation, Reply, Schema, Shown, reply, schemas_of
from ..model.rows import Batch, RowValidator
from ..model.signature import Signature
from ..prediction.entry import Entry
from ..prediction.predictor import Prediction, Predictor
from ..prediction.repository import Repository
from ..settings import Settings

Output = Annotated[
    Any,
    Field(
        description="The class, label or number that the model answers; an array, or an object by name, of several "
        "outputs."
    ),
]
Confidence = Annotated[
    float | list[float | None] | dict[str, float | None] | None,
    Field(description="Probability of that prediction; null where the model has no probabilities. Never invented."),
]
FEATURES: Schema = {
    "type": "array",
    "description": "The values of one row in column order; null where a value is missing and may be.",
    "items": {"anyOf": [{"type": "number"}, {"type": "string"}, {"type": "boolean"}, {"type": "null"}]},
}
Probabilities = dict[str, float | None]


class _Rows:
    """Reads the rows of a body, once its model is there; `many`: whether there may be several."""

    __slots__ = ("_body", "many")

    def __init__(self, body: bytes, entry: Entry) -> None:
        self._body = body
        self.many = False
        if entry.state != "ready":
            self._require(body)  # before anybody waits for the model

    @staticmethod
    def _require(body: bytes) -> None:
        """Raises InvalidBody for what no model takes."""
        raise NotImplementedError

    def _require_shape(self, validator: RowValidator) -> None:
        if len(self._body) > FREE:
            require_shape(self._body, shape_of(validator), validator.instances)


class OneOrMany(_Rows):
    """`{"features": […]}` or `{"instances": […]}`."""

    __slots__ = ()
    _require = staticmethod(require_rows)

    def __call__(self, validator: RowValidator) -> Batch:
        self._require_shape(validator)
        found = validator.rows_of_json(self._body)
        if found is not None:
            batch, self.many = found
            return batch
        body = rows_in(decode(self._body))
        if "features" in body:
            return validator.features(body["features"])
        self.many = True
        return validator.instances(body["instances"])


class OneOrManyByColumn(_Rows):
    """One row `{"sepal_length": 5.1, …}`, or a list of them under `instances`."""

    __slots__ = ()
    _require = staticmethod(require_json_object)

    def __call__(self, validator: RowValidator) -> Batch:
        self._require_shape(validator)
        body = object_in(decode(self._body))
        self.many = list(body) == ["instances"] and (isinstance(body["instances"], list) or not _is_column(validator))
        return validator.instances(body["instances"]) if self.many else validator.row(body)


def _is_column(validator: RowValidator) -> bool:
    """Whether a column has the name that many rows are sent under. Its values are no lists."""
    return "instances" in (validator.signature.names or ())


class PredictedRow(BaseModel):
    prediction: Output
    confidence: Confidence


class PredictedRows(BaseModel):
    predictions: Annotated[list[PredictedRow], Field(description="In the order of the rows.")]


def predicted(prediction: Prediction) -> list[dict[str, Any]]:
    answers = prediction.answers
    return [
        {"prediction": value, "confidence": sure}
        for value, sure in zip(answers.predictions, answers.confidences, strict=True)
    ]


def one_or_many(rows: list[dict[str, Any]], *, many: bool) -> Any:
    """A body with `instances` is answered with a list, even of one."""
    return {"predictions": rows} if many else rows[0]


class NamedRow(BaseModel):
    prediction: Output
    label: Annotated[
        str | list[str] | dict[str, str] | None,
        Field(description="The class by its label; null where there are no classes."),
    ]
    confidence: Confidence
    probabilities: Annotated[
        Probabilities | list[Probabilities] | dict[str, Probabilities] | None,
        Field(description="By label; null where the model has none."),
    ]


class NamedRows(BaseModel):
    predictions: Annotated[list[NamedRow], Field(description="In the order of the rows.")]


def predicted_by_name(prediction: Prediction) -> list[dict[str, Any]]:
    signature, answers = prediction.model.artifact.signature, prediction.answers
    rows = []
    for i, value in enumerate(answers.predictions):
        rows.append(
            {
                "prediction": value,
                "label": signature.label(value),
                "confidence": answers.confidences[i],
                "probabilities": signature.by_label(answers.probabilities[i]) if answers.probabilities else None,
            }
        )
    return rows


def operations(predictor: Predictor, exchange: Exchange, settings: Settings) -> list[Operation]:
    return _positional_operations(predictor, exchange, settings.max_rows) + _named_operations(predictor, exchange)


def _positional_operations(predictor: Predictor, exchange: Exchange, max_rows: int) -> list[Operation]:
    async def predict(call: Call) -> Reply:
        entry = exchange.entry(call)
        body = await exchange.read(call)
        rows = OneOrMany(body, entry)
        prediction = await predictor.predict(entry, rows, call)
        if rows.many:
            return reply({"predictions": predicted(prediction)}, prediction)
        answers = prediction.answers
        return reply({"prediction": answers.predictions[0], "confidence": answers.confidences[0]}, prediction)

    described = positional(predictor.repository, max_rows)
    return [Operation("/predict", predict, PredictedRow | PredictedRows, "Predict one row or many", **described)]


def _named_operations(predictor: Predictor, exchange: Exchange) -> list[Operation]:
    async def predict(call: Call) -> Reply:
        entry = exchange.entry(call)
        body = await exchange.read(call)
        rows = OneOrManyByColumn(body, entry)
        prediction = await predictor.predict(entry, rows, call)
        return reply(one_or_many(predicted_by_name(prediction), many=rows.many), prediction)

    paths = ("/models/{name}/predict", "/models/{name}/versions/{version}/predict")
    components = schemas_of(NamedRow, NamedRows)
    return [Operation(path, predict, parameters=("Timeout",), components=components, shown=shown) for path in paths]


class Described(TypedDict):
    """What OpenAPI says of a path to any model, whose rows are in column order."""

    body: Schema
    examples: Callable[[], Examples]
    components: dict[str, Schema]


def positional(repository: Repository, max_rows: int) -> Described:
    return {
        "body": {"$ref": f"{SCHEMAS}PredictRequest"},
        "examples": lambda: positional_examples(repository),
        "components": {"PredictRequest": predict_request(max_rows), "Features": FEATURES},
    }


def predict_request(max_rows: int) -> Schema:
    """The body of any model's rows in column order: the paths of a model say more."""
    item = {"anyOf": [{"$ref": f"{SCHEMAS}Features"}, {"type": "object"}]}
    many = {
        "type": "array",
        "minItems": 1,
        "maxItems": max_rows,
        "description": "Rows as lists in column order, or all of them as objects by column name.",
        "items": item,
    }
    return {
        "oneOf": [
            {
                "title": title,
                "type": "object",
                "required": [name],
                "additionalProperties": False,
                "properties": {name: schema},
            }
            for title, name, schema in (
                ("One row", "features", {"$ref": f"{SCHEMAS}Features"}),
                ("Many rows", "instances", many),
            )
        ]
    }


def positional_examples(repository: Repository) -> Examples:
    """The default model's own example row."""
    entry = repository.find() if repository.default_name else None
    row = entry.example if entry else None
    if row is None:
        return {}
    return {"one row": {"value": {"features": row}}, "many rows": {"value": {"instances": [row, row]}}}


def shown(entry: Entry) -> Shown | None:
    """One version's own columns, bounds and example; None until they are known."""
    validator = entry.validator
    if validator is None or validator.signature.columns is None:
        return None
    component = f"{entry.name}-{entry.version}"
    row = {"$ref": f"{SCHEMAS}{component}"}
    many: Schema = {
        "title": "Many rows",
        "type": "object",
        "required": ["instances"],
        "additionalProperties": False,
        "properties": {"instances": {"type": "array", "minItems": 1, "maxItems": validator.max_rows, "items": row}},
    }
    examples: Examples = {}
    if entry.example is not None:
        by_column = dict(zip((column.name for column in validator.signature.columns), entry.example, strict=True))
        examples = {"one row": {"value": by_column}, "many rows": {"value": {"instances": [by_column]}}}
    answer: Schema = {"anyOf": [{"$ref": f"{SCHEMAS}NamedRow"}, {"$ref": f"{SCHEMAS}NamedRows"}]}
    if validator.signature.outputs is not None:
        answer = named_outputs(validator.signature)
    return Shown(answer, {"anyOf": [row, many]}, examples, {component: validator.row_schema() | {"title": component}})


def named_outputs(signature: Signature) -> Schema:
    """What answers a row, or rows, of a model whose outputs have names."""
    outputs = signature.outputs or ()
    number: Schema = {"anyOf": [{"type": "number"}, {"type": "null"}]}
    classes: Any = signature.classes if signature.multi_output else [None] * len(outputs)
    labels: Any = signature.labels if signature.multi_output else [None] * len(outputs)

    def by_name(schemas: Iterable[Schema], names: Sequence[str] = outputs) -> Schema:
        return {"type": "object", "required": list(names), "properties": dict(zip(names, schemas, strict=True))}

    nothing: Schema = {"type": "null"}
    properties = {
        "prediction": by_name({"enum": each} if each else {} for each in classes),
        "label": by_name({"enum": each} for each in labels) if signature.multi_output else nothing,
        "confidence": by_name([number] * len(outputs)),
        "probabilities": {"anyOf": [by_name(by_name([number] * len(each), each) for each in labels), nothing]}
        if signature.multi_output
        else nothing,
    }
    row: Schema = {"type": "object", "required": list(properties), "properties": properties}
    return {
        "anyOf": [
            row,
            {
                "type": "object",
                "required": ["predictions"],
                "properties": {"predictions": {"type": "array", "items": row}},
            },
        ]
    }

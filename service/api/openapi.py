"""The OpenAPI document: what FastAPI derives from the routes, and each model's own paths, columns, bounds and example rows."""

import time
from collections.abc import Iterable, Sequence
from typing import Any

from fastapi import FastAPI

from ..artifact import version_key
from ..repository import Entry, Repository
from ..schema import Signature
from .exchange import SHORTEST_TIMEOUT
from .feedback import feedback_examples, feedback_schema
from .named import NamedRow, NamedRows
from .problems import MEDIA_TYPE, ProblemDetails
from .techniques import FLOWER

Schema = dict[str, Any]

FRESH = 60.0  # seconds; its example of feedback has an id of the time when it was made
SCHEMAS = "#/components/schemas/"
POSITIONAL = ("/predict", "/predict-safe", "/predict-threaded", "/predict-slow", "/predict-cached", "/predict-with-logging")

OPEN = ("/health", "/ready", "/metrics")  # whoever sets keys still wants probes and scrapes

ERRORS = {
    "400": "Wrong number of features, NaN or infinity, or values that the model cannot use",
    "404": "Unknown model or version",
    "408": "The body did not arrive in time",
    "413": "Body too large, or too many rows",
    "415": "The body says that it is not JSON",
    "422": "Not JSON, a field of the wrong type or outside its declared bounds, or a bad parameter",
    "500": "Model inference failed; the cause is in the server's log",
    "503": "Overloaded, draining, or the model is loading or failed; Retry-After says when to try again",
    "504": "The deadline passed before the answer was there",
}

FEATURES: Schema = {
    "type": "array",
    "description": "The values of one row in column order; null where a value is missing and may be.",
    "items": {"anyOf": [{"type": "number"}, {"type": "string"}, {"type": "boolean"}, {"type": "null"}]},
}


def describe_api(app: FastAPI, repository: Repository, *, max_rows: int, keys: bool) -> None:
    """Replaces FastAPI's schema function: lazily loaded models and those of a reload appear in it as they are."""
    derive = app.openapi
    made: list[Any] = [None, 0.0, {}]  # of which states of the models, when, and the document

    def openapi() -> Schema:
        states, now = [(entry.name, entry.version, entry.state) for entry in repository], time.monotonic()
        if states != made[0] or now - made[1] > FRESH:  # to make it takes as long as thousands of predictions
            made[:] = states, now, document_of()
        return made[2]  # type: ignore[no-any-return]

    def document_of() -> Schema:
        app.openapi_schema = None
        document = derive()
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        for name in ("HTTPValidationError", "ValidationError"):
            schemas.pop(name, None)
        add_shared_parts(document, repository, max_rows)
        for path in POSITIONAL:
            if path in document["paths"]:
                describe_operation(document["paths"][path]["post"], {"$ref": f"{SCHEMAS}PredictRequest"}, positional_examples(repository))
        if "/predict-iris" in document["paths"]:
            example = {"sepal_length": 6.3, "sepal_width": 3.3, "petal_length": 6.0, "petal_width": 2.5}
            iris = document["paths"]["/predict-iris"]["post"]
            describe_operation(iris, FLOWER.row_schema(), {"one row": {"value": example}}, parameters=("Timeout",))
        describe_operation(document["paths"]["/feedback"]["post"], feedback_schema(max_rows), feedback_examples(), parameters=("Timeout",))
        for path in ("/models", "/models/{name}"):
            operation = document["paths"][path]["get"]
            operation["responses"].pop("422", None)
            if "{" in path:
                operation["responses"]["404"] = {"$ref": "#/components/responses/404"}
        for entry in repository:
            add_model(document, entry, default=repository.default_version(entry.name) == entry.version)
        if keys:
            require_keys(document)
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI documents this way to extend the schema


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
            {"title": title, "type": "object", "required": [name], "additionalProperties": False, "properties": {name: schema}}
            for title, name, schema in (("One row", "features", {"$ref": f"{SCHEMAS}Features"}), ("Many rows", "instances", many))
        ]
    }


def add_shared_parts(document: Schema, repository: Repository, max_rows: int) -> None:
    components = document["components"]
    components["schemas"] |= {"PredictRequest": predict_request(max_rows), "Features": FEATURES}
    for model in (ProblemDetails, NamedRow, NamedRows):
        schema = model.model_json_schema(ref_template=SCHEMAS + "{model}")
        components["schemas"] |= schema.pop("$defs", {}) | {model.__name__: schema}
    problem = {MEDIA_TYPE: {"schema": {"$ref": f"{SCHEMAS}ProblemDetails"}}}
    texts = ERRORS | {"401": "No API key, or one that is not known"}
    components["responses"] = {status: {"description": text, "content": problem} for status, text in texts.items()}
    versions = sorted({entry.version for entry in repository}, key=version_key)
    components["parameters"] = {
        "Model": parameter("model", "query", "The model that answers; else X-Model, else the default.", {"enum": repository.names()}),
        "Version": parameter("version", "query", "Its version; else X-Model-Version, else the default version.", {"enum": versions}),
        "Timeout": parameter(
            "X-Request-Timeout",
            "header",
            "Seconds after which the answer is 504, if lower than the server's own deadline.",
            {"type": "number", "minimum": SHORTEST_TIMEOUT},
        ),
    }


def parameter(name: str, place: str, description: str, schema: Schema) -> Schema:
    return {"name": name, "in": place, "description": description, "schema": schema}


def describe_operation(
    operation: Schema, schema: Schema, examples: Schema, parameters: tuple[str, ...] = ("Model", "Version", "Timeout")
) -> None:
    operation["parameters"] = [{"$ref": f"#/components/parameters/{name}"} for name in parameters]
    content: Schema = {"schema": schema}
    if examples:
        content["examples"] = examples
    operation["requestBody"] = {"required": True, "content": {"application/json": content}}
    operation["responses"] |= {status: {"$ref": f"#/components/responses/{status}"} for status in ERRORS}


def require_keys(document: Schema) -> None:
    document["components"]["securitySchemes"] = {
        "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
        "bearer": {"type": "http", "scheme": "bearer"},
    }
    for path, operations in document["paths"].items():
        if path not in OPEN:
            for operation in operations.values():
                operation["security"] = [{"key": []}, {"bearer": []}]
                operation["responses"]["401"] = {"$ref": "#/components/responses/401"}


def positional_examples(repository: Repository) -> Schema:
    """The default model's own example row."""
    entry = repository.find() if repository.default_name else None
    row = entry.example if entry else None
    if row is None:
        return {}
    return {"one row": {"value": {"features": row}}, "many rows": {"value": {"instances": [row, row]}}}


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
    return {"anyOf": [row, {"type": "object", "required": ["predictions"], "properties": {"predictions": {"type": "array", "items": row}}}]}


def add_model(document: Schema, entry: Entry, *, default: bool) -> None:
    """The paths of one version, and of the model where this is its default version. Unknown until its signature is."""
    validator = entry.validator
    if validator is None or validator.signature.columns is None:
        return
    component = f"{entry.name}-{entry.version}"
    document["components"]["schemas"][component] = validator.row_schema() | {"title": component}
    row = {"$ref": f"{SCHEMAS}{component}"}
    many: Schema = {
        "title": "Many rows",
        "type": "object",
        "required": ["instances"],
        "additionalProperties": False,
        "properties": {"instances": {"type": "array", "minItems": 1, "maxItems": validator.max_rows, "items": row}},
    }
    examples: Schema = {}
    if entry.example is not None:
        by_column = dict(zip((column.name for column in validator.signature.columns), entry.example, strict=True))
        examples = {"one row": {"value": by_column}, "many rows": {"value": {"instances": [by_column]}}}
    answer: Schema = {"anyOf": [{"$ref": f"{SCHEMAS}NamedRow"}, {"$ref": f"{SCHEMAS}NamedRows"}]}
    if validator.signature.outputs is not None:
        answer = named_outputs(validator.signature)
    paths = {f"/models/{entry.name}/versions/{entry.version}/predict": ("Timeout",)}
    if default:
        paths[f"/models/{entry.name}/predict"] = ("Timeout",)
    for path, parameters in paths.items():
        operation: Schema = {
            "tags": [entry.name],
            "summary": f"Predict with {entry.name}" + ("" if default and "versions" not in path else f" {entry.version}"),
            "operationId": path.strip("/").replace("/", "_"),
            "responses": {
                "200": {
                    "description": "Successful Response",
                    "content": {"application/json": {"schema": answer}},
                }
            },
        }
        describe_operation(operation, {"anyOf": [row, many]}, examples, parameters)
        document["paths"][path] = {"post": operation}

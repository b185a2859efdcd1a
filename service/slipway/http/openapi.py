"""The OpenAPI document: what FastAPI derives from the routes, and each model's own paths, columns, bounds and
example rows.
"""

import time
from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI

from ..prediction.entry import Entry
from ..prediction.repository import Repository
from ..sources.folder import version_key
from .body import SHORTEST_TIMEOUT
from .operation import SCHEMAS, Examples, Operation, Schema, schemas_of
from .probes import PATHS
from .problems import MEDIA_TYPE, ProblemDetails

FRESH = 60.0  # seconds; its example of feedback has an id of the time when it was made
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


def describe_api(app: FastAPI, operations: Sequence[Operation], repository: Repository, *, keys: bool) -> None:
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
        add_shared_parts(document, repository)
        for operation in operations:
            schemas |= operation.components
            if operation.shown is None:
                described = document["paths"][operation.path]["post"]
                describe_operation(described, operation.body, operation.examples(), operation.parameters)
            else:
                for entry in repository:
                    add_model(
                        document, operation, entry, default=repository.default_version(entry.name) == entry.version
                    )
        for path, described in document["paths"].items():
            if "get" in described:
                described["get"]["responses"].pop("422", None)
                if "{" in path:
                    described["get"]["responses"]["404"] = {"$ref": "#/components/responses/404"}
        if keys:
            require_keys(document)
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI documents this way to extend the schema


def add_shared_parts(document: Schema, repository: Repository) -> None:
    components = document["components"]
    components["schemas"] |= schemas_of(ProblemDetails)
    problem = {MEDIA_TYPE: {"schema": {"$ref": f"{SCHEMAS}ProblemDetails"}}}
    texts = ERRORS | {"401": "No API key, or one that is not known"}
    components["responses"] = {status: {"description": text, "content": problem} for status, text in texts.items()}
    versions = sorted({entry.version for entry in repository}, key=version_key)
    components["parameters"] = {
        "Model": parameter(
            "model", "query", "The model that answers; else X-Model, else the default.", {"enum": repository.names()}
        ),
        "Version": parameter(
            "version", "query", "Its version; else X-Model-Version, else the default version.", {"enum": versions}
        ),
        "Timeout": parameter(
            "X-Request-Timeout",
            "header",
            "Seconds after which the answer is 504, if lower than the server's own deadline.",
            {"type": "number", "minimum": SHORTEST_TIMEOUT},
        ),
    }


def parameter(name: str, place: str, description: str, schema: Schema) -> Schema:
    return {"name": name, "in": place, "description": description, "schema": schema}


def describe_operation(operation: Schema, schema: Schema, examples: Examples, parameters: tuple[str, ...]) -> None:
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
        if path not in PATHS:
            for operation in operations.values():
                operation["security"] = [{"key": []}, {"bearer": []}]
                operation["responses"]["401"] = {"$ref": "#/components/responses/401"}


def add_model(document: Schema, operation: Operation, entry: Entry, *, default: bool) -> None:
    """A path of one version, or of the model where this is its default version. Unknown until its signature is."""
    versioned = "{version}" in operation.path
    shown = operation.shown(entry) if operation.shown is not None and (versioned or default) else None
    if shown is None:
        return
    document["components"]["schemas"] |= shown.components
    path = operation.path.replace("{name}", entry.name).replace("{version}", entry.version)
    described: Schema = {
        "tags": [entry.name],
        "summary": f"Predict with {entry.name}" + (f" {entry.version}" if versioned else ""),
        "operationId": path.strip("/").replace("/", "_"),
        "responses": {
            "200": {"description": "Successful Response", "content": {"application/json": {"schema": shown.answer}}}
        },
    }
    describe_operation(described, shown.body, shown.examples, operation.parameters)
    document["paths"][path] = {"post": described}

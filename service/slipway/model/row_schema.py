"""JSON Schema of a model's rows, for OpenAPI: declared bounds and values constrain, observed ones only show."""

from typing import Any

from . import dates
from .signature import Column, Signature

MOST_VALUES = 50  # that a document lists of one column
JsonSchema = dict[str, Any]


def object_schema(signature: Signature) -> JsonSchema:
    """A row as an object by column. Columns that may be missing may be left out. Not for unknown columns."""
    columns = signature.columns or ()
    return {
        "type": "object",
        "properties": {column.name: value_schema(column) for column in columns},
        "required": [column.name for column in columns if not column.nullable],
        "additionalProperties": False,
    }


def list_schema(signature: Signature) -> JsonSchema:
    """A row as a list in column order."""
    if signature.columns is None:
        return {"type": "array", "items": {"type": "number"}, "minItems": 1}
    width = len(signature.columns)
    items = [value_schema(column) for column in signature.columns]
    return {"type": "array", "prefixItems": items, "items": False, "minItems": width, "maxItems": width}


def value_schema(column: Column) -> JsonSchema:
    schema = _values(column)
    if column.nullable and column.type != "any":
        if "anyOf" in schema:
            schema["anyOf"].append({"type": "null"})
        elif "enum" in schema:
            schema["enum"].append(None)
        else:
            schema["type"] = [schema["type"], "null"]
    date = dates.wanted(column.dtype).capitalize() if column.type == "datetime" else None
    description = ". ".join(part.rstrip(".") for part in (column.description, date, _observed(column)) if part)
    return {"description": description, **schema} if description else schema


def _values(column: Column) -> JsonSchema:
    match column.type:
        case "any":
            return {"type": ["number", "string", "boolean", "null"]}
        case "string" if column.allowed is not None:
            return {"enum": list(column.allowed)}
        case "string" if values := column.categories or column.observed_categories:
            return {"anyOf": [{"enum": list(values[:MOST_VALUES])}, {"type": "string"}]}
        case "datetime":
            return {"type": "string", "format": "date-time"} if dates.has_zone(column.dtype) else {"type": "string"}
        case "number" | "integer":
            bounds = {
                "minimum": column.minimum,
                "exclusiveMinimum": column.exclusive_minimum,
                "maximum": column.maximum,
                "exclusiveMaximum": column.exclusive_maximum,
            }
            return {"type": column.type, **{name: bound for name, bound in bounds.items() if bound is not None}}
        case _:
            return {"type": column.type}


def _observed(column: Column) -> str | None:
    if column.observed_minimum is None or column.observed_maximum is None:
        return None
    return f"Observed: {column.observed_minimum:g} to {column.observed_maximum:g}"

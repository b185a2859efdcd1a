"""Writes the generated files of this folder: `make docs`. A test compares them with what this would write."""

import json
from pathlib import Path
from typing import Any

from slipway.model.manifest import Manifest
from slipway.settings import Settings

FOLDER = Path(__file__).parent
PREFIX = Settings.model_config["env_prefix"]
BOUNDS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}

CONFIGURATION = """\
<!-- Generated from service/slipway/settings.py by `make docs`: change that file instead. -->
# Configuration

`slipway serve` reads these environment variables; every one has a default. Each is a flag too, which goes before the
variable:
`SLIPWAY_MAX_ROWS` is `--max-rows`. A value that cannot be used stops the start, and a message names it.
A `SLIPWAY_` variable that is no setting is warned of, with the nearest name. Beside a Service called `slipway`,
Kubernetes sets `SLIPWAY_PORT` to its address, which stops the start: set `enableServiceLinks: false` in the pod's
spec, as the chart does, or the variable yourself.

| variable | values | default | meaning |
| --- | --- | --- | --- |
{rows}
"""


def values(schema: dict[str, Any]) -> str:
    """What a variable may hold, in words: `integer ≥ 1, ≤ 256`."""
    schema = next((choice for choice in schema.get("anyOf", []) if choice["type"] != "null"), schema)
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    kind = {"boolean": "`true`, `false`", "array": "JSON array"}.get(
        schema["type"], schema.get("format", schema["type"])
    )
    return " ".join(
        [kind, ", ".join(f"{sign} {schema[key]:g}" for key, sign in BOUNDS.items() if key in schema)]
    ).strip()


def default(value: object) -> str:
    if value is None:
        return "unset"
    return f"`{value if isinstance(value, str) else json.dumps(value)}`" if value != "" else "empty"


def configuration() -> str:
    rows = [
        f"| `{PREFIX}{name.upper()}` | {values(schema)} | {default(schema['default'])} | {schema['description']} |"
        for name, schema in Settings.model_json_schema()["properties"].items()
    ]
    return CONFIGURATION.format(rows="\n".join(rows))


def manifest_schema() -> str:
    """The JSON Schema of a model's manifest.json."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **Manifest.model_json_schema()}
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def generated() -> dict[str, str]:
    """File name to text, for every generated file."""
    return {"configuration.md": configuration(), "manifest.schema.json": manifest_schema()}


if __name__ == "__main__":
    for name, text in generated().items():
        (FOLDER / name).write_text(text, encoding="utf-8")

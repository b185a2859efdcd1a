"""values.yaml, values.schema.json, the service's settings and the files in ci/ are in step."""

import json
import re
from collections.abc import Iterator
from typing import Any

import kubernetes_validate
import pytest
import yaml

from deploy.manifests import comments
from slipway.settings import Settings
from tests.chart.helm import CHART, CI_VALUES, helm, render, template

VALUES = yaml.safe_load((CHART / "values.yaml").read_text())
SCHEMA = json.loads((CHART / "values.schema.json").read_text())
OLDEST, NEWEST = "1.29", kubernetes_validate.latest_version()
# Of operators; the cluster's tests validate them.
OTHERS = {"Certificate", "HTTPRoute", "PodMonitor", "PrometheusRule", "ScaledObject", "ServiceMonitor"}

# What the chart sets itself: the container's address and folders, and what comes from Secrets.
LOG = re.compile("log$|log_(?!level|format)")  # the prediction log's settings have a section of their own
OWN = {"host", "port", "models", "runtime_dir", "api_keys", "tls_certificate", "tls_key", "metrics_port"}
# The chart fetches models in an init container, and the image verifies no signatures.
OWN |= {"source", "fetch_cache", "fetch_cache_bytes", "fetch_headers", "trust_key"}


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    reference = schema.get("$ref")
    return SCHEMA["definitions"][reference.removeprefix("#/definitions/")] if reference else schema


def closed_objects(schema: dict[str, Any], values: Any, path: str = "") -> Iterator[tuple[str, set[str], set[str]]]:
    """Path, keys in the schema and keys in the values, of every object with properties that has a default."""
    schema = resolved(schema)
    if not isinstance(values, dict) or "properties" not in schema or not values:
        return
    yield path or "the root", set(schema["properties"]), set(values)
    for key, part in schema["properties"].items():
        yield from closed_objects(part, values.get(key), f"{path}.{key}")


def test_schema_and_values_have_the_same_keys() -> None:
    compared = list(closed_objects(SCHEMA, VALUES))
    assert len(compared) > 25
    for path, in_schema, in_values in compared:
        assert in_schema == in_values, path


def test_every_object_in_the_schema_that_has_properties_is_closed() -> None:
    open_on_purpose = {"/properties/global", "/definitions/namedObjects/items"}  # Helm's own, and Kubernetes' own

    def check(node: Any, path: str) -> None:
        if isinstance(node, dict):
            if node.get("type") == "object" and "properties" in node and path not in open_on_purpose:
                assert node.get("additionalProperties") is False, path
            for key, part in node.items():
                check(part, f"{path}/{key}")

    check(SCHEMA, "")


def properties(node: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """All that the schema lets a user set."""
    for name, schema in node.get("properties", {}).items():
        yield f"{path}/{name}", schema
        yield from properties(schema, f"{path}/{name}")
    for key in ("items", "additionalProperties"):
        if isinstance(node.get(key), dict):
            yield from properties(node[key], f"{path}/{key}")


def test_every_value_has_a_description_in_the_schema() -> None:
    nodes = [SCHEMA, *SCHEMA["definitions"].values()]
    found = [(path, schema.get("description", "")) for node in nodes for path, schema in properties(node)]
    assert len(found) > 300
    assert [path for path, text in found if not text] == []


def test_no_definition_of_the_schema_is_left_over() -> None:
    text = json.dumps(SCHEMA)
    assert [name for name in SCHEMA["definitions"] if f'"#/definitions/{name}"' not in text] == []


def test_every_value_is_commented() -> None:
    commented = {path for path, _ in comments((CHART / "values.yaml").read_text())}

    def uncommented(values: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[str]:
        for key, value in values.items():
            here = (*path, key)
            if any(here[:length] in commented for length in range(2, len(here) + 1)) or here in commented:
                if isinstance(value, dict) and any(
                    each[: len(here)] == here and len(each) > len(here) for each in commented
                ):
                    yield from uncommented(value, here)
            elif isinstance(value, dict) and value:
                yield from uncommented(value, here)
            else:
                yield ".".join(here)

    assert list(uncommented(VALUES)) == []


def test_config_holds_every_setting_of_the_service_with_its_default() -> None:
    settings = {
        name: field.default for name, field in Settings.model_fields.items() if name not in OWN and not LOG.match(name)
    }
    camel = {name: name.split("_")[0] + "".join(part.title() for part in name.split("_")[1:]) for name in settings}
    assert VALUES["config"] == {camel[name]: default for name, default in settings.items()}


@pytest.mark.parametrize("values", CI_VALUES, ids=lambda path: path.stem)
def test_every_way_to_use_the_chart_is_valid_from_the_oldest_to_the_newest_kubernetes(values: Any) -> None:
    versions = [NEWEST] if values.stem in ("image-volume-values", "platform-values") else [OLDEST, NEWEST]
    for version in versions:
        for item in render(values, kubernetes=version):
            if item["kind"] not in OTHERS:
                kubernetes_validate.validate(item, version, strict=True)


@pytest.mark.parametrize("values", CI_VALUES, ids=lambda path: path.stem)
def test_helm_lint_is_content(values: Any) -> None:
    assert "0 chart(s) failed" in helm(
        "lint", str(CHART), "--strict", "--values", str(values), "--kube-version", NEWEST
    )


def test_every_template_is_rendered_by_a_way_to_use_the_chart_and_the_optional_ones_not_by_default() -> None:
    def templates(text: str) -> set[str]:
        return set(re.findall(r"^# Source: slipway/templates/(.*)$", text, re.MULTILINE))

    everything = {str(path.relative_to(CHART / "templates")) for path in (CHART / "templates").rglob("*.yaml")}
    always = {
        "deployment.yaml",
        "networkpolicy.yaml",
        "pdb.yaml",
        "service.yaml",
        "serviceaccount.yaml",
        "tests/predict.yaml",
    }
    assert templates(template()) == always
    assert set().union(*(templates(template(values)) for values in CI_VALUES)) == everything
    assert templates(template(CHART / "ci" / "minimal-values.yaml")) == {
        "deployment.yaml",
        "service.yaml",
        "tests/predict.yaml",
    }


def test_the_values_in_ci_switch_everything_on_that_is_off_by_default() -> None:
    switched = set()
    for path in CI_VALUES:
        text = path.read_text()
        switched |= set(yaml.safe_load(text) or {})
    left = set(VALUES) - switched
    # Tuning of what is on by default anyway; tests of their own set them.
    assert left == {
        "enabled",
        "nameOverride",
        "revisionHistoryLimit",
        "minReadySeconds",
        "loadBudgetSeconds",
        "progressDeadlineSeconds",
        "readinessProbe",
        "livenessProbe",
        "memoryVolumes",
        "securityContext",
    }

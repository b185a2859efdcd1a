"""Null takes a value away before the schema sees it: refused where the chart cannot do without, and a sound render
otherwise.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from tests.chart.helm import CHART, CI_VALUES, Refused, Values, render, template
from tests.chart.test_values import NEWEST, OTHERS, SCHEMA, VALUES, resolved

# Values that came after the chart's first version: `helm upgrade --reuse-values` of a release of that one goes without
# them.
ADDED = [
    ("config", "batching"),
    ("config", "compiled"),
    ("predictionLog",),
    ("namespaceOverride",),
    ("certificate",),
    ("jobPods",),
    ("lifecycle",),
    ("volumePermissions",),
    ("listenAddress",),
    ("autoscaling", "metrics"),
    ("keda", "triggers"),
    ("service", "ipFamilyPolicy"),
    ("service", "appProtocol"),
    ("metrics", "port"),
    ("metrics", "prometheusRule", "objectives"),
    ("metrics", "prometheusRule", "runbookUrl"),
    ("metrics", "prometheusRule", "certificateDays"),
    ("metrics", "serviceMonitor", "serviceDiscoveryRole"),
]

MONITORING = {
    "metrics": {
        "serviceMonitor": {"enabled": True},
        "prometheusRule": {"enabled": True},
        "dashboard": {"enabled": True},
    }
}
HOSTS = [{"paths": [{"path": "/", "pathType": "Prefix"}]}]
FETCH = {"model": {"url": "https://example.org/m", "sha256": "a" * 64}}
WAYS: dict[str, Values] = {
    "a fixed number": {"models": VALUES["models"], "ingress": {"enabled": True, "hosts": HOSTS}, **MONITORING},
    "by CPU": {
        "models": [{"name": "churn", "source": {"fetch": FETCH}}],
        "networkPolicy": {"egress": [{"ports": [{"port": 443}]}]},
        "autoscaling": {"enabled": True},
        "resources": {"requests": {"cpu": "1"}},
        "httpRoute": {"enabled": True, "parentRefs": [{"name": "public"}]},
    },
    "by requests": {
        "keda": {"enabled": True, "serverAddress": "http://p"},
        "metrics": {"podMonitor": {"enabled": True}},
    },
}
# Needed in some cases alone: without a CPU limit, without minAvailable, with RollingUpdate.
LEAST = {
    "config": {"workers": 1},
    "podDisruptionBudget": {"maxUnavailable": 1},
    "strategy": {"rollingUpdate": VALUES["strategy"]["rollingUpdate"]},
}


def needed(schema: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], list[str]]]:
    """Each section of the values that cannot do without some of its keys, and these."""
    if keys := schema.get("required"):
        yield path, keys
    for key, part in schema.get("properties", {}).items():
        yield from needed(resolved(part), (*path, key))


def nested(path: tuple[str, ...], value: Values) -> Values:
    for key in reversed(path):
        value = {key: value}
    return value


def without_the_rest(schema: dict[str, Any]) -> Values:
    """Null for every value that is not needed."""
    nulls: Values = {}
    for key, part in schema["properties"].items():
        if key not in schema.get("required", []):
            nulls[key] = None
        elif below := resolved(part).get("properties"):
            nulls[key] = without_the_rest(resolved(part)) if below else {}
    return nulls


def merged(values: Values, over: Values) -> Values:
    both = values | over
    return both | {
        key: merged(values[key], over[key])
        for key in both
        if isinstance(values.get(key), dict) and isinstance(over.get(key), dict)
    }


NEEDED = dict(needed(SCHEMA))


@pytest.mark.parametrize(
    ("path", "keys"), NEEDED.items(), ids=lambda part: ".".join(part) if isinstance(part, tuple) else ""
)
def test_null_for_what_the_chart_needs_is_refused_by_its_name(path: tuple[str, ...], keys: list[str]) -> None:
    with pytest.raises(Refused) as refusal:
        render(nested(path, dict.fromkeys(keys)))
    message = str(refusal.value)
    assert f"at '{'/'.join(('', *path))}'" in message
    assert "missing propert" in message
    assert [key for key in keys if f"'{key}'" not in message] == []


@pytest.mark.parametrize("way", WAYS)
def test_null_for_all_the_rest_is_what_kubernetes_takes(way: str) -> None:
    values = merged(merged(without_the_rest(SCHEMA), LEAST), WAYS[way])
    for item in render(values, kubernetes=NEWEST):
        if item["kind"] not in OTHERS:
            kubernetes_validate.validate(item, NEWEST, strict=True)
    assert "<nil>" not in template(values)


@pytest.mark.parametrize(
    "path",
    [
        ("config", "requestTimeout"),
        ("config", "drainTimeout"),
        ("service", "port"),
        ("httpRoute", "weight"),
        ("networkPolicy", "enabled"),
    ],
    ids=".".join,
)
def test_what_would_silently_become_something_else_is_needed(path: tuple[str, ...]) -> None:
    assert path[-1] in NEEDED[path[:-1]]


def test_a_rolling_update_needs_its_numbers_and_recreate_does_not() -> None:
    with pytest.raises(Refused, match="missing property 'rollingUpdate'"):
        render({"strategy": {"rollingUpdate": None}})
    assert render({"strategy": {"type": "Recreate", "rollingUpdate": None}}).one("Deployment")["spec"]["strategy"] == {
        "type": "Recreate"
    }


def test_values_of_a_release_of_the_charts_first_version_can_be_reused(tmp_path: Path) -> None:
    chart = tmp_path / "slipway"
    shutil.copytree(CHART, chart)
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    for *sections, key in ADDED:
        section = values
        for name in sections:
            section = section[name]
        del section[key]
    (chart / "values.yaml").write_text(yaml.safe_dump(values))
    assert "SLIPWAY_BATCHING" not in render(chart=chart).environment  # the service's own default
    for way in CI_VALUES:
        # These begin a section that the values do not have yet.
        if "image-volume" not in way.name and not way.name.startswith("log-"):
            assert render(way, chart=chart).pod

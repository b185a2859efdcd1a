"""Scraping, alerts and the dashboard; every metric that they name exists in a live /metrics."""

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from slipway.app import create_app
from slipway.packing.example_models import train_and_pack
from slipway.settings import Settings
from slipway.telemetry.metrics import Metrics
from tests.chart.helm import CHART, Object, render

CI = CHART / "ci"
PRODUCTION = CI / "production-values.yaml"
DASHBOARDS = {name: json.loads((CHART / "files" / f"{name}.json").read_text()) for name in ("dashboard", "fleet")}
QUERIES = {
    f"{name}: {panel['title']} {target['refId']}": target["expr"]
    for name, dashboard in DASHBOARDS.items()
    for panel in dashboard["panels"]
    for target in panel["targets"]
}
MONITOR = {"enabled": True, "labels": {"release": "prometheus"}, "interval": "15s", "scrapeTimeout": "5s"}
ALERTS = ["SlipwayErrorRatio", "SlipwayLatency", "SlipwaySaturated", "SlipwayNotReady", "SlipwayWorkerRestarts"]
LOG_ALERTS = ["SlipwayLogRecordsDropped", "SlipwayLogDatabaseAway", "SlipwayLogSpoolFilling"]


def pod_annotations(values: Any = None) -> dict[str, str]:
    annotations: dict[str, str] = render(values).one("Deployment")["spec"]["template"]["metadata"]["annotations"]
    return {key: value for key, value in annotations.items() if key.startswith("prometheus.io/")}


def rules(values: Any = PRODUCTION) -> list[Object]:
    """The alerts of the service; those of drift, with their recording rules, are the other group."""
    found: list[Object] = groups(values)["iris-slipway"]
    return found


def groups(values: Any = PRODUCTION) -> dict[str, list[Object]]:
    return {group["name"]: group["rules"] for group in render(values).one("PrometheusRule")["spec"]["groups"]}


def test_a_plain_prometheus_finds_the_pods_by_their_annotations() -> None:
    assert pod_annotations() == {
        "prometheus.io/scrape": "true",
        "prometheus.io/scheme": "http",
        "prometheus.io/port": "8000",
        "prometheus.io/path": "/metrics",
    }
    assert pod_annotations({"tls": {"existingSecret": "t"}})["prometheus.io/scheme"] == "https"
    assert pod_annotations({"metrics": {"annotations": False}}) == {}


@pytest.mark.parametrize("monitor", ["serviceMonitor", "podMonitor"])
def test_no_pod_is_scraped_twice(monitor: str) -> None:
    assert pod_annotations({"metrics": {monitor: {"enabled": True}}}) == {}


def test_a_service_monitor_scrapes_the_service() -> None:
    objects = render({"metrics": {"serviceMonitor": {**MONITOR, "serviceDiscoveryRole": "EndpointSlice"}}})
    monitor = objects.one("ServiceMonitor")
    (endpoint,) = monitor["spec"]["endpoints"]
    assert endpoint == {"port": "http", "path": "/metrics", "scheme": "http", "interval": "15s", "scrapeTimeout": "5s"}
    assert monitor["spec"]["selector"]["matchLabels"].items() <= objects.one("Service")["metadata"]["labels"].items()
    assert monitor["spec"]["namespaceSelector"] == {"matchNames": ["models"]}
    assert monitor["spec"]["serviceDiscoveryRole"] == "EndpointSlice"
    assert not render().all("ServiceMonitor")
    assert (
        "serviceDiscoveryRole"
        not in render({"metrics": {"serviceMonitor": {"enabled": True}}}).one("ServiceMonitor")["spec"]
    )


def test_a_service_monitor_asks_by_the_ports_name_with_tls_too() -> None:
    objects = render(
        {
            "metrics": {"serviceMonitor": {"enabled": True, "tlsConfig": {"serverName": "iris"}}},
            "tls": {"existingSecret": "t"},
        }
    )
    (endpoint,) = objects.one("ServiceMonitor")["spec"]["endpoints"]
    assert endpoint["port"] == objects.one("Service")["spec"]["ports"][0]["name"] == "https"
    assert (endpoint["scheme"], endpoint["tlsConfig"]) == ("https", {"serverName": "iris"})


def test_a_pod_monitor_scrapes_the_pods() -> None:
    objects = render({"metrics": {"podMonitor": MONITOR}, "tls": {"existingSecret": "t"}})
    monitor = objects.one("PodMonitor")
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    assert endpoint["port"] == objects.container["ports"][0]["name"]
    assert (endpoint["scheme"], endpoint["tlsConfig"]) == ("https", {"insecureSkipVerify": True})
    assert (endpoint["interval"], endpoint["scrapeTimeout"]) == ("15s", "5s")
    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    assert not render().all("PodMonitor")


def test_every_alert_has_a_severity_and_a_way_out() -> None:
    assert [rule["alert"] for rule in rules()] == [*ALERTS, "SlipwayInferencesLost", *LOG_ALERTS]
    for rule in rules():
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert rule["labels"]["team"] == "models"
        assert rule["annotations"].keys() == {"summary", "description", "runbook_url"}
    assert not render().all("PrometheusRule")


def test_drift_is_two_alerts_on_what_this_release_records() -> None:
    recording, alerts = groups()["iris-slipway-drift"][:4], groups()["iris-slipway-drift"][4:]
    assert [rule["alert"] for rule in alerts] == ["SlipwayDrift", "SlipwayPredictionDrift"]
    for rule in alerts:
        assert (rule["labels"], rule["for"]) == (
            {"severity": "warning", "team": "models", "release": "iris", "deployment": "iris-slipway"},
            "15m",
        )
        assert 'slipway:drift_psi{namespace="models",deployment="iris-slipway",part="' in rule["expr"]
    for rule in recording:
        assert rule["labels"] == {"deployment": "iris-slipway"}
        assert set(re.findall(r"\{([^}]*)\}", rule["expr"])) <= {
            'namespace="models",deployment="iris-slipway"',
            'namespace="models",pod=~"iris-slipway-[a-z0-9]+-[a-z0-9]+"',
        }


def test_alerts_are_about_this_releases_pods_alone() -> None:
    for rule in rules():
        selectors = re.findall(r"slipway_\w+\{([^}]*)\}", rule["expr"])
        assert selectors
        for selector in selectors:
            assert selector.startswith('namespace="models",pod=~"iris-slipway-[a-z0-9]+-[a-z0-9]+"')


@pytest.mark.parametrize(
    ("pod", "ours"),
    [
        ("iris-slipway-6d8f9c7b5-x2k4q", True),
        ("iris-slipway-canary-6d8f9c7b5-x2k4q", False),
        ("my-iris-slipway-6d8f9c7b5-x2k4q", False),
        ("iris-slipway-test", False),
    ],
)
def test_the_pods_of_other_releases_do_not_match(pod: str, ours: bool) -> None:
    pattern = re.search(r'pod=~"([^"]*)"', rules()[0]["expr"])
    assert pattern is not None
    assert bool(re.fullmatch(pattern[1], pod)) is ours


def test_thresholds_are_the_values() -> None:
    rule = {
        "enabled": True,
        "errorRatio": 0.5,
        "latencySeconds": 2.5,
        "rejectedRatio": 0.25,
        "workerRestarts": 7,
        "window": "30s",
        "for": "0s",
        "alertLabels": {"severity": "page"},
        "drift": {"psi": 0.5, "window": "1d", "for": "2h", "minimumRows": 50, "interval": "5m"},
    }
    everything = rules({"metrics": {"prometheusRule": rule}, "predictionLog": {"spool": {"bytes": 3_000_000}}})
    found = [each for each in everything if each["alert"] in ALERTS]
    assert [each["expr"].split()[-1] for each in found] == ["0.5", "2.5", "0.25", "0.5", "7"]
    assert all("[30s]" in each["expr"] for each in found[:4])
    assert [each["for"] for each in found[:4]] == ["0s"] * 4
    assert {each["labels"]["severity"] for each in everything if "alert" in each} == {"page"}
    (filling,) = (each for each in everything if each.get("alert") == "SlipwayLogSpoolFilling")
    assert filling["expr"].split()[-1] == "1500000"
    group = render({"metrics": {"prometheusRule": rule}}).one("PrometheusRule")["spec"]["groups"][-1]
    drift = {each.get("record", each.get("alert")): each for each in group["rules"]}
    assert group["interval"] == "5m"
    assert drift["slipway:drift_values:increase"]["expr"].endswith("[1d]))")
    assert drift["slipway:drift_psi"]["expr"].split()[-1] == "50"
    for name in ("SlipwayDrift", "SlipwayPredictionDrift"):
        assert (drift[name]["expr"].split()[-1], drift[name]["for"], drift[name]["labels"]["severity"]) == (
            "0.5",
            "2h",
            "page",
        )


def test_the_dashboard_is_found_by_grafanas_sidecar() -> None:
    config_map = render(PRODUCTION).one("ConfigMap", "iris-slipway-dashboard")
    assert config_map["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert config_map["metadata"]["annotations"]["grafana_folder"] == "Models"
    files = {"iris-slipway.json": DASHBOARDS["dashboard"], "iris-slipway-fleet.json": DASHBOARDS["fleet"]}
    assert {name: json.loads(text) for name, text in config_map["data"].items()} == files
    of_a_release = render({"metrics": {"dashboard": {"enabled": True}}}).one("ConfigMap", "iris-slipway-dashboard")
    assert of_a_release["data"].keys() == {"iris-slipway.json"}
    assert not render().all("ConfigMap")


@pytest.mark.parametrize("dashboard", DASHBOARDS.values(), ids=DASHBOARDS)
def test_panels_do_not_overlap_and_ask_the_chosen_source(dashboard: Object) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken
        taken |= cells
        assert all(target["datasource"]["uid"] == "${datasource}" for target in panel["targets"])
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
    variables = {variable["name"] for variable in dashboard["templating"]["list"]} | {"__rate_interval"}
    used = {name for panel in dashboard["panels"] for name in re.findall(r"\$\{?([a-z_]+)", json.dumps(panel))}
    assert used == variables


def test_every_metric_that_is_named_exists_in_a_live_exposition(tmp_path: Path) -> None:
    """With its labels. The server is asked for a prediction, a mistake and a cached answer first."""
    train_and_pack("iris", tmp_path)
    series = asyncio.run(exposition(tmp_path))
    named = [rule["expr"] for group in groups().values() for rule in group] + list(QUERIES.values())
    named.append(render(CI / "keda-values.yaml").one("ScaledObject")["spec"]["triggers"][0]["metadata"]["query"])
    for query in named:
        for metric, selector in re.findall(r"(slipway_\w+)\{([^}]*)\}", query):
            labels = set(re.findall(r"(\w+)[=!]~?\"", selector))
            labels |= {label for by in re.findall(r"by \(([^)]*)\)", query) for label in by.split(", ")}
            assert metric in series, query
            assert labels - {"namespace", "pod", "release"} <= series[metric], query


async def exposition(models: Path) -> dict[str, set[str]]:
    """Metric to the labels that it has."""
    metrics = Metrics(None, None)
    metrics.rejected("full")  # series that appear with the first event; the cluster's tests bring the events about
    metrics.inference("iris", "1").failed()
    metrics.log.failed("refused")
    metrics.certificate_expires(0)
    envelope = create_app(Settings(models=models), metrics=metrics)
    client = httpx.AsyncClient(transport=httpx.ASGITransport(envelope), base_url="http://slipway")
    async with envelope.fastapi.router.lifespan_context(envelope.fastapi), client:
        await client.post("/predict", json={"features": [5.1, 3.5, 1.4, 0.2]})
        await client.post("/predict", json={"features": [5.1]})
        await client.post("/predict-cached", json={"features": [5.1, 3.5, 1.4, 0.2]})
        text = (await client.get("/metrics")).text
    found: dict[str, set[str]] = {}
    for line in text.splitlines():
        if match := re.match(r"(\w+)(?:\{(.*)\})? ", line):
            found.setdefault(match[1], set()).update(re.findall(r"(\w+)=\"", match[2] or ""))
    return found

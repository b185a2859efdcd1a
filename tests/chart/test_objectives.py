"""Alerts that name a model, by Prometheus' own test of them: two releases in two namespaces, one of them ill."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart.helm import CHART, Refused, render
from tests.chart.test_alerts import promtool

PLATFORM = CHART / "ci" / "platform-values.yaml"
OBJECTIVES = {"iris": {"objective": 0.999, "latencySeconds": 0.25}}
ILL = {"namespace": "models", "pod": "iris-slipway-6d8f9c7b5-x2k4q"}
WELL = {"namespace": "others", "pod": "churn-slipway-6d8f9c7b5-x2k4q"}


def series(name: str, values: str, **labels: str) -> dict[str, str]:
    return {
        "series": name + "{" + ",".join(f'{key}="{value}"' for key, value in labels.items()) + "}",
        "values": values,
    }


def verify(folder: Path, inputs: list[dict[str, str]], firing: list[str]) -> None:
    """Of both releases' rules, the alerts that fire after six hours: their names with labels, in PromQL's spelling."""
    values: dict[str, Any] = {
        "certificate": {"enabled": True, "issuerRef": {"name": "company"}},
        "metrics": {"prometheusRule": {"enabled": True, "objectives": OBJECTIVES}},
    }
    first = render(values).one("PrometheusRule")["spec"]["groups"]
    second = render({**values, "namespaceOverride": "others"}, release="churn").one("PrometheusRule")["spec"]["groups"]
    (folder / "rules.yaml").write_text(yaml.safe_dump({"groups": first + second}))
    query = {"expr": 'sum by (alertname, namespace, release, model, severity) (ALERTS{alertstate="firing"})'}
    samples = [{"labels": labels, "value": 1} for labels in firing]
    test = {
        "interval": "1m",
        "input_series": inputs,
        "promql_expr_test": [query | {"eval_time": "6h", "exp_samples": samples}],
    }
    (folder / "test.yaml").write_text(
        yaml.safe_dump({"rule_files": ["rules.yaml"], "evaluation_interval": "1m", "tests": [test]})
    )
    promtool("test", "rules", str(folder / "test.yaml"))


def test_an_optional_model_that_failed_is_an_alert_of_its_release_alone(tmp_path: Path) -> None:
    state = {"model": "iris", "version": "1", "state": "failed"}
    inputs = [
        series("slipway_model_state", "2x400", **ILL, **state),
        series("slipway_model_state", "0x400", **WELL, **state),
    ]
    labels = '{alertname="SlipwayModelFailed",namespace="models",release="iris",model="iris",severity="warning"}'
    verify(tmp_path, inputs, [labels])


def test_a_model_whose_inferences_fail_is_an_alert_beside_a_busy_one(tmp_path: Path) -> None:
    inputs = []
    for pod, model, calls, errors in ((ILL, "iris", 10, 5), (ILL, "busy", 10000, 1), (WELL, "iris", 10, 0)):
        named = {**pod, "model": model, "version": "1"}
        inputs.append(series("slipway_inference_duration_seconds_count", f"0+{calls}x400", **named))
        inputs.append(series("slipway_inference_errors_total", f"0+{errors}x400", **named))
    labels = '{alertname="SlipwayInferenceErrors",namespace="models",release="iris",model="iris",severity="warning"}'
    verify(tmp_path, inputs, [labels])


def test_a_certificate_is_an_alert_two_weeks_before_its_end(tmp_path: Path) -> None:
    day = 86400
    inputs = [
        series("slipway_tls_certificate_expiry_timestamp_seconds", f"{13 * day}x400", **ILL),
        series("slipway_tls_certificate_expiry_timestamp_seconds", f"{15 * day}x400", **WELL),
    ]
    labels = '{alertname="SlipwayCertificateExpires",namespace="models",release="iris",severity="warning"}'
    verify(tmp_path, inputs, [labels])


@pytest.mark.parametrize("failed", [0, 1, 100])
def test_objectives_are_alerts_when_the_budget_burns(failed: int, tmp_path: Path) -> None:
    """Of 2000 requests a minute two may fail: one burns half of the budget."""
    inputs = []
    for pod, bad in ((ILL, failed), (WELL, 0)):
        named = {**pod, "model": "iris", "version": "1"}
        inputs.append(series("slipway_model_requests_total", f"0+{2000 - bad}x400", **named, status="2xx"))
        inputs.append(series("slipway_model_requests_total", f"0+{bad}x400", **named, status="5xx"))
    both = [
        f'{{alertname="SlipwayErrorBudgetBurn",namespace="models",release="iris",model="iris",severity="{severity}"}}'
        for severity in ("critical", "warning")
    ]
    verify(tmp_path, inputs, both if failed == 100 else [])


def test_a_latency_between_two_bounds_of_the_histogram_is_refused() -> None:
    objectives = {"iris": {"objective": 0.999, "latencySeconds": 0.3}}
    with pytest.raises(Refused, match="latencySeconds"):
        render({"metrics": {"prometheusRule": {"enabled": True, "objectives": objectives}}})


def test_a_platforms_values_reach_the_objects_that_they_are_for() -> None:
    objects = render(PLATFORM)
    service = objects.one("Service")["spec"]
    assert (service["ipFamilyPolicy"], service["ipFamilies"]) == ("PreferDualStack", ["IPv6", "IPv4"])
    assert (service["trafficDistribution"], service["sessionAffinity"]) == ("PreferClose", "ClientIP")
    assert [port["name"] for port in service["ports"]] == ["https", "metrics"]
    assert objects.environment["SLIPWAY_HOST"] == "::"
    assert objects.environment["SLIPWAY_METRICS_PORT"] == "9090"
    monitor = objects.one("PodMonitor")
    assert (monitor["metadata"]["namespace"], monitor["spec"]["sampleLimit"]) == ("monitoring", 5000)
    assert monitor["spec"]["podMetricsEndpoints"][0]["port"] == "metrics"
    certificate = objects.one("Certificate")["spec"]
    assert certificate["secretName"] == objects.volumes["tls"]["secret"]["secretName"] == "iris-slipway-tls"
    assert "iris-slipway.models.svc" in certificate["dnsNames"]
    assert objects.container["lifecycle"]["preStop"] == {"exec": {"command": ["slipway", "drain"]}}
    assert objects.container["startupProbe"]["failureThreshold"] == 120
    test = objects.one("Pod")
    assert test["metadata"]["labels"]["sidecar.istio.io/inject"] == "false"
    assert test["metadata"]["annotations"]["linkerd.io/inject"] == "disabled"
    assert test["spec"]["priorityClassName"] == "low"
    assert [metric["type"] for metric in objects.one("HorizontalPodAutoscaler")["spec"]["metrics"]] == [
        "ContainerResource",
        "Pods",
    ]


def test_a_reload_that_was_refused_is_an_alert_and_one_that_was_taken_is_none(tmp_path: Path) -> None:
    inputs = [
        series("slipway_reloads_total", "0x350 1x50", **ILL, outcome="refused"),
        series("slipway_reloads_total", "0x350 1x50", **WELL, outcome="loaded"),
    ]
    verify(
        tmp_path, inputs, ['{alertname="SlipwayReloadRefused",namespace="models",release="iris",severity="warning"}']
    )

"""Prometheus' own tests of the alerts, and its parser on every query of the dashboard. Needs promtool."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.chart.helm import CHART, Object, render
from tests.chart.test_observability import QUERIES

CASES = Path(__file__).with_name("alerts.yaml")
RUNBOOKS = Path(__file__).parents[2] / "docs" / "runbooks"
RULES_ON = {"metrics": {"prometheusRule": {"enabled": True}}}
EVERYTHING = {
    "certificate": {"enabled": True, "issuerRef": {"name": "company"}},
    "metrics": {
        "prometheusRule": {"enabled": True, "objectives": {"churn": {"objective": 0.99, "latencySeconds": 0.25}}}
    },
}
ALL_RULES: list[Object] = list(
    {
        rule["alert"]: rule
        for group in render(EVERYTHING).one("PrometheusRule")["spec"]["groups"]
        for rule in group["rules"]
        if "alert" in rule
    }.values()
)

# A tenth fails, all is slow, a tenth is turned away, workers die, and a model hangs.
FAULTS = {
    'slipway_http_request_duration_seconds_count{route="/predict",status="200"}': "0+90x60",
    'slipway_http_request_duration_seconds_count{route="/predict",status="500"}': "0+10x60",
    'slipway_http_request_duration_seconds_bucket{route="/predict",status="200",le="1.0"}': "0x60",
    'slipway_http_request_duration_seconds_bucket{route="/predict",status="200",le="5.0"}': "0+90x60",
    'slipway_http_request_duration_seconds_bucket{route="/predict",status="200",le="+Inf"}': "0+90x60",
    'slipway_requests_rejected_total{reason="full"}': "0+10x60",
    "slipway_worker_restarts_total": "0x10 4x50",
    'slipway_inferences_lost_total{model="iris",version="1",reason="hung"}': "0x10 1x50",
}


def promtool(*arguments: str) -> None:
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_fires_in_the_situation_that_it_is_for_and_in_no_other(tmp_path: Path) -> None:
    rules = render(RULES_ON).one("PrometheusRule")["spec"]
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(rules))
    shutil.copy(CASES, tmp_path)
    promtool("check", "rules", "--lint=all", "--lint-fatal", str(tmp_path / "rules.yaml"))
    promtool("test", "rules", str(tmp_path / CASES.name))


def test_every_alert_has_a_case_that_fires_and_one_that_does_not() -> None:
    rules = render(CHART / "ci" / "production-values.yaml").one("PrometheusRule")["spec"]["groups"][0][
        "rules"
    ]  # those of drift: test_drift.py
    cases = [case for test in yaml.safe_load(CASES.read_text())["tests"] for case in test["alert_rule_test"]]
    for rule in rules:
        expected = [bool(case.get("exp_alerts")) for case in cases if case["alertname"] == rule["alert"]]
        assert set(expected) == {True, False}, rule["alert"]


@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES.keys())
def test_every_panels_query_parses(query: str, tmp_path: Path) -> None:
    rule = {"record": "panel:query", "expr": query.replace("$__rate_interval", "1m")}
    path = tmp_path / "rules.yaml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": [rule]}]}))
    promtool("check", "rules", str(path))


@pytest.mark.parametrize("rule", ALL_RULES, ids=lambda rule: rule["alert"])
def test_every_alert_has_a_page_that_says_what_it_means_and_what_to_look_at_and_do(rule: Object) -> None:
    assert rule["annotations"]["runbook_url"] == f"docs/runbooks/{rule['alert']}.md"
    page = (RUNBOOKS / f"{rule['alert']}.md").read_text()
    assert re.findall("^#+ (.*)", page, re.MULTILINE) == [
        rule["alert"],
        "What it means",
        "What to look at",
        "What to do",
    ]


def test_the_page_on_operations_lists_every_alert() -> None:
    page = (RUNBOOKS.parent / "operations.md").read_text()
    assert {rule["alert"] for rule in ALL_RULES} == set(re.findall(r"^\| \[(\w+)\]\(runbooks/", page, re.MULTILINE))


def test_every_runbook_is_of_an_alert() -> None:
    assert {path.stem for path in RUNBOOKS.glob("*.md")} == {rule["alert"] for rule in ALL_RULES}


def test_the_runbooks_are_where_the_values_say() -> None:
    values = {"metrics": {"prometheusRule": {"enabled": True, "runbookUrl": "https://wiki.example.org/slipway/"}}}
    rules = render(values).one("PrometheusRule")["spec"]["groups"][0]["rules"]
    assert rules[0]["annotations"]["runbook_url"] == "https://wiki.example.org/slipway/SlipwayErrorRatio.md"


def test_alerts_of_two_releases_in_two_namespaces_are_told_apart(tmp_path: Path) -> None:
    releases = {
        ("iris", "models"): "iris-slipway",
        ("iris", "others"): "iris-slipway",
        ("wine", "models"): "wine-slipway",
    }
    files, series = [], []
    for (release, namespace), deployment in releases.items():
        spec = render(RULES_ON, release=release, namespace=namespace).one("PrometheusRule")["spec"]
        path = tmp_path / f"{release}-{namespace}.yaml"
        for group in spec["groups"]:
            group["name"] = f"{namespace}-{group['name']}"  # the operator does so, by file
        path.write_text(yaml.safe_dump(spec))
        files.append(path.name)
        pod = f'namespace="{namespace}",pod="{deployment}-6d8f9c7b5-x2k4q"'
        for metric, values in FAULTS.items():
            name, _, labels = metric.partition("{")
            series.append({"series": f"{name}{{{pod}{',' if labels else ''}{labels or '}'}", "values": values})
    alerts = [
        "SlipwayErrorRatio",
        "SlipwayLatency",
        "SlipwaySaturated",
        "SlipwayWorkerRestarts",
        "SlipwayInferencesLost",
    ]
    cases = [
        {
            "eval_time": "12m",
            "expr": f'count by (namespace, release, deployment) (ALERTS{{alertname="{alert}",alertstate="firing"}})',
            "exp_samples": [
                {
                    "labels": f'{{namespace="{namespace}",release="{release}",deployment="{deployment}"}}',
                    "value": 1,
                }
                for (release, namespace), deployment in releases.items()
            ],
        }
        for alert in alerts
    ]
    test = {"interval": "30s", "input_series": series, "promql_expr_test": cases}
    text = yaml.safe_dump({"rule_files": files, "evaluation_interval": "30s", "tests": [test]})
    (tmp_path / "test.yaml").write_text(text)
    promtool("test", "rules", str(tmp_path / "test.yaml"))

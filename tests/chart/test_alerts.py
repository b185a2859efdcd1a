"""Prometheus' own tests of the alerts, and its parser on every query of the dashboard. Needs promtool."""

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.chart.helm import CHART, render
from tests.chart.test_observability import QUERIES

CASES = Path(__file__).with_name("alerts.yaml")


def promtool(*arguments: str) -> None:
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_fires_in_the_situation_that_it_is_for_and_in_no_other(tmp_path: Path) -> None:
    rules = render({"metrics": {"prometheusRule": {"enabled": True}}}).one("PrometheusRule")["spec"]
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

"""The rules of drift: Prometheus' own test of them on simulated streams, and a real Prometheus that scrapes a real
server.
"""

import json
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from sklearn.datasets import load_iris

from slipway.drift.bins import Bins, learn
from slipway.drift.psi import FEWEST_ROWS, FLOOR, MUCH, psi, shares
from slipway.model.distribution import Variable
from slipway.packing.example_models import train_and_pack
from tests.chart.helm import Object, render
from tests.chart.test_alerts import promtool
from tests.server.running import Server, free_port
from tests.support import prometheus
from tests.support.prometheus import Prometheus

PODS = ("iris-slipway-6d8f9c7b5-x2k4q", "iris-slipway-6d8f9c7b5-zzzzz")
MINUTES = 120  # the shift comes after the first 60
DETECTED = 60 + 60 + 15 + 2  # at the latest: the window, `for` and two evaluations later; docs/drift.md says so


def rules(**drift: Any) -> Object:
    spec: Object = render({"metrics": {"prometheusRule": {"enabled": True, "drift": drift}}}).one("PrometheusRule")[
        "spec"
    ]
    return {"groups": [group for group in spec["groups"] if group["name"].endswith("-drift")]}


def test_the_rule_computes_what_the_report_computes() -> None:
    text = json.dumps(rules())
    drift = yaml.safe_load(text)["groups"][0]["rules"]
    assert f"{FLOOR})" in drift[2]["expr"]
    assert drift[3]["expr"].split()[-1] == str(FEWEST_ROWS)
    assert drift[4]["expr"].split()[-1] == str(MUCH)


class Stream:
    """Values of one feature, minute by minute, in two pods: normal, moved by `shift` standard deviations after an
    hour.
    """

    def __init__(
        self, seed: int, *, training: int = 1000, per_minute: int = 20, shift: float = 0.0, missing: float = 0.0
    ) -> None:
        random = np.random.default_rng(seed)
        self.variable: Variable = learn("age", "number", random.normal(40, 10, training).tolist())
        bins = Bins(self.variable)
        self.counts = np.zeros((len(PODS), MINUTES + 60, bins.size), dtype=int)
        for pod in range(len(PODS)):
            for minute in range(MINUTES + 60):
                later = minute >= 60
                values = random.normal(40 + 10 * shift * later, 10, random.poisson(per_minute / len(PODS)))
                values[random.random(values.size) < missing * later] = np.nan
                self.counts[pod, minute] = bins.count_array(values)

    def series(self, part: str = "feature") -> list[Object]:
        found = []
        for pod, counts in zip(PODS, self.counts, strict=True):
            for place, name in enumerate(self.variable.bins):
                labels = (
                    f'{{namespace="models",pod="{pod}",model="iris",version="1",part="{part}",name="age",bin="{name}"}}'
                )
                values = " ".join(map(str, [0, *counts[:, place].cumsum().tolist()]))
                found.append({"series": f"slipway_drift_values_total{labels}", "values": values})
                expected = f"{self.variable.shares[place]}x{len(counts)}"
                found.append({"series": f"slipway_drift_expected_share{labels}", "values": expected})
        return found

    def psi(self, first: int, last: int) -> float:
        return psi(np.array(self.variable.shares), shares(self.counts[:, first:last].sum(axis=(0, 1))))


def verify(folder: Path, stream: Stream, cases: list[Object], part: str = "feature", **more: Any) -> None:
    """Promtool's verdict on what the rules make of a stream."""
    (folder / "rules.yaml").write_text(yaml.safe_dump(rules()))
    test = {"interval": "1m", "input_series": stream.series(part), "alert_rule_test": cases, **more}
    (folder / "test.yaml").write_text(
        yaml.safe_dump({"rule_files": ["rules.yaml"], "evaluation_interval": "1m", "tests": [test]})
    )
    promtool("test", "rules", str(folder / "test.yaml"))


def quiet(*minutes: int) -> list[Object]:
    return [{"eval_time": f"{minute}m", "alertname": "SlipwayDrift"} for minute in minutes]


def alerts_at(minute: int) -> Object:
    """A query for the alert's state: promtool's own comparison of alerts would want the value in the annotation."""
    labels = 'ALERTS{alertname="SlipwayDrift",alertstate="firing",deployment="iris-slipway",model="iris",name="age",'
    labels += 'namespace="models",part="feature",release="iris",severity="warning",version="1"}'
    return {
        "expr": 'ALERTS{alertname="SlipwayDrift",alertstate="firing"}',
        "eval_time": f"{minute}m",
        "exp_samples": [{"labels": labels, "value": 1}],
    }


@pytest.mark.parametrize("seed", range(8))
def test_an_unshifted_stream_raises_nothing(seed: int, tmp_path: Path) -> None:
    """As few rows as count, against as few as packing learns from: where chance is largest."""
    stream = Stream(seed, training=150, per_minute=9)
    verify(tmp_path, stream, quiet(*range(0, MINUTES + 60, 5)))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("shift", [0.75, 1.0, 2.0])
def test_a_shifted_stream_raises_the_alert_within_the_documented_time(seed: int, shift: float, tmp_path: Path) -> None:
    stream = Stream(seed, shift=shift)
    verify(tmp_path, stream, quiet(0, 30, 60), promql_expr_test=[alerts_at(DETECTED)])


@pytest.mark.parametrize("seed", range(3))
def test_a_large_shift_is_seen_in_forty_minutes(seed: int, tmp_path: Path) -> None:
    verify(tmp_path, Stream(seed, shift=2.0), quiet(0, 60), promql_expr_test=[alerts_at(60 + 40)])


def test_values_that_go_missing_raise_the_alert(tmp_path: Path) -> None:
    verify(tmp_path, Stream(0, missing=0.15), quiet(60), promql_expr_test=[alerts_at(DETECTED)])


def test_few_rows_have_no_index(tmp_path: Path) -> None:
    nothing = {"expr": "slipway:drift_psi", "eval_time": f"{DETECTED}m", "exp_samples": []}
    verify(tmp_path, Stream(0, per_minute=5, shift=2.0), quiet(DETECTED), promql_expr_test=[nothing])


@pytest.mark.parametrize("part", ["prediction", "confidence"])
def test_answers_raise_an_alert_of_their_own_and_confidences_none(part: str, tmp_path: Path) -> None:
    expected = [{"labels": 'a{part="prediction"}', "value": 1}] if part == "prediction" else []
    fires = {
        "expr": 'label_replace(sum by (part) (ALERTS{alertstate="firing"}), "__name__", "a", "", "")',
        "eval_time": f"{DETECTED}m",
    }
    verify(tmp_path, Stream(0, shift=2.0), quiet(DETECTED), part, promql_expr_test=[fires | {"exp_samples": expected}])


def test_the_recorded_index_is_the_reports_and_adds_up_over_pods(tmp_path: Path) -> None:
    stream = Stream(3, shift=0.5)
    index = stream.psi(59, 119)  # increase() sees the samples of (59, 119]: what was counted after the first of them
    near = {"expr": f"abs(slipway:drift_psi - {index}) < bool 0.005", "eval_time": "119m"}
    labels = '{deployment="iris-slipway",model="iris",name="age",namespace="models",part="feature",version="1"}'
    verify(tmp_path, stream, [], promql_expr_test=[near | {"exp_samples": [{"labels": labels, "value": 1}]}])


# --- with a real server and a real Prometheus ------------------------------------------------------------------------


def firing_features(found: Prometheus) -> set[str]:
    alerts = [alert["labels"] for alert in found.alerts() if alert["state"] == "firing"]
    return {labels["name"] for labels in alerts if labels["alertname"] == "SlipwayDrift"}


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("prometheus") is None, reason="prometheus is not installed")
def test_a_prometheus_that_scrapes_a_server_raises_the_alert_for_the_feature_that_has_shifted(tmp_path: Path) -> None:
    train_and_pack("iris", tmp_path / "models")
    data = load_iris().data
    random = np.random.default_rng(0)

    def send(server: Server, *, mirrored: bool) -> None:
        rows = data[random.integers(len(data), size=100)].round(1)
        if mirrored:
            rows[:, 2] = (7 - rows[:, 2]).round(1)  # within the declared bounds, or it would be refused
        assert server.ask("POST", "/predict", {"instances": rows.tolist()}).status == 200

    spec = rules(window="15s", minimumRows=200, interval="1s", **{"for": "3s"})
    pod = {"namespace": "models", "pod": PODS[0]}
    with (
        Server(tmp_path / "models", tmp_path) as server,
        prometheus.local(tmp_path, free_port(), {server.port: pod}, [spec]) as found,
    ):
        quiet_until = time.monotonic() + 20  # a whole window, and the time that an alert must hold
        while time.monotonic() < quiet_until:
            send(server, mirrored=False)
            assert not firing_features(found)
            time.sleep(0.1)
        # The documented time is 22 s: the window, `for` and two evaluations. A machine with much else to do evaluates
        # late.
        deadline = time.monotonic() + 3 * (15 + 3 + 4)
        while firing_features(found) != {"petal_length"}:
            assert time.monotonic() < deadline, firing_features(found)
            send(server, mirrored=True)
            time.sleep(0.1)


@pytest.mark.parametrize("kind", ["PodMonitor", "ServiceMonitor"])
def test_series_that_are_apart_are_scraped_less_often(kind: str) -> None:
    key = "podMetricsEndpoints" if kind == "PodMonitor" else "endpoints"
    monitor = {"enabled": True, "interval": "15s", "relabelings": [{"action": "labeldrop", "regex": "container"}]}
    metrics = {f"{kind[0].lower()}{kind[1:]}": monitor}

    def scraped(drift: str, **more: object) -> list[Object]:
        found: list[Object] = render({"config": {"drift": drift}, "metrics": metrics | more}).one(kind)["spec"][key]
        return found

    assert [each["path"] for each in scraped("together")] == ["/metrics"]
    main, drift = scraped("apart", driftInterval="3m")
    assert (main["path"], main["interval"]) == ("/metrics", "15s")
    assert (drift["path"], drift["interval"]) == ("/metrics/drift", "3m")
    assert main["port"] == drift["port"]
    # Otherwise both targets had one `up`.
    assert drift["relabelings"][0] == {"targetLabel": "endpoint", "replacement": "drift"}
    assert drift["relabelings"][1:] == main["relabelings"] == monitor["relabelings"]

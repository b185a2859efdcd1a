"""Two releases of one name in two namespaces, two pods each, five models of which four have a fault: a real Prometheus
shows each alert once a release and model.
"""

import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.chart.helm import Object, render
from tests.server.conftest import bare
from tests.server.estimators import Wicked, row
from tests.server.running import Server, free_port
from tests.support import estimators, prometheus
from tests.support.prometheus import Prometheus

NAMESPACES = ("shop", "lab")
RELEASE = "iris"
PODS = [f"{RELEASE}-slipway-6d8f9c7b5-{name}" for name in ("x2k4q", "b7w9z")]
OBJECTIVES = {"failing": {"objective": 0.99}, "slow": {"objective": 0.99, "latencySeconds": 0.25}}
VALUES = {
    "metrics": {
        "prometheusRule": {
            "enabled": True,
            "window": "20s",
            "for": "5s",
            "latencySeconds": 0.25,
            "objectives": OBJECTIVES,
        }
    }
}
# With the model where there is one, and with the severity: a budget that burns is told twice, to wake up and to plan.
EXPECTED = {
    ("SlipwayErrorRatio", "", "critical"),
    ("SlipwayLatency", "", "warning"),
    ("SlipwayInferenceErrors", "failing", "warning"),
    ("SlipwayErrorBudgetBurn", "failing", "critical"),
    ("SlipwayErrorBudgetBurn", "failing", "warning"),
    ("SlipwayModelFailed", "broken", "warning"),
    ("SlipwayInferencesLost", "hanging", "warning"),
    ("SlipwayLatencyBudgetBurn", "slow", "critical"),
    ("SlipwayLatencyBudgetBurn", "slow", "warning"),
}
SECONDS = 120.0  # in which all have to fire

pytestmark = pytest.mark.timeout(400)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    for name, estimator in {
        "failing": estimators.Raising(),
        "slow": estimators.Slow(),
        "hanging": Wicked(),
        "good": estimators.Stub(),
    }.items():
        bare(folder, name, estimator.fit())
    (folder / "broken" / "1").mkdir(parents=True)
    (folder / "broken" / "1" / "model.joblib").write_bytes(b"no pickle")
    in_a_thread = "".join(f'[{name}]\nexecution = "thread"\n' for name in ("slow", "hanging"))
    (folder / "models.toml").write_text(f"{in_a_thread}[broken]\noptional = true\n[good]\ndefault = true\n")
    return folder


def rules(namespace: str) -> Object:
    spec: Object = render(VALUES, release=RELEASE, namespace=namespace).one("PrometheusRule")["spec"]
    for group in spec["groups"]:
        group["name"] = f"{namespace}-{group['name']}"  # the operator does so, by file
    return spec


def until(condition: Callable[[], object], seconds: float, state: Callable[[], str] = str) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s; {state()}"
        time.sleep(0.5)


def firing(found: Prometheus) -> Counter[tuple[str, str, str, str]]:
    """How often each fires, by namespace."""
    alerts = [alert["labels"] for alert in found.alerts() if alert["state"] == "firing"]
    assert {labels["release"] for labels in alerts} <= {RELEASE}
    return Counter(
        (labels["namespace"], labels["alertname"], labels.get("model", ""), labels["severity"]) for labels in alerts
    )


def test_each_alert_is_there_once_a_release_and_model(models: Path, tmp_path: Path) -> None:
    requests = [("failing", [1.0, 0.0]), ("slow", [0.5, 0.0]), ("good", [0.0, 0.0])]
    expected = {(namespace, *alert) for namespace in NAMESPACES for alert in EXPECTED}
    with ExitStack() as stack:
        servers: dict[tuple[str, str], Server] = {}
        for namespace in NAMESPACES:
            for pod in PODS:
                folder = tmp_path / namespace / pod
                folder.mkdir(parents=True)
                servers[namespace, pod] = stack.enter_context(
                    Server(models, folder, workers=1, request_timeout=1, access_log=False)
                )
        targets = {server.port: {"namespace": namespace, "pod": pod} for (namespace, pod), server in servers.items()}
        specs = [rules(namespace) for namespace in NAMESPACES]
        found = stack.enter_context(prometheus.local(tmp_path, free_port(), targets, specs))
        # Of what happened before the first scrape no rate tells.
        until(
            lambda: len(found.query('slipway_inferences_lost_total{model="hanging",reason="hung"}')) == len(servers), 60
        )
        for server in servers.values():
            assert server.predict("hanging", row("sleep")).status == 504

        def all_fire() -> bool:
            for server in servers.values():
                for model, features in requests:
                    server.predict(model, features)
            return firing(found).keys() >= expected

        until(all_fire, SECONDS, lambda: f"firing are {firing(found)}")
        assert firing(found) == dict.fromkeys(expected, 1)

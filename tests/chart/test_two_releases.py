"""Two releases of one name in two namespaces, two pods each, five models of which four have a fault: a real Prometheus
shows each alert once a release and model.
"""

import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest
import yaml

from tests.chart.helm import render
from tests.server.conftest import bare
from tests.server.estimators import Wicked, row
from tests.server.running import Server, free_port
from tests.support import estimators
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


@contextmanager
def prometheus(folder: Path, targets: dict[tuple[str, str], int]) -> Iterator[Prometheus]:
    """Scrapes the servers each second, with the labels that a cluster would give: namespace and pod."""
    for namespace in NAMESPACES:
        rules = render(VALUES, release=RELEASE, namespace=namespace).one("PrometheusRule")["spec"]
        for group in rules["groups"]:
            group["name"] = f"{namespace}-{group['name']}"  # the operator does so, by file
        (folder / f"{namespace}.rules.yaml").write_text(yaml.safe_dump(rules))
    pods = [
        {"targets": [f"127.0.0.1:{port}"], "labels": {"namespace": namespace, "pod": pod}}
        for (namespace, pod), port in targets.items()
    ]
    config = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(folder / "*.rules.yaml")],
        "scrape_configs": [{"job_name": "pods", "static_configs": pods}],
    }
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(config))
    port = free_port()
    command = [
        "prometheus",
        f"--config.file={folder / 'prometheus.yaml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (folder / "prometheus.log").open("w") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}/api/v1", timeout=30) as client:
                until(lambda: is_ready(client), 30)
                yield Prometheus(client)
        finally:
            process.terminate()


def until(condition: Callable[[], object], seconds: float, state: Callable[[], str] = str) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s; {state()}"
        time.sleep(0.5)


def is_ready(client: httpx.Client) -> bool:
    try:
        return client.get("/status/config").status_code == 200
    except httpx.TransportError:
        return False


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
        ports = {pod: server.port for pod, server in servers.items()}
        found = stack.enter_context(prometheus(tmp_path, ports))
        # Of what happened before the first scrape no rate tells.
        until(
            lambda: len(found.query('slipway_inferences_lost_total{model="hanging",reason="hung"}')) == len(ports), 60
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

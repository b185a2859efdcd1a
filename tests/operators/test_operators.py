"""prometheus-operator and KEDA for real: what the chart makes for them is picked up, followed when it changes, and
scales a release without a failed request.
"""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster import situations
from tests.cluster.kubernetes import CHART, Namespace, Release, wait_for
from tests.cluster.traffic import assert_that_clients_moved_and_nothing_failed, assert_that_nothing_failed, under_load
from tests.operators.conftest import NAME
from tests.support.certificate import self_signed
from tests.support.prometheus import Prometheus

FEWEST, MOST = 1, 4
SLOW = {"features": [0.3, 0]}  # seconds
EXPIRY = "slipway_tls_certificate_expiry_timestamp_seconds"

pytestmark = pytest.mark.timeout(900)


def set_certificate(namespace: Namespace, folder: Path, days: int) -> None:
    certificate, key = self_signed(folder, "DNS:watched", days=days)
    made = ["create", "secret", "tls", "watched-tls", f"--cert={certificate}", f"--key={key}"]
    text = namespace.kubectl(*made, "--dry-run=client", "--output", "yaml")
    namespace.apply(yaml.safe_load(text))


def watched_values(**rule: Any) -> dict[str, Any]:
    metrics = {"serviceMonitor": {"enabled": True}, "prometheusRule": {"enabled": True, **rule}, "annotations": False}
    return {**situations.SMALL, "tls": {"existingSecret": "watched-tls"}, "metrics": metrics}


@pytest.fixture(scope="module")
def watched(shared_namespace: Namespace, tmp_path_factory: pytest.TempPathFactory) -> Release:
    """Found by a ServiceMonitor, over TLS."""
    set_certificate(shared_namespace, tmp_path_factory.mktemp("certificate"), days=30)
    release = Release(shared_namespace, "watched")
    release.install(watched_values())
    return release


def expressions(prometheus: Prometheus, group: str) -> dict[str, str]:
    """Of the alerts of a group, by name; none where the group is not there."""
    return {
        rule["name"]: rule["query"]
        for found in prometheus.groups()
        if found["name"] == group
        for rule in found["rules"]
        if rule["type"] == "alerting"
    }


def test_a_service_monitor_and_rules_are_picked_up(watched: Release, prometheus: Prometheus) -> None:
    (pod,) = watched.ready_pods()
    wait_for(lambda: prometheus.value(f'slipway_build_info{{pod="{pod}"}}'), "a scrape", timeout=120)
    alerts = wait_for(lambda: expressions(prometheus, watched.fullname), "the rules", timeout=120)
    assert {"SlipwayErrorRatio", "SlipwayNotReady"} <= alerts.keys()
    assert "SlipwayCertificateExpires" in expressions(prometheus, f"{watched.fullname}-models")


def test_a_rule_that_changes_is_followed(watched: Release, prometheus: Prometheus) -> None:
    watched.upgrade(watched_values(errorRatio=0.42))
    wait_for(
        lambda: "> 0.42" in expressions(prometheus, watched.fullname).get("SlipwayErrorRatio", ""),
        "the new threshold",
        timeout=180,
        interval=1,
    )


def test_a_certificate_that_changes_is_followed(watched: Release, prometheus: Prometheus, tmp_path: Path) -> None:
    (pod,) = watched.ready_pods()
    series = f'{EXPIRY}{{pod="{pod}"}}'
    before = wait_for(lambda: prometheus.value(series), "the certificate's expiry", timeout=120)
    set_certificate(watched.namespace, tmp_path, days=90)
    # The kubelet changes the files within a minute or two.
    wait_for(lambda: prometheus.value(series) > before + 86400, "the new certificate's", timeout=240, interval=1)
    assert watched.ready_pods() == [pod]


def test_requests_in_flight_take_a_release_from_one_pod_to_four_and_back(
    shared_namespace: Namespace, prometheus: Prometheus, tmp_path: Path
) -> None:
    situations.prepare(shared_namespace, tmp_path)
    release = Release(shared_namespace, "scaled")
    values = yaml.safe_load((CHART / "ci" / "nodeport-values.yaml").read_text())
    del values["replicaCount"]
    keda = {
        "enabled": True,
        "minReplicaCount": FEWEST,
        "maxReplicaCount": MOST,
        "pollingInterval": 1,
        "cooldownPeriod": 1,
        "serverAddress": f"http://prometheus-operated.{shared_namespace.name}.svc:9090",
        "threshold": 8,
        "behavior": {"scaleDown": {"stabilizationWindowSeconds": 45}},
    }
    metrics = {"podMonitor": {"enabled": True}, "annotations": False}
    release.install(
        values
        | situations.stub("slow", modelSettings={"slow": {"execution": "thread"}}, config={"threads": 16})
        | {"keda": keda, "metrics": metrics}
    )
    shared_namespace.kubectl("wait", "--for=condition=Ready", "scaledobject/scaled-slipway", "--timeout=120s")

    def has_pods(count: int) -> bool:
        return len(release.ready_pods()) == len(release.pods()) == count

    wait_for(lambda: has_pods(FEWEST), "one pod", timeout=180, interval=1)
    (pod,) = release.ready_pods()
    in_flight = f'slipway_http_requests_in_flight{{pod="{pod}"}}'
    wait_for(lambda: prometheus.query(in_flight), f"a scrape by {NAME}", timeout=120)

    def rise() -> None:
        wait_for(lambda: has_pods(MOST), "four pods", timeout=240, interval=1)

    assert_that_nothing_failed(under_load(release, rise, body=SLOW))
    most = set(release.ready_pods())

    def fall() -> None:
        wait_for(lambda: has_pods(FEWEST), "one pod again", timeout=300, interval=1)
        release.wait_for_end(most - set(release.ready_pods()))

    assert_that_clients_moved_and_nothing_failed(under_load(release, fall, body=SLOW, pause=2.5))

"""The Horizontal Pod Autoscaler on the real CPU metrics of metrics-server, and no request fails on the way up and
down.
"""

from typing import Any

import pytest
import yaml

from tests.cluster.kubernetes import CHART, CommandFailed, Release, kubectl, wait_for
from tests.cluster.traffic import assert_that_clients_moved_and_nothing_failed, assert_that_nothing_failed, under_load

FEWEST, MOST = 2, 3
VALUES: dict[str, Any] = yaml.safe_load((CHART / "ci" / "nodeport-values.yaml").read_text()) | {
    "autoscaling": {
        "enabled": True,
        "minReplicas": FEWEST,
        "maxReplicas": MOST,
        "targetCPUUtilizationPercentage": 60,
        "behavior": {"scaleDown": {"stabilizationWindowSeconds": 15}},
    },
    "resources": {"requests": {"cpu": "150m"}},
}


@pytest.fixture
def cpu_metrics() -> None:
    """Metrics-server takes a moment after its start until it has figures of the nodes."""

    def figures() -> str:
        try:
            return kubectl("top", "nodes")
        except CommandFailed as error:
            problems.append(str(error))
            return ""

    problems: list[str] = []
    try:
        wait_for(figures, "CPU metrics", timeout=120, interval=2)
    except TimeoutError:
        pytest.fail(
            f"An autoscaler needs the metrics API, which does not answer; install metrics-server first. {problems[-1]}"
        )


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.usefixtures("cpu_metrics")
def test_the_autoscaler_scales_out_under_load_and_back_in(release: Release) -> None:
    release.install(VALUES)

    def has_pods(count: int) -> bool:
        """In service, and as many as the autoscaler wants by the figures that it has."""
        status = release.namespace.get("hpa", release.fullname)["status"]
        return (
            "currentMetrics" in status
            and len(release.ready_pods()) == len(release.pods()) == status["desiredReplicas"] == count
        )

    wait_for(lambda: has_pods(FEWEST), "the fewest pods", timeout=180, interval=1)
    rise = under_load(release, lambda: wait_for(lambda: has_pods(MOST), "the most pods", timeout=240, interval=1))
    assert_that_nothing_failed(rise)
    most = set(release.ready_pods())

    def scale_in() -> None:
        wait_for(lambda: has_pods(FEWEST), "the fewest pods again", timeout=240, interval=1)
        release.wait_for_end(most - set(release.ready_pods()))

    assert_that_clients_moved_and_nothing_failed(under_load(release, scale_in, pause=0.5))
    events = release.namespace.get("events", "--field-selector", "reason=SuccessfulRescale")["items"]
    events.sort(key=lambda event: event["metadata"]["creationTimestamp"])
    reasons = [event["message"].partition("reason: ")[2] for event in events]
    assert reasons[-2:] == [
        "cpu container resource utilization (percentage of request) above target",
        "All metrics below target",
    ]

"""Replicas: fixed, by the Horizontal Pod Autoscaler or by KEDA, and how many may be missing."""

import pytest

from tests.chart.helm import CHART, Refused, render

CI = CHART / "ci"


def test_a_fixed_number() -> None:
    objects = render({"replicaCount": 4})
    assert objects.one("Deployment")["spec"]["replicas"] == 4
    assert not objects.all("HorizontalPodAutoscaler")
    assert not objects.all("ScaledObject")


def test_none_at_all() -> None:
    assert render({"replicaCount": 0}).one("Deployment")["spec"]["replicas"] == 0


def test_by_cpu() -> None:
    objects = render(CI / "production-values.yaml")
    spec = objects.one("HorizontalPodAutoscaler")["spec"]
    assert spec["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": "iris-slipway"}
    assert (spec["minReplicas"], spec["maxReplicas"]) == (2, 12)
    (metric,) = spec["metrics"]
    assert metric["containerResource"] == {
        "name": "cpu",
        "container": "slipway",
        "target": {"type": "Utilization", "averageUtilization": 70},
    }
    assert spec["behavior"] == {"scaleDown": {"stabilizationWindowSeconds": 300}}
    assert "replicas" not in objects.one("Deployment")["spec"]  # an upgrade would undo the autoscaler's work


def test_by_predictions_in_flight() -> None:
    objects = render(CI / "keda-values.yaml")
    spec = objects.one("ScaledObject")["spec"]
    (trigger,) = spec["triggers"]
    assert spec["scaleTargetRef"] == {"name": "iris-slipway"}
    assert (spec["minReplicaCount"], spec["maxReplicaCount"]) == (2, 20)
    assert trigger["metadata"] == {
        "serverAddress": "http://prometheus.monitoring:9090",
        "query": 'sum(slipway_http_requests_in_flight{namespace="models",pod=~"iris-slipway-[a-z0-9]+-[a-z0-9]+"})',
        "threshold": "4",
    }
    assert trigger["authenticationRef"] == {"name": "prometheus"}
    assert spec["fallback"] == {"failureThreshold": 3, "replicas": 6}
    assert spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"] == {
        "scaleDown": {"stabilizationWindowSeconds": 120}
    }
    assert "replicas" not in objects.one("Deployment")["spec"]
    assert not objects.all("HorizontalPodAutoscaler")


def test_none_until_a_query_of_the_users_own_wakes_the_first() -> None:
    keda = {"enabled": True, "serverAddress": "http://p:9090", "query": "vector(1)", "minReplicaCount": 0}
    assert render({"keda": keda}).one("ScaledObject")["spec"]["minReplicaCount"] == 0


def test_by_a_query_of_the_users_own() -> None:
    keda = {"enabled": True, "serverAddress": "http://p:9090", "query": "vector(1)"}
    assert render({"keda": keda}).one("ScaledObject")["spec"]["triggers"][0]["metadata"]["query"] == "vector(1)"


@pytest.mark.parametrize(
    ("values", "refusal"),
    [
        (
            {"autoscaling": {"enabled": True}, "keda": {"enabled": True, "serverAddress": "http://p"}},
            "each would undo the other's scaling",
        ),
        (
            {"autoscaling": {"enabled": True, "minReplicas": 11}},
            r"autoscaling.minReplicas \(11\) is above "
            r"autoscaling.maxReplicas \(10\)",
        ),
        (
            {
                "autoscaling": {"enabled": True},
                "config": {"workers": 1},
                "resources": {"requests": {"cpu": None}, "limits": {"cpu": None}},
            },
            r"resources\.requests\.cpu, and neither that nor a limit is set",
        ),
        ({"keda": {"enabled": True}}, "keda needs keda.serverAddress"),
        (
            {"keda": {"enabled": True, "serverAddress": "http://p", "minReplicaCount": 11}},
            "keda.minReplicaCount .11. is above",
        ),
        (
            {"keda": {"enabled": True, "serverAddress": "http://p", "minReplicaCount": 0}},
            "no pod would ever wake the first",
        ),
    ],
)
def test_an_autoscaler_that_cannot_work_is_refused(values: dict[str, object], refusal: str) -> None:
    with pytest.raises(Refused, match=refusal):
        render(values)


def test_one_pod_may_be_missing_by_default() -> None:
    spec = render().one("PodDisruptionBudget")["spec"]
    assert (spec["maxUnavailable"], spec["unhealthyPodEvictionPolicy"]) == (1, "AlwaysAllow")
    assert "minAvailable" not in spec
    assert not render({"podDisruptionBudget": {"enabled": False}}).all("PodDisruptionBudget")


@pytest.mark.parametrize(
    ("pods", "stay"),
    [
        ({"replicaCount": 3}, 2),
        ({"replicaCount": 2}, "50%"),
        ({"autoscaling": {"enabled": True, "minReplicas": 4}}, "74%"),
    ],
)
def test_pods_that_must_stay_may_be_fewer_than_there_are(pods: dict[str, object], stay: object) -> None:
    spec = render(pods | {"podDisruptionBudget": {"minAvailable": stay}}).one("PodDisruptionBudget")["spec"]
    assert spec["minAvailable"] == stay
    assert "maxUnavailable" not in spec


def test_a_budget_of_neither_kind_is_refused() -> None:
    with pytest.raises(Refused, match="neither maxUnavailable nor minAvailable"):
        render({"podDisruptionBudget": {"maxUnavailable": None}})
    assert render({"podDisruptionBudget": {"enabled": False, "maxUnavailable": None}}).pod


@pytest.mark.parametrize(
    ("pods", "stay"),
    [
        ({"replicaCount": 1}, 1),
        ({"replicaCount": 2}, 3),
        ({"replicaCount": 2}, "51%"),  # Kubernetes rounds up
        ({"autoscaling": {"enabled": True, "minReplicas": 4}}, "76%"),
    ],
)
def test_a_budget_that_would_deadlock_a_node_drain_is_refused(pods: dict[str, object], stay: object) -> None:
    with pytest.raises(Refused, match="a node could never be drained"):
        render(pods | {"podDisruptionBudget": {"minAvailable": stay}})

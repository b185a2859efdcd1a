"""The fixtures of tests/cluster, and a Prometheus that its operator has started."""

import os
from collections.abc import Iterator

import httpx
import pytest

from tests.cluster.conftest import cluster, packed, shared_namespace  # noqa: F401  (fixtures)
from tests.cluster.kubernetes import CommandFailed, Namespace, Object, kubectl, wait_for
from tests.support.prometheus import Prometheus

IMAGE = os.environ.get("OPERATOR_PROMETHEUS_IMAGE", "quay.io/prometheus/prometheus:v2.53.3")
VERSION = os.environ.get("OPERATOR_PROMETHEUS_VERSION", "2.53.3")  # the image's: the operator chooses its flags by it
NAME = "watching"


@pytest.fixture(scope="session", autouse=True)
def operators() -> None:
    """Both controllers, and not only their types."""
    for name in ("prometheus-operator", "keda-operator"):
        try:
            found = kubectl("get", "deployments", "--all-namespaces", "--output", "name")
        except CommandFailed as error:
            pytest.fail(str(error))
        if f"deployment.apps/{name}" not in found.splitlines():
            pytest.fail(f"{name} does not run in this cluster: install prometheus-operator and KEDA first")


@pytest.fixture(scope="module")
def prometheus(shared_namespace: Namespace) -> Iterator[Prometheus]:  # noqa: F811
    """It follows the monitors and rules of its namespace."""
    namespace = shared_namespace
    namespace.apply(*objects(namespace))
    wait_for(
        lambda: namespace.get("pods", "--selector", f"prometheus={NAME}")["items"], "the operator's pod", timeout=120
    )
    namespace.kubectl("wait", "--for=condition=Ready", f"pod/prometheus-{NAME}-0", "--timeout=120s", timeout=150)
    with (
        namespace.forward(f"pod/prometheus-{NAME}-0", 9090) as address,
        httpx.Client(base_url=f"http://{address}/api/v1", timeout=30) as client,
    ):
        yield Prometheus(client)


def objects(namespace: Namespace) -> list[Object]:
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "metadata": {"name": NAME}}
    rules = [
        {"apiGroups": [""], "resources": ["pods", "services", "endpoints"], "verbs": ["get", "list", "watch"]},
        {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["get", "list", "watch"]},
    ]
    spec = {
        "image": IMAGE,
        "version": VERSION,
        "imagePullPolicy": "IfNotPresent",
        "replicas": 1,
        "serviceAccountName": NAME,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 65534,
            "fsGroup": 65534,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "scrapeInterval": "1s",
        "evaluationInterval": "1s",
        "podMonitorSelector": {},
        "serviceMonitorSelector": {},
        "ruleSelector": {},
    }
    subject = {"kind": "ServiceAccount", "name": NAME, "namespace": namespace.name}
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": NAME}},
        {**role, "kind": "Role", "rules": rules},
        {
            **role,
            "kind": "RoleBinding",
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": NAME},
            "subjects": [subject],
        },
        {"apiVersion": "monitoring.coreos.com/v1", "kind": "Prometheus", "metadata": {"name": NAME}, "spec": spec},
    ]

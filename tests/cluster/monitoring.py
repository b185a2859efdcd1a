"""A Prometheus in a pod that finds the pods of its own namespace by itself."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import httpx
import pytest
import yaml

from tests.cluster.kubernetes import Namespace, Object, wait_for
from tests.support.prometheus import Prometheus

IMAGE = os.environ.get("PROMETHEUS_IMAGE", "slipway-prometheus:test")
INTERVAL = 1  # seconds between two scrapes, and between two looks at the rules
NAME = "prometheus"
EVERY = "every"  # annotation of pods that are to be scraped at another interval


def by_annotations() -> Object:
    """The job that Prometheus' documentation gives for pods with the prometheus.io annotations."""
    annotation = "__meta_kubernetes_pod_annotation_prometheus_io"
    return job(
        "annotated-pods",
        {
            "source_labels": [f"__meta_kubernetes_pod_annotation_{EVERY}"],
            "regex": "(.+)",
            "target_label": "__scrape_interval__",
        },
        {"source_labels": [f"{annotation}_scrape"], "action": "keep", "regex": "true"},
        {"source_labels": [f"{annotation}_scheme"], "regex": "(https?)", "target_label": "__scheme__"},
        {"source_labels": [f"{annotation}_path"], "regex": "(.+)", "target_label": "__metrics_path__"},
        {
            "source_labels": ["__address__", f"{annotation}_port"],
            "regex": r"([^:]+)(?::\d+)?;(\d+)",
            "replacement": "$1:$2",
            "target_label": "__address__",
        },
    )


def by_pod_monitor(monitor: Object) -> Object:
    """The job that the Prometheus operator makes of a PodMonitor, as far as the chart's own go."""
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    selected = [
        {"source_labels": [f"__meta_kubernetes_pod_label_{meta(label)}"], "action": "keep", "regex": value}
        for label, value in monitor["spec"]["selector"]["matchLabels"].items()
    ]
    port = {"source_labels": ["__meta_kubernetes_pod_container_port_name"], "action": "keep", "regex": endpoint["port"]}
    return {
        **job(monitor["metadata"]["name"], *selected, port),
        "metrics_path": endpoint["path"],
        "scheme": endpoint["scheme"],
    }


def job(name: str, *relabelings: Object) -> Object:
    """The labels `namespace` and `pod` are what alerts and panels go by."""
    labels = [
        {"source_labels": [f"__meta_kubernetes_{source}"], "target_label": target} for source, target in LABELS.items()
    ]
    discovery = {"role": "pod", "namespaces": {"own_namespace": True}}
    return {"job_name": name, "kubernetes_sd_configs": [discovery], "relabel_configs": [*relabelings, *labels]}


LABELS = {"namespace": "namespace", "pod_name": "pod"}


def meta(label: str) -> str:
    """The label's name as service discovery spells it."""
    return "".join(letter if letter.isalnum() else "_" for letter in label)


@contextmanager
def running(namespace: Namespace, jobs: Sequence[Object], groups: Sequence[Object] = ()) -> Iterator[Prometheus]:
    """It may see the pods of its namespace and nothing else. `groups` are of rules. It goes with its namespace."""
    settings = {
        "scrape_interval": f"{INTERVAL}s",
        "scrape_timeout": f"{INTERVAL}s",
        "evaluation_interval": f"{INTERVAL}s",
    }
    config = {"global": settings, "rule_files": ["rules.yaml"], "scrape_configs": list(jobs)}
    files = {"prometheus.yaml": yaml.safe_dump(config), "rules.yaml": yaml.safe_dump({"groups": list(groups)})}
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "metadata": {"name": NAME}}
    namespace.apply(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": NAME}, "data": files},
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": NAME}},
        {
            **role,
            "kind": "Role",
            "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]}],
        },
        {
            **role,
            "kind": "RoleBinding",
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": NAME},
            "subjects": [{"kind": "ServiceAccount", "name": NAME, "namespace": namespace.name}],
        },
        POD,
    )
    wait_for(lambda: is_ready(namespace), "a ready Prometheus", timeout=120)
    with (
        namespace.forward(f"pod/{NAME}", 9090) as address,
        httpx.Client(base_url=f"http://{address}/api/v1", timeout=30) as client,
    ):
        yield Prometheus(client)


def is_ready(namespace: Namespace) -> bool:
    """Fails the test where waiting longer cannot help."""
    status = namespace.get("pod", NAME)["status"]
    for container in status.get("containerStatuses", []):
        reason = container["state"].get("waiting", {}).get("reason", "")
        if "Image" in reason or "CrashLoop" in reason:
            pytest.fail(
                f"The pod of Prometheus does not start ({reason}). Is the image {IMAGE} on the nodes? make "
                "prometheus-image"
            )
        if container["ready"]:
            return True
    return False


POD: Object = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": NAME},
    "spec": {
        "serviceAccountName": NAME,
        "terminationGracePeriodSeconds": 1,
        "securityContext": {"runAsNonRoot": True, "runAsUser": 65534, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [
            {
                "name": NAME,
                "image": IMAGE,
                "imagePullPolicy": "IfNotPresent",
                "args": ["--config.file=/etc/prometheus/prometheus.yaml", "--storage.tsdb.path=/data"],
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "readOnlyRootFilesystem": True,
                    "capabilities": {"drop": ["ALL"]},
                },
                "readinessProbe": {"httpGet": {"path": "/-/ready", "port": 9090}, "periodSeconds": 1},
                "volumeMounts": [
                    {"name": "config", "mountPath": "/etc/prometheus"},
                    {"name": "data", "mountPath": "/data"},
                ],
            }
        ],
        "volumes": [{"name": "config", "configMap": {"name": NAME}}, {"name": "data", "emptyDir": {}}],
    },
}

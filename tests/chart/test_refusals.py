"""Wrong values are refused before anything reaches a cluster, by a message that says where and why. Combinations:
the other files.
"""

from typing import Any

import pytest

from tests.chart.helm import Refused, render

SHA = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"


def source(**sources: Any) -> dict[str, Any]:
    return {"models": [{"name": "churn", "version": "3", "source": sources}]}


REMOTE = {"url": "https://example.org/m", "sha256": SHA}


def fetch(url: str = "https://example.org/m", sha256: str = SHA) -> dict[str, Any]:
    return source(fetch={"model": {"url": url, "sha256": sha256}})


# Values, and what the message must contain: the path, and the reason.
WRONG: dict[str, tuple[dict[str, Any], str, str]] = {
    "a misspelt key": ({"replicas": 3}, "", "additional properties 'replicas' not allowed"),
    "a misspelt key further down": ({"image": {"name": "x"}}, "/image", "additional properties 'name' not allowed"),
    "a setting that does not exist": (
        {"config": {"timeout": 3}},
        "/config",
        "additional properties 'timeout' not allowed",
    ),
    "text for a number": ({"replicaCount": "two"}, "/replicaCount", "got string, want integer"),
    "fewer than no pods": ({"replicaCount": -1}, "/replicaCount", "minimum: got -1, want 0"),
    "half a pod": ({"replicaCount": 1.5}, "/replicaCount", "want integer"),
    "a switch that is neither on nor off": ({"ingress": {"enabled": "yes"}}, "/ingress/enabled", "want boolean"),
    "an unknown type of service": (
        {"service": {"type": "ExternalName"}},
        "/service/type",
        "'ClusterIP', 'NodePort', 'LoadBalancer'",
    ),
    "a port that is none": ({"service": {"port": 70000}}, "/service/port", "maximum: got 70,000, want 65,535"),
    "a range that is no range": (
        {"service": {"loadBalancerSourceRanges": ["10.0.0.1"]}},
        "/service/loadBalancerSourceRanges/0",
        "does not match",
    ),
    "an unknown pull policy": ({"image": {"pullPolicy": "Sometimes"}}, "/image/pullPolicy", "'IfNotPresent'"),
    "a digest that is cut short": ({"image": {"digest": "sha256:abc"}}, "/image/digest", "does not match pattern"),
    "a tag in the repository": (
        {"image": {"repository": "slipway:dev"}},
        "/image/repository",
        "does not match pattern",
    ),
    "a name with capitals": ({"fullnameOverride": "Iris"}, "/fullnameOverride", "does not match pattern"),
    "a name that begins with a digit": ({"fullnameOverride": "9x"}, "/fullnameOverride", "does not match pattern"),
    "a name that pods would have to cut": (
        {"fullnameOverride": "i" * 47},
        "/fullnameOverride",
        "maxLength: got 47, want 46",
    ),
    "a label that is a number": ({"podLabels": {"year": 2026}}, "/podLabels/year", "got number, want string"),
    "no model": ({"models": []}, "/models", "minItems: got 0, want 1"),
    "a model without a source": ({"models": [{"name": "churn"}]}, "/models/0", "missing property 'source'"),
    "a model with an empty source": (source(), "/models/0/source", "minProperties: got 0, want 1"),
    "a model with two sources": (
        source(configMap={"name": "a"}, secret={"secretName": "b"}),
        "/models/0/source",
        "maxProperties: got 2, want 1",
    ),
    "an unknown source": (source(s3={"bucket": "b"}), "/models/0/source", "additional properties 's3' not allowed"),
    "a version that is a number": (
        {"models": [{"name": "churn", "version": 1.10, "source": {"configMap": {"name": "a"}}}]},
        "/models/0/version",
        "got number, want string",
    ),
    "a version without a name": (
        {"models": [{"version": "3", "source": {"persistentVolumeClaim": {"claimName": "a"}}}]},
        "/models/0",
        "missing property 'name'",
    ),
    "a config map without a name for its model": (
        {"models": [{"source": {"configMap": {"name": "a"}}}]},
        "/models/0",
        "missing property 'name'",
    ),
    "a model's name with a slash": (
        {"models": [{"name": "a/b", "source": {"configMap": {"name": "a"}}}]},
        "/models/0/name",
        "does not match pattern",
    ),
    "a claim without a name": (
        source(persistentVolumeClaim={}),
        "/models/0/source/persistentVolumeClaim",
        "missing property 'claimName'",
    ),
    "a folder outside the volume": (
        source(persistentVolumeClaim={"claimName": "a", "subPath": "../b"}),
        "/models/0/source/persistentVolumeClaim/subPath",
        "does not match pattern",
    ),
    "a key that the service would not find": (
        source(configMap={"name": "a", "items": [{"key": "m", "path": "m.joblib"}]}),
        "/models/0/source/configMap/items/0/path",
        "'model.joblib', 'manifest.json'",
    ),
    "an image that is not pinned": (
        source(image={"reference": "r.example.org/churn:3"}),
        "/models/0/source/image/reference",
        "does not match pattern '@sha256:[0-9a-f]{64}$'",
    ),
    "a compiled form without the manifest that vouches for it": (
        source(fetch={"model": REMOTE, "compiled": {"form": "linear", **REMOTE}}),
        "/models/0/source/fetch",
        "manifest",
    ),
    "a compiled form of a kind that there is not": (
        source(fetch={"model": REMOTE, "manifest": REMOTE, "compiled": {"form": "pmml", **REMOTE}}),
        "/models/0/source/fetch/compiled/form",
        "'linear', 'onnx'",
    ),
    "a fetch over plain HTTP": (
        fetch(url="http://example.org/m"),
        "/models/0/source/fetch/model/url",
        "does not match pattern '^https://'",
    ),
    "a fetch without a digest": (
        source(fetch={"model": {"url": "https://example.org/m"}}),
        "/models/0/source/fetch/model",
        "missing property 'sha256'",
    ),
    "a digest in another spelling": (
        fetch(sha256="sha256:" + SHA),
        "/models/0/source/fetch/model/sha256",
        "does not match pattern",
    ),
    "an unknown setting of a model": (
        {"modelSettings": {"iris": {"eager": True}}},
        "/modelSettings/iris",
        "'eager' not allowed",
    ),
    "an unknown way to execute": (
        {"config": {"execution": "gpu"}},
        "/config/execution",
        "'inline', 'thread', 'process'",
    ),
    "a request that may take for ever": (
        {"config": {"requestTimeout": 0}},
        "/config/requestTimeout",
        "exclusiveMinimum",
    ),
    "a drain shorter than endpoints need": (
        {"config": {"drainTimeout": 2}},
        "/config/drainTimeout",
        "minimum: got 2, want 5",
    ),
    "a prefix without a slash": ({"config": {"rootPath": "iris"}}, "/config/rootPath", "does not match pattern"),
    "an unknown log level": ({"config": {"logLevel": "trace"}}, "/config/logLevel", "'warning'"),
    "memory without a unit that exists": (
        {"resources": {"limits": {"memory": "1GB"}}},
        "/resources/limits/memory",
        "does not match pattern",
    ),
    "memory in a unit of the wrong case": (
        {"resources": {"limits": {"memory": "512mi"}}},
        "/resources/limits/memory",
        "does not match pattern",
    ),
    "memory with two points": ({"memoryVolumes": {"tmp": "1.2.3Gi"}}, "/memoryVolumes/tmp", "does not match pattern"),
    "a budget that lets nothing go": (
        {"podDisruptionBudget": {"maxUnavailable": 0}},
        "/podDisruptionBudget/maxUnavailable",
        "want 1",
    ),
    "a budget that keeps all": (
        {"podDisruptionBudget": {"minAvailable": "100%"}},
        "/podDisruptionBudget/minAvailable",
        "does not match",
    ),
    "a probe that never gives up": (
        {"livenessProbe": {"failureThreshold": 0}},
        "/livenessProbe/failureThreshold",
        "want 1",
    ),
    "a startup that the load budget decides": (
        {"startupProbe": {"failureThreshold": 3}},
        "/startupProbe",
        "additional properties 'failureThreshold' not allowed",
    ),
    "an unknown strategy": ({"strategy": {"type": "BlueGreen"}}, "/strategy/type", "'RollingUpdate', 'Recreate'"),
    "a path that does not begin with a slash": (
        {"ingress": {"hosts": [{"host": "a", "paths": [{"path": "iris", "pathType": "Prefix"}]}]}},
        "/ingress/hosts/0/paths/0/path",
        "does not match pattern",
    ),
    "a weight without a service": (
        {"httpRoute": {"canaries": [{"weight": 1}]}},
        "/httpRoute/canaries/0",
        "missing property 'service'",
    ),
    "a shadow without a service": ({"httpRoute": {"mirror": {"percent": 5}}}, "/httpRoute/mirror", "service"),
    "a duration without a unit": (
        {"metrics": {"serviceMonitor": {"interval": "15"}}},
        "/metrics/serviceMonitor/interval",
        "does not match",
    ),
    "a share above one": (
        {"metrics": {"prometheusRule": {"errorRatio": 5}}},
        "/metrics/prometheusRule/errorRatio",
        "maximum",
    ),
    "a Prometheus without a scheme": (
        {"keda": {"serverAddress": "prometheus:9090"}},
        "/keda/serverAddress",
        "does not match pattern",
    ),
    "a variable without a name": ({"extraEnv": [{"value": "x"}]}, "/extraEnv/0", "missing property 'name'"),
    "a rollout without room": (
        {"strategy": {"rollingUpdate": {"maxSurge": 0}}},
        "strategy.rollingUpdate",
        "maxSurge and maxUnavailable are both 0: a rollout could never begin",
    ),
    "two monitors": (
        {"metrics": {"serviceMonitor": {"enabled": True}, "podMonitor": {"enabled": True}}},
        "metrics.serviceMonitor",
        "every pod would be scraped twice",
    ),
    "an unknown durability": (
        {"predictionLog": {"durability": "always"}},
        "/predictionLog/durability",
        "'spooled', 'sync'",
    ),
    "a database's address in clear": (
        {"predictionLog": {"database": {"url": "postgresql://a:b@c/d"}}},
        "/predictionLog/database",
        "additional properties 'url' not allowed",
    ),
    "a spool without room": ({"predictionLog": {"spool": {"bytes": 1000}}}, "/predictionLog/spool/bytes", "minimum"),
    "a spool in another unit": (
        {"predictionLog": {"spool": {"bytes": "1Gi"}}},
        "/predictionLog/spool/bytes",
        "got string, want integer",
    ),
    "a share of the log above one": ({"predictionLog": {"rate": 50}}, "/predictionLog/rate", "maximum"),
    "rows that are kept for no day": (
        {"predictionLog": {"retentionDays": 0}},
        "/predictionLog/retentionDays",
        "minimum",
    ),
    "a time of day": (
        {"predictionLog": {"maintenanceSchedule": "02:17"}},
        "/predictionLog/maintenanceSchedule",
        "does not match",
    ),
    "a test without a path": ({"test": {"body": {"features": [1]}}}, "test.body", "without test.path"),
}


@pytest.mark.parametrize(("values", "path", "reason"), WRONG.values(), ids=WRONG.keys())
def test_it_is_refused_with_its_place_and_the_reason(values: dict[str, Any], path: str, reason: str) -> None:
    with pytest.raises(Refused) as refusal:
        render(values)
    message = str(refusal.value)
    assert f"at '{path}'" in message or path in message
    assert reason in message


def test_an_old_cluster_is_refused() -> None:
    with pytest.raises(
        Refused,
        match=r"requires kubeVersion: >=1\.29\.0-0 which is incompatible with Kubernetes "
        r"v1\.28",
    ):
        render(kubernetes="1.28.9")

"""The Deployment: security, probes, shutdown, resources and what is handed through."""

import math
from types import SimpleNamespace

import pytest

from slipway.server.timeouts import Timeouts
from slipway.settings import Settings
from tests.chart.helm import CHART, Refused, render

EXTRAS = CHART / "ci" / "extras-values.yaml"
FETCH = CHART / "ci" / "fetch-values.yaml"


def test_pods_are_restricted_by_default() -> None:
    objects = render(FETCH)  # with an init container
    for pod in (objects.pod, objects.one("Pod")["spec"]):
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] == pod["securityContext"]["runAsGroup"] == 10001
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
        for container in [*pod["containers"], *pod.get("initContainers", [])]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert container["resources"].keys() == {"requests", "limits"}


def test_null_takes_an_id_away_where_the_platform_chooses_it() -> None:
    context = render(CHART / "ci" / "openshift-values.yaml").pod["securityContext"]
    assert context == {
        "runAsNonRoot": True,
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def test_what_is_written_is_in_memory() -> None:
    objects = render({"memoryVolumes": {"tmp": "1Gi"}})
    assert objects.volumes["tmp"]["emptyDir"] == {"medium": "Memory", "sizeLimit": "1Gi"}
    assert objects.volumes["runtime"]["emptyDir"] == {"medium": "Memory", "sizeLimit": "32Mi"}
    assert objects.mounts["/tmp"]["name"] == "tmp"
    assert objects.mounts[objects.environment["SLIPWAY_RUNTIME_DIR"]]["name"] == "runtime"


def test_a_service_called_slipway_cannot_set_the_port() -> None:
    assert render(release="slipway").pod["enableServiceLinks"] is False


def test_probes_ask_for_readiness_and_liveness() -> None:
    container = render().container
    assert container["startupProbe"]["httpGet"] == {"path": "/ready", "port": "http", "scheme": "HTTP"}
    assert container["readinessProbe"]["httpGet"] == {"path": "/ready", "port": "http", "scheme": "HTTP"}
    assert container["livenessProbe"]["httpGet"] == {"path": "/health", "port": "http", "scheme": "HTTP"}


@pytest.mark.parametrize(("budget", "period", "failures"), [(60, 1, 60), (61, 10, 7), (1, 5, 1)])
def test_the_startup_probe_waits_as_long_as_the_load_budget(budget: int, period: int, failures: int) -> None:
    probe = render({"loadBudgetSeconds": budget, "startupProbe": {"periodSeconds": period}}).container["startupProbe"]
    assert probe["failureThreshold"] == failures
    assert probe["failureThreshold"] * probe["periodSeconds"] >= budget


def test_a_rollout_may_take_longer_than_the_load_budget() -> None:
    assert render({"loadBudgetSeconds": 600}).one("Deployment")["spec"]["progressDeadlineSeconds"] == 840
    with pytest.raises(Refused, match="progressDeadlineSeconds is 60: it must be longer than loadBudgetSeconds"):
        render({"progressDeadlineSeconds": 60})


@pytest.mark.parametrize(("request_timeout", "drain_timeout"), [(30, 30), (2.5, 5), (0.1, 7.2), (3600, 3600)])
def test_the_grace_period_covers_the_drain_and_the_last_requests(request_timeout: float, drain_timeout: float) -> None:
    settings = Settings(request_timeout=request_timeout, drain_timeout=drain_timeout)
    least = math.ceil(drain_timeout) + Timeouts.of(settings).graceful + 5
    values = {"config": {"requestTimeout": request_timeout, "drainTimeout": drain_timeout}}
    assert render(values).pod["terminationGracePeriodSeconds"] == least
    assert render(values | {"terminationGracePeriodSeconds": least}).pod["terminationGracePeriodSeconds"] == least
    with pytest.raises(Refused, match=rf"terminationGracePeriodSeconds is {least - 1}.*raise it to {least} or more"):
        render(values | {"terminationGracePeriodSeconds": least - 1})


def test_pods_drain_before_they_stop() -> None:
    assert render().container["lifecycle"] == {"preStop": {"exec": {"command": ["slipway", "drain"]}}}


def test_the_reason_of_a_failure_reaches_kubectl_describe() -> None:
    assert render().container["terminationMessagePolicy"] == "FallbackToLogsOnError"


def test_no_pod_leaves_before_another_is_ready() -> None:
    spec = render().one("Deployment")["spec"]
    assert spec["strategy"] == {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    assert spec["revisionHistoryLimit"] == 5


def test_recreate_goes_without_the_settings_of_a_rolling_update() -> None:
    assert render({"strategy": {"type": "Recreate"}}).one("Deployment")["spec"]["strategy"] == {"type": "Recreate"}


def test_workers_follow_the_cpu_limit_unless_they_are_set() -> None:
    assert "SLIPWAY_WORKERS" not in render().environment
    assert (
        render({"config": {"workers": 3}, "resources": {"limits": {"cpu": None}}}).environment["SLIPWAY_WORKERS"] == "3"
    )
    with pytest.raises(Refused, match=r"resources.limits.cpu is not set.*set config.workers"):
        render({"resources": {"limits": {"cpu": None}}})


def test_the_environment_is_what_the_service_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    environment = render(EXTRAS).environment | render(CHART / "ci" / "ingress-values.yaml").environment
    for name, value in environment.items():
        if name.startswith("SLIPWAY_"):
            monkeypatch.setenv(name, value)
    settings = Settings()
    assert settings.max_body_bytes == 8 * 1024 * 1024  # not 8.388608e+06
    assert settings.cors_origins == ["https://app.example.org"]
    assert render(EXTRAS).environment["SLIPWAY_REQUEST_TIMEOUT"] == "2.5"


def test_no_variable_is_set_twice() -> None:
    names = [variable["name"] for variable in render(CHART / "ci" / "keys-and-tls-values.yaml").container["env"]]
    assert len(names) == len(set(names))


def test_the_services_own_variables_are_set_through_config_alone() -> None:
    for name in ("SLIPWAY_WORKERS", "slipway_workers"):  # the service reads either
        with pytest.raises(Refused, match=f"extraEnv sets {name}: the service's settings are set through config"):
            render({"extraEnv": [{"name": name, "value": "2"}]})


def test_pods_are_replaced_when_what_they_mount_changes() -> None:
    def checksums(values: dict[str, object]) -> SimpleNamespace:
        annotations = render(values).one("Deployment")["spec"]["template"]["metadata"]["annotations"]
        return SimpleNamespace(models=annotations.get("checksum/models"), fetch=annotations.get("checksum/fetch"))

    def fetched(digest: str) -> dict[str, object]:
        source = {"fetch": {"model": {"url": "https://example.org/m", "sha256": digest * 64}}}
        return {"models": [{"name": "m", "source": source}], "networkPolicy": {"enabled": False}}

    assert checksums({}) == SimpleNamespace(models=None, fetch=None)
    assert (
        checksums({"modelSettings": {"iris": {"lazy": True}}}).models
        != checksums({"modelSettings": {"iris": {"lazy": False}}}).models
    )
    assert checksums(fetched("a")).fetch != checksums(fetched("b")).fetch


def test_spread_over_hosts_and_zones_for_each_revision_by_itself() -> None:
    hosts, zones = render().pod["topologySpreadConstraints"]
    assert (hosts["topologyKey"], zones["topologyKey"]) == ("kubernetes.io/hostname", "topology.kubernetes.io/zone")
    for constraint in (hosts, zones):
        assert constraint["labelSelector"]["matchLabels"]["app.kubernetes.io/instance"] == "iris"
        assert constraint["matchLabelKeys"] == ["pod-template-hash"]
    (own,) = render(EXTRAS).pod["topologySpreadConstraints"]
    assert own["labelSelector"] == {"matchLabels": {"app.kubernetes.io/component": "server"}}
    assert "matchLabelKeys" not in own
    assert "topologySpreadConstraints" not in render({"topologySpreadConstraints": []}).pod


def test_keys_and_certificates_come_from_existing_secrets() -> None:
    objects = render(CHART / "ci" / "keys-and-tls-values.yaml")
    assert objects.environment["SLIPWAY_API_KEYS"] == "/etc/slipway/api-keys"
    assert objects.environment["SLIPWAY_TLS_CERTIFICATE"] == "/etc/slipway/tls/tls.crt"
    assert objects.environment["SLIPWAY_TLS_KEY"] == "/etc/slipway/tls/tls.key"
    assert objects.volumes["api-keys"]["secret"] == {"secretName": "clients", "defaultMode": 0o440}
    assert objects.volumes["tls"]["secret"] == {"secretName": "iris-tls", "defaultMode": 0o440}
    assert {
        objects.container[probe]["httpGet"]["scheme"] for probe in ("startupProbe", "readinessProbe", "livenessProbe")
    } == {"HTTPS"}
    assert not {"SLIPWAY_API_KEYS", "SLIPWAY_TLS_CERTIFICATE", "SLIPWAY_TLS_KEY"} & render().environment.keys()


def test_what_is_handed_through_arrives() -> None:
    objects = render(EXTRAS)
    pod, container = objects.pod, objects.container
    assert pod["priorityClassName"] == "high"
    assert pod["runtimeClassName"] == "gvisor"
    assert pod["hostUsers"] is False
    assert "hostUsers" not in render().pod
    assert pod["schedulerName"] == "default-scheduler"
    assert pod["nodeSelector"] == {"kubernetes.io/os": "linux"}
    assert pod["tolerations"] == [{"key": "models", "operator": "Exists"}]
    assert "nodeAffinity" in pod["affinity"]
    assert pod["hostAliases"][0]["ip"] == "10.1.2.3"
    assert (pod["dnsPolicy"], pod["dnsConfig"]) == ("None", {"nameservers": ["10.0.0.10"]})
    assert pod["terminationGracePeriodSeconds"] == 120
    assert objects.environment["RELEASE"] == "iris"  # a template
    assert container["envFrom"] == [{"secretRef": {"name": "more", "optional": True}}]
    assert objects.mounts["/etc/ssl/company"]["name"] == "certificates"
    assert objects.volumes["certificates"]["configMap"]["name"] == "company-ca"
    assert pod["initContainers"][0]["name"] == "wait"
    assert [each["name"] for each in pod["containers"]] == ["slipway", "proxy"]
    assert objects.one("Deployment")["metadata"]["annotations"]["example.org/deployment"] == "yes"


def test_the_user_cannot_shadow_the_services_container() -> None:
    with pytest.raises(Refused, match="call it something else"):
        render({"extraContainers": [{"name": "slipway", "image": "x"}]})

"""The prediction log: where it is kept, who migrates and maintains it, and what cannot work together."""

from typing import Any

import pytest
import yaml

from slipway.settings import Settings
from tests.chart.helm import CHART, Objects, Refused, notes, render
from tests.chart.test_values import LOG as LOG_SETTING

CI = CHART / "ci"
LOG = CI / "log-values.yaml"  # PostgreSQL
VOLUME = CI / "log-volume-values.yaml"  # SQLite on a volume
DEFAULTS = yaml.safe_load((CHART / "values.yaml").read_text())["predictionLog"]
MIB = 2**20


def log(**values: Any) -> dict[str, Any]:
    return {"predictionLog": {"durability": "async", **values}}


def postgresql(**values: Any) -> dict[str, Any]:
    return log(database={"existingSecret": "predictions-database"}, **values)


def variables(container: dict[str, Any]) -> dict[str, Any]:
    """By name: the value, or for a Secret's its name and key."""
    found = {}
    for variable in container["env"]:
        reference = variable.get("valueFrom", {}).get("secretKeyRef", {})
        found[variable["name"]] = variable["value"] if "value" in variable else (reference["name"], reference["key"])
    return found


def migration(objects: Objects) -> dict[str, Any]:
    return objects.one("Job", "iris-slipway-log-migrate")


def maintenance(objects: Objects) -> dict[str, Any]:
    pod: dict[str, Any] = objects.one("CronJob", "iris-slipway-log")["spec"]["jobTemplate"]["spec"]["template"]
    return pod


def test_by_default_the_log_is_off_and_a_file_of_the_pod_is_there_for_the_route_that_logs_anyway() -> None:
    objects = render()
    assert objects.environment["SLIPWAY_LOG"] == "off"
    assert objects.environment["SLIPWAY_LOG_DATABASE"].startswith("sqlite:////var/lib/slipway/")
    assert objects.environment["SLIPWAY_LOG_SPOOL"].startswith("/var/lib/slipway/")
    assert objects.mounts["/var/lib/slipway"] == {"name": "log", "mountPath": "/var/lib/slipway"}
    assert "emptyDir" in objects.volumes["log"]
    assert not [kind for kind in ("Job", "CronJob", "PersistentVolumeClaim") if objects.all(kind)]
    assert "initContainers" not in objects.pod


def test_nothing_of_the_log_is_left_where_nothing_is_logged() -> None:
    objects = render({"config": {"techniques": False}})
    assert "log" not in objects.volumes
    assert "/var/lib/slipway" not in objects.mounts
    assert not [
        name for name in objects.environment if name in ("SLIPWAY_LOG", "SLIPWAY_LOG_DATABASE", "SLIPWAY_LOG_SPOOL")
    ]
    assert "log" in render({"config": {"techniques": False}, "predictionLog": {"durability": "async"}}).volumes


def test_off_without_quotes_is_off() -> None:
    values = yaml.safe_load("predictionLog: {durability: off}")
    assert values["predictionLog"]["durability"] is False
    assert render(values).environment["SLIPWAY_LOG"] == "off"


def test_the_settings_arrive() -> None:
    container = render(LOG).container
    expected = {
        "SLIPWAY_LOG": "spooled",
        "SLIPWAY_LOG_DATABASE": ("predictions-database", "serving"),
        "SLIPWAY_LOG_DATABASE_BYTES": "536870912",
        "SLIPWAY_LOG_SPOOL_BYTES": "1073741824",
        "SLIPWAY_LOG_OVERFLOW": "refuse",
        "SLIPWAY_LOG_RATE": "0.5",
        "SLIPWAY_LOG_OMIT": '["iris.petal_width"]',
        "SLIPWAY_LOG_HASH": '["email"]',
        "SLIPWAY_LOG_HASH_KEY": ("predictions-hash", "key"),
        "SLIPWAY_LOG_RECORD_BYTES": "65536",
    }
    assert variables(container).items() >= expected.items()


def test_the_environment_is_what_the_service_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in render(LOG).environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("SLIPWAY_LOG_DATABASE", "postgresql://serving:secret@database:5432/predictions")
    monkeypatch.setenv("SLIPWAY_LOG_HASH_KEY", "from another Secret")
    settings = Settings()
    assert (settings.log, settings.log_overflow, settings.log_rate, settings.log_spool_bytes) == (
        "spooled",
        "refuse",
        0.5,
        2**30,
    )
    assert (settings.log_omit, settings.log_hash) == (["iris.petal_width"], ["email"])


def test_the_defaults_are_the_services() -> None:
    fields = {name: field.default for name, field in Settings.model_fields.items()}
    assert (DEFAULTS["durability"], DEFAULTS["rate"], DEFAULTS["recordBytes"]) == (
        fields["log"],
        fields["log_rate"],
        fields["log_record_bytes"],
    )
    assert (DEFAULTS["spool"]["bytes"], DEFAULTS["spool"]["overflow"]) == (
        fields["log_spool_bytes"],
        fields["log_overflow"],
    )
    assert (DEFAULTS["omit"], DEFAULTS["hash"]["columns"]) == (fields["log_omit"], fields["log_hash"])
    assert DEFAULTS["retentionDays"] is fields["log_retention_days"] is None


def test_every_setting_of_the_log_has_its_place_in_the_chart() -> None:
    everything = {variable["name"] for variable in render(LOG).container["env"]}
    everything |= {variable["name"] for variable in maintenance(render(LOG))["spec"]["containers"][0]["env"]}
    settings = {f"SLIPWAY_{name.upper()}" for name in Settings.model_fields if LOG_SETTING.match(name)}
    assert settings <= everything


def test_the_address_of_the_database_stands_in_no_object() -> None:
    for item in render(LOG):
        assert "postgresql://" not in yaml.safe_dump(item)


@pytest.mark.parametrize("spool", [MIB, 256 * MIB, 10 * 1024 * MIB])
@pytest.mark.parametrize("sqlite", [MIB, 512 * MIB])
def test_the_volume_holds_more_than_the_service_may_write(spool: int, sqlite: int) -> None:
    """Past its limit the kubelet evicts the pod, so the limit must lie well above: by a quarter and 64 MiB."""
    kept = {"spool": {"bytes": spool}}
    embedded = render(log(database={"sqliteBytes": sqlite}, **kept)).volumes["log"]["emptyDir"]
    assert int(embedded["sizeLimit"]) == (spool + sqlite) * 5 // 4 + 64 * MIB
    external = render(log(database={"existingSecret": "d", "sqliteBytes": sqlite}, **kept)).volumes["log"]["emptyDir"]
    assert int(external["sizeLimit"]) == spool * 5 // 4 + 64 * MIB


def test_a_volume_or_a_limit_of_the_pod_that_is_smaller_is_refused() -> None:
    least = (256 + 512) * 5 // 4 + 64  # MiB

    def claim(size: str) -> dict[str, Any]:
        return {"strategy": {"type": "Recreate"}, **log(persistence={"create": True, "size": size})}

    assert render(claim(f"{least}Mi")).one("PersistentVolumeClaim")
    with pytest.raises(
        Refused,
        match=rf"predictionLog.persistence.size is {least - 1}Mi, but .* need {least * MIB} "
        r"bytes: raise it",
    ):
        render(claim(f"{least - 1}Mi"))
    with pytest.raises(Refused, match=r"predictionLog\.persistence\.size is 1G, but"):
        render(claim("1G"))

    def limit(size: str) -> dict[str, Any]:
        return {"resources": {"limits": {"ephemeral-storage": size}}}

    assert render(limit(f"{least}Mi")).pod
    with pytest.raises(
        Refused,
        match=r"resources.limits.ephemeral-storage is 1G, but the prediction log may take "
        rf"{least * MIB} bytes",
    ):
        render(limit("1G"))


def test_the_database_is_migrated_before_anything_of_the_release_changes() -> None:
    objects = render(LOG)
    job = migration(objects)
    assert job["metadata"]["annotations"] == {
        "helm.sh/hook": "pre-install,pre-upgrade",
        "helm.sh/hook-delete-policy": "before-hook-creation,hook-succeeded",
        "helm.sh/hook-output-log-policy": "hook-failed",
    }
    assert 0 < job["spec"]["backoffLimit"] < 10
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["args"] == ["log", "migrate"]
    assert container["image"] == objects.container["image"]
    assert variables(container)["SLIPWAY_LOG_DATABASE"] == ("predictions-database", "owner")
    assert "initContainers" not in objects.pod  # pods that serve never migrate


def test_the_migration_needs_nothing_that_the_release_makes() -> None:
    """Before the first install there is neither its ServiceAccount nor its ConfigMaps nor its policy."""
    objects = render(LOG)
    pod = migration(objects)["spec"]["template"]
    assert pod["spec"]["serviceAccountName"] == "default"
    named = {"serviceAccount": {"create": False, "name": "mine"}}
    assert migration(render(postgresql() | named))["spec"]["template"]["spec"]["serviceAccountName"] == "mine"
    policy = objects.one("NetworkPolicy", "iris-slipway-log-migrate")
    assert policy["metadata"]["annotations"] == {
        "helm.sh/hook": "pre-install,pre-upgrade",
        "helm.sh/hook-weight": "-1",
        "helm.sh/hook-delete-policy": "before-hook-creation,hook-succeeded",
    }
    assert policy["spec"]["podSelector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
    volumes = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
    assert volumes.keys() == {"tmp", "database-ca"}
    assert volumes["database-ca"]["configMap"]["name"] == "company-ca"  # the user's own


@pytest.mark.parametrize("command", ["migrate", "maintain"])
def test_the_jobs_pods_are_as_restricted_as_the_servers_and_get_no_traffic(command: str) -> None:
    objects = render(LOG)
    template = migration(objects)["spec"]["template"] if command == "migrate" else maintenance(objects)
    pod = template["spec"]
    (container,) = pod["containers"]
    assert pod["securityContext"] == objects.pod["securityContext"]
    assert pod["automountServiceAccountToken"] is False
    assert container["securityContext"] == objects.container["securityContext"]
    assert container["resources"] == DEFAULTS["jobResources"]
    selector = objects.one("Service")["spec"]["selector"]
    assert not selector.items() <= template["metadata"]["labels"].items()


def test_the_maintenance_runs_daily_one_at_a_time_and_keeps_what_it_is_told_to() -> None:
    cron = render(LOG).one("CronJob")["spec"]
    assert (cron["schedule"], cron["timeZone"], cron["concurrencyPolicy"]) == ("17 2 * * *", "UTC", "Forbid")
    (container,) = maintenance(render(LOG))["spec"]["containers"]
    assert container["args"] == ["log", "maintain"]
    assert variables(container)["SLIPWAY_LOG_RETENTION_DAYS"] == "90"
    assert variables(container)["SLIPWAY_LOG_DATABASE"] == ("predictions-database", "owner")
    (container,) = maintenance(render(postgresql()))["spec"]["containers"]
    assert variables(container) == {"SLIPWAY_LOG_DATABASE": ("predictions-database", "url")}
    assert "SLIPWAY_LOG_RETENTION_DAYS" not in render(LOG).environment


def test_all_pods_may_reach_the_database_and_only_they() -> None:
    objects = render(LOG)
    policies = {policy["metadata"]["name"]: policy["spec"] for policy in objects.all("NetworkPolicy")}
    assert policies.keys() == {"iris-slipway", "iris-slipway-log", "iris-slipway-log-migrate"}
    for spec in policies.values():
        dns, database = spec["egress"]
        assert dns == {"ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]}
        assert database["to"][0]["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "databases"}
        assert database["ports"] == [{"port": 5432, "protocol": "TCP"}]
    assert (
        policies["iris-slipway-log"]["podSelector"]["matchLabels"].items()
        <= maintenance(objects)["metadata"]["labels"].items()
    )
    assert "ingress" not in policies["iris-slipway-log"]
    assert not render(postgresql() | {"networkPolicy": {"enabled": False}}).all("NetworkPolicy")


def test_the_authority_of_the_databases_certificate_reaches_all_who_connect() -> None:
    objects = render(LOG)
    pods = [objects.pod, migration(objects)["spec"]["template"]["spec"], maintenance(objects)["spec"]]
    for pod in pods:
        container = pod["containers"][0]
        assert variables(container)["PGSSLROOTCERT"] == "/etc/slipway/database-ca/ca.crt"
        mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
        assert mounts["database-ca"] == "/etc/slipway/database-ca"
    assert "PGSSLROOTCERT" not in render(postgresql()).environment


def test_an_sqlite_file_on_a_volume_is_migrated_before_the_service_starts_and_maintained_beside_it() -> None:
    objects = render(VOLUME)
    (init,) = objects.pod["initContainers"]
    assert init["args"] == ["log", "migrate"]
    assert variables(init)["SLIPWAY_LOG_DATABASE"] == objects.environment["SLIPWAY_LOG_DATABASE"]
    assert objects.volumes["log"] == {"name": "log", "persistentVolumeClaim": {"claimName": "iris-slipway-log"}}
    assert not objects.all("Job")
    pod = maintenance(objects)["spec"]
    assert objects.volumes["log"] in pod["volumes"]
    (container,) = pod["containers"]
    assert objects.mounts["/var/lib/slipway"] in container["volumeMounts"]
    (term,) = pod["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert term["labelSelector"]["matchLabels"] == objects.one("Deployment")["spec"]["selector"]["matchLabels"]


def test_a_claim_outlives_its_release() -> None:
    claim = render(VOLUME).one("PersistentVolumeClaim")
    assert claim["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    assert claim["spec"] == {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "2Gi"}}}
    existing = render(log(persistence={"existingClaim": "mine"}) | {"strategy": {"type": "Recreate"}})
    assert existing.volumes["log"]["persistentVolumeClaim"] == {"claimName": "mine"}
    assert not existing.all("PersistentVolumeClaim")


def test_several_pods_may_share_a_volume_for_their_spools_where_several_nodes_can_mount_it() -> None:
    shared = {"existingClaim": "spools", "accessModes": ["ReadWriteMany"]}
    assert render(postgresql(persistence=shared) | {"replicaCount": 3}).volumes["log"]["persistentVolumeClaim"] == {
        "claimName": "spools"
    }


@pytest.mark.parametrize(
    ("values", "refusal"),
    [
        (log(hash={"columns": ["email"]}), "predictionLog.hash.columns are hashed with a key: name the Secret"),
        (log(persistence={"create": True, "existingClaim": "a"}), "makes a claim and names an existing one"),
        (
            log(persistence={"existingClaim": "a"}),
            "one pod here, for several pods must not write one SQLite file, and a rolling update",
        ),
        (log(persistence={"existingClaim": "a"}) | {"replicaCount": 2}, "one SQLite file: set replicaCount to 1"),
        (
            postgresql(persistence={"existingClaim": "a"}) | {"replicaCount": 2},
            "ReadWriteMany lets several.*: set replicaCount to 1",
        ),
        (
            postgresql(persistence={"existingClaim": "a"}) | {"autoscaling": {"enabled": True}},
            "leave autoscaling and keda off",
        ),
        (log(retentionDays=30), "predictionLog.retentionDays needs a database that outlives its pods"),
        (
            log(database={"existingSecret": "d", "egress": []}),
            r"allow the way to the database, for example \[{ports: "
            r"\[{port: 5432}\]}\]",
        ),
        (
            {"extraEnv": [{"name": "SLIPWAY_LOG", "value": "async"}]},
            "set through config, models, predictionLog, apiKeys and tls",
        ),
    ],
)
def test_what_would_lose_rows_or_never_start_is_refused(values: dict[str, Any], refusal: str) -> None:
    with pytest.raises(Refused, match=refusal):
        render(values)


def test_the_notes_say_where_the_log_is() -> None:
    assert "prediction log" not in notes()
    kept = notes(postgresql())
    assert "The prediction log (async) is in the database of the Secret predictions-database" in kept
    assert "kubectl --namespace models exec deployment/iris-slipway -- slipway log tail" in kept
    assert "goes with its pod" in notes(log())

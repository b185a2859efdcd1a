"""Where models come from, and how they become the one folder that the service reads."""

import json
import tomllib
from typing import Any

import pytest

from slipway.sources.folder import Overrides
from tests.chart.helm import CHART, Refused, render

CI = CHART / "ci"
SHA = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"
BAKED = {"source": {"baked": True}}
NO_POLICY = {"networkPolicy": {"enabled": False}}


def named(source: dict[str, Any], name: str = "churn", version: str = "3") -> dict[str, Any]:
    return {"models": [{"name": name, "version": version, "source": source}]}


def fetched(**urls: str) -> dict[str, Any]:
    return {"fetch": {kind: {"url": url, "sha256": SHA} for kind, url in urls.items()}}


def test_the_example_is_served_from_the_image_by_default() -> None:
    objects = render()
    assert objects.environment["SLIPWAY_MODELS"] == "/models"
    assert objects.mounts.keys() == {"/tmp", "/run/slipway", "/var/lib/slipway"}


def test_the_example_is_out_of_sight_when_other_models_are_served() -> None:
    objects = render(named({"configMap": {"name": "churn-3"}}))
    assert objects.environment["SLIPWAY_MODELS"] == "/srv/models"
    assert "/srv/models/churn/3" in objects.mounts


def test_a_volume_by_its_folder() -> None:
    objects = render(CI / "pvc-values.yaml")
    assert objects.volumes["model-0"]["persistentVolumeClaim"] == {"claimName": "models", "readOnly": True}
    assert objects.mounts["/srv/models/churn/3"] == {
        "name": "model-0",
        "mountPath": "/srv/models/churn/3",
        "subPath": "churn/3",
        "readOnly": True,
    }


def test_a_volume_as_the_whole_folder() -> None:
    assert render(CI / "pvc-folder-values.yaml").mounts["/srv/models"] == {
        "name": "model-0",
        "mountPath": "/srv/models",
        "readOnly": True,
    }


def test_a_config_map() -> None:
    objects = render(CI / "configmap-values.yaml")
    assert objects.volumes["model-0"]["configMap"] == {"name": "churn-3"}
    assert objects.mounts["/srv/models/churn/3"]["readOnly"] is True


def test_a_secret_with_a_key_of_another_name_and_no_version() -> None:
    objects = render(CI / "secret-values.yaml")
    items = [{"key": "classifier", "path": "model.joblib"}]
    assert objects.volumes["model-0"]["secret"] == {"secretName": "churn", "defaultMode": 0o440, "items": items}
    assert "/srv/models/churn" in objects.mounts


def test_an_image_volume() -> None:
    objects = render(CI / "image-volume-values.yaml", kubernetes="1.35.0")
    assert objects.volumes["model-0"]["image"] == {
        "reference": f"registry.example.org/models/churn@sha256:{SHA}",
        "pullPolicy": "Always",
    }
    assert objects.mounts["/srv/models/churn/3"]["subPath"] == "churn/3"


@pytest.mark.parametrize(
    ("kubernetes", "setting", "refusal"),
    [
        ("1.30.4", "auto", "image volumes came with 1.31"),
        ("1.30.4", "always", "image volumes came with 1.31"),
        ("1.34.0", "auto", "set imageVolumes to always if the gate is on"),
        ("1.34.0", "always", None),
        ("1.35.0", "auto", None),
        ("v1.35.2-gke.100", "auto", None),
    ],
)
def test_image_volumes_are_refused_where_the_cluster_is_too_old(
    kubernetes: str, setting: str, refusal: str | None
) -> None:
    values = named({"image": {"reference": f"r.example.org/churn@sha256:{SHA}"}}) | {"imageVolumes": setting}
    if refusal is None:
        assert render(values, kubernetes=kubernetes).volumes["model-0"]["image"]["pullPolicy"] == "IfNotPresent"
    else:
        with pytest.raises(Refused, match=refusal):
            render(values, kubernetes=kubernetes)


def test_fetching_is_an_init_containers_work() -> None:
    objects = render(CI / "fetch-values.yaml")
    (init,) = objects.pod["initContainers"]
    assert init["image"] == objects.container["image"]
    assert init["command"] + init["args"] == ["python", "/opt/fetch/fetch.py", "/opt/fetch/plan.json", "/fetched"]
    mounts = {mount["mountPath"]: mount["name"] for mount in init["volumeMounts"]}
    assert mounts == {
        "/opt/fetch": "fetch",
        "/fetched": "fetched",
        "/opt/fetch-headers": "fetch-headers",
        "/opt/fetch-ca": "fetch-ca",
    }
    environment = {variable["name"]: variable["value"] for variable in init["env"]}
    assert environment == {
        "FETCH_TIMEOUT": "30",
        "FETCH_HEADERS": "/opt/fetch-headers",
        "SSL_CERT_FILE": "/opt/fetch-ca/ca.crt",
    }
    assert objects.volumes["fetched"]["emptyDir"] == {"sizeLimit": "1Gi"}
    assert objects.mounts["/srv/models/churn/3"] == {
        "name": "fetched",
        "mountPath": "/srv/models/churn/3",
        "subPath": "churn/3",
        "readOnly": True,
    }
    data = objects.one("ConfigMap", "iris-slipway-fetch")["data"]
    assert [item["path"] for item in json.loads(data["plan.json"])] == [
        "churn/3/model.joblib",
        "churn/3/manifest.json",
        "churn/3/model.onnx",
    ]
    assert data["fetch.py"] == (CHART / "files" / "fetch.py").read_text()


def test_nothing_of_the_fetch_is_there_without_one() -> None:
    objects = render()
    assert "initContainers" not in objects.pod
    assert not objects.all("ConfigMap")


def test_a_fetch_that_the_network_policy_would_stop_is_refused() -> None:
    with pytest.raises(Refused, match=r"The model churn is fetched, but networkPolicy lets nothing out but DNS"):
        render(named(fetched(model="https://example.org/m")))
    assert render(named(fetched(model="https://example.org/m")) | NO_POLICY).pod["initContainers"]


def test_several_models_and_versions_next_to_the_example() -> None:
    objects = render(CI / "several-models-values.yaml")
    assert objects.environment["SLIPWAY_MODELS"] == "/models"
    mounts = {
        path: (mount["name"], mount.get("subPath"))
        for path, mount in objects.mounts.items()
        if path.startswith("/models")
    }
    assert mounts == {
        "/models/churn/2": ("model-1", None),
        "/models/churn/3": ("model-2", "churn/3"),
        "/models/price.v1/1.10": ("fetched", "price.v1/1.10"),
        "/models/models.toml": ("model-settings", "models.toml"),
    }
    assert objects.mounts.keys() - mounts.keys() == {"/tmp", "/run/slipway", "/var/lib/slipway"}


def test_model_settings_become_a_file_that_the_service_accepts() -> None:
    tables = tomllib.loads(
        render(CI / "several-models-values.yaml").one("ConfigMap", "iris-slipway-models")["data"]["models.toml"]
    )
    assert tables == {
        "churn": {"version": "2", "default": True, "execution": "thread"},
        "price.v1": {"lazy": True, "optional": True},
    }
    for table in tables.values():
        Overrides.model_validate(table)


@pytest.mark.parametrize(
    ("values", "refusal"),
    [
        ({"models": [BAKED, BAKED]}, "models lists the whole folder twice"),
        (
            {
                "models": [
                    *named({"configMap": {"name": "a"}})["models"],
                    *named({"secret": {"secretName": "b"}})["models"],
                ]
            },
            "models lists churn/3 twice: give one of them another version",
        ),
        (
            {
                "models": [
                    {"name": "churn", "source": {"configMap": {"name": "a"}}},
                    *named({"configMap": {"name": "b"}})["models"],
                ]
            },
            "models lists churn both as a whole and with the version 3",
        ),
        (named({"baked": True}), "The model churn has the source baked.*leave name and version out"),
        (
            {
                "models": [{"source": {"persistentVolumeClaim": {"claimName": "a"}}}],
                "modelSettings": {"churn": {"lazy": True}},
            },
            "put a models.toml into that folder instead",
        ),
        (
            {
                "models": [
                    {"source": {"persistentVolumeClaim": {"claimName": "a"}}},
                    *named({"configMap": {"name": "a"}})["models"],
                ]
            },
            "A source without a name is the whole folder of models, so it must be the only one",
        ),
        (
            named({"configMap": {"name": "a"}}) | {"modelSettings": {"chrun": {"lazy": True}}},
            "modelSettings names chrun",
        ),
        ({"modelSettings": {"iris": {"default": True}, "wine": {"default": True}}}, "iris and wine each the default"),
    ],
)
def test_models_that_do_not_go_together_are_refused(values: dict[str, Any], refusal: str) -> None:
    with pytest.raises(Refused, match=refusal):
        render(values)

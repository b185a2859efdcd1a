"""Names, labels and selectors, as Helm's users know them."""

import re

import pytest
import yaml

from slipway import __version__
from tests.chart.helm import CHART, CI_VALUES, Refused, render

SELECTOR = {
    "app.kubernetes.io/name": "slipway",
    "app.kubernetes.io/instance": "iris",
    "app.kubernetes.io/component": "server",
}
PRODUCTION = CHART / "ci" / "production-values.yaml"


def test_chart_app_and_package_have_one_version() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert (chart["version"], chart["appVersion"]) == (__version__, __version__)


@pytest.mark.parametrize(
    ("release", "values", "name"),
    [
        ("iris", {}, "iris-slipway"),
        ("slipway", {}, "slipway"),
        ("my-slipway-2", {}, "my-slipway-2"),
        ("iris", {"nameOverride": "model"}, "iris-model"),
        ("iris", {"fullnameOverride": "flowers"}, "flowers"),
        ("r" * 53, {}, "r" * 46),
    ],
)
def test_all_objects_are_named_after_the_release(release: str, values: dict[str, str], name: str) -> None:
    objects = render(values, release=release)
    for kind in ("Deployment", "Service", "ServiceAccount", "PodDisruptionBudget", "NetworkPolicy"):
        assert objects.one(kind)["metadata"]["name"] == name


def test_a_pods_name_holds_the_longest_name_uncut() -> None:
    """As Kubernetes makes it: a ReplicaSet's hash has up to 10 characters, and what goes before the suffix of 5 is
    cut at 58.
    """
    name = render(release="r" * 53).one("Deployment")["metadata"]["name"]
    pod = f"{name}-{'h' * 10}-"[:58] + "s" * 5
    assert re.fullmatch(f"{name}-[a-z0-9]+-[a-z0-9]+", pod)  # as alerts and KEDA look for it


@pytest.mark.parametrize("release", ["9x", "iris.v1"])
def test_a_release_whose_service_kubernetes_would_refuse_needs_another_name(release: str) -> None:
    with pytest.raises(Refused, match=r"begins with a digit or holds a dot: set fullnameOverride\."):
        render(release=release)
    assert render({"fullnameOverride": "iris"}, release=release).one("Service")["metadata"]["name"] == "iris"


def test_every_object_is_in_the_releases_namespace_and_carries_the_standard_labels() -> None:
    for item in render(PRODUCTION):
        metadata = item["metadata"]
        assert metadata["namespace"] == "models"
        assert metadata["labels"]["app.kubernetes.io/managed-by"] == "Helm"
        assert metadata["labels"]["app.kubernetes.io/version"] == __version__
        assert metadata["labels"]["app.kubernetes.io/instance"] == "iris"


@pytest.mark.parametrize("values", CI_VALUES, ids=lambda path: path.stem)
def test_no_value_changes_the_selector_of_the_deployment(values: object) -> None:
    deployment = render(values).one("Deployment")
    assert deployment["spec"]["selector"]["matchLabels"] == SELECTOR
    assert deployment["spec"]["template"]["metadata"]["labels"].items() >= SELECTOR.items()


def test_selectors_pick_the_servers_pods_and_not_the_test() -> None:
    objects = render(CHART / "ci" / "production-values.yaml")
    assert objects.one("Service")["spec"]["selector"] == SELECTOR
    assert objects.one("PodDisruptionBudget")["spec"]["selector"]["matchLabels"] == SELECTOR
    assert objects.one("NetworkPolicy")["spec"]["podSelector"]["matchLabels"] == SELECTOR
    assert objects.one("PodMonitor")["spec"]["selector"]["matchLabels"] == SELECTOR
    assert objects.one("Pod")["metadata"]["labels"]["app.kubernetes.io/component"] == "test"


def test_common_labels_and_annotations_are_on_every_object_and_pod() -> None:
    objects = render(CHART / "ci" / "extras-values.yaml")
    for item in objects:
        if item["metadata"]["name"] in ("iris-more", "iris-text"):
            continue  # the user's own objects
        assert item["metadata"]["labels"]["team"] == "models"
        assert item["metadata"]["annotations"]["example.org/owner"] == "models"
    pod = objects.one("Deployment")["spec"]["template"]["metadata"]
    assert (pod["labels"]["team"], pod["labels"]["tier"]) == ("models", "inference")
    assert (pod["annotations"]["example.org/owner"], pod["annotations"]["example.org/pod"]) == ("models", "yes")


def test_a_label_that_is_set_twice_appears_once() -> None:
    pod = render({"commonLabels": {"team": "a"}, "podLabels": {"team": "b"}}).one("Deployment")["spec"]["template"][
        "metadata"
    ]
    assert pod["labels"]["team"] == "b"


def test_an_annotation_of_the_users_own_goes_before_the_charts() -> None:
    pod = render({"podAnnotations": {"prometheus.io/scrape": "false"}}).one("Deployment")["spec"]["template"][
        "metadata"
    ]
    assert pod["annotations"]["prometheus.io/scrape"] == "false"
    assert pod["annotations"]["kubectl.kubernetes.io/default-container"] == "slipway"


def test_a_new_version_of_the_chart_alone_replaces_no_pod() -> None:
    assert "helm.sh/chart" not in render().one("Deployment")["spec"]["template"]["metadata"]["labels"]


@pytest.mark.parametrize(
    "values",
    [
        {"podLabels": {"app.kubernetes.io/name": "x"}},
        {"commonLabels": {"helm.sh/chart": "x"}},
        {"service": {"labels": {"app.kubernetes.io/component": "x"}}},
    ],
)
def test_the_charts_own_labels_cannot_be_overridden(values: dict[str, object]) -> None:
    with pytest.raises(Refused, match="the chart sets it"):
        render(values)


def test_image_by_tag_digest_and_registry() -> None:
    digest = "sha256:" + "a" * 64
    assert render().container["image"] == f"slipway:{__version__}"
    assert (
        render({"image": {"repository": "localhost:5000/models/slipway"}}).container["image"]
        == f"localhost:5000/models/slipway:{__version__}"
    )
    assert render({"image": {"tag": "dev"}}).container["image"] == "slipway:dev"
    assert (
        render({"image": {"registry": "r.example.org", "digest": digest}}).container["image"]
        == f"r.example.org/slipway@{digest}"
    )
    objects = render({"global": {"imageRegistry": "g.example.org"}, "image": {"registry": "r.example.org"}})
    assert objects.container["image"] == f"g.example.org/slipway:{__version__}"
    assert objects.one("Pod")["spec"]["containers"][0]["image"] == f"g.example.org/slipway:{__version__}"


def test_pull_secrets_of_parent_and_release_are_joined() -> None:
    values = {"global": {"imagePullSecrets": ["a", {"name": "b"}]}, "imagePullSecrets": [{"name": "b"}, {"name": "c"}]}
    objects = render(values)
    expected = [{"name": "a"}, {"name": "b"}, {"name": "c"}]
    assert objects.pod["imagePullSecrets"] == expected
    assert objects.one("Pod")["spec"]["imagePullSecrets"] == expected
    assert "imagePullSecrets" not in render().pod

"""The chart as a dependency of another one, packed as helm packs it."""

import tarfile
from pathlib import Path

import pytest
import yaml

from slipway import __version__
from tests.chart.helm import CHART, Objects, Refused, helm, render


@pytest.fixture
def parent(tmp_path: Path) -> Path:
    """A chart with two copies of ours, one of them under another name and a condition."""
    chart = tmp_path / "parent"
    (chart / "charts").mkdir(parents=True)
    helm("package", str(CHART), "--destination", str(chart / "charts"))
    dependencies = [
        {"name": "slipway", "version": "*", "condition": "slipway.enabled"},
        {"name": "slipway", "version": "*", "alias": "shadow", "condition": "shadow.enabled"},
    ]
    metadata = {"apiVersion": "v2", "name": "parent", "version": "1.0.0", "dependencies": dependencies}
    (chart / "Chart.yaml").write_text(yaml.safe_dump(metadata))
    values = {
        "global": {"imageRegistry": "registry.example.org", "storageClass": "fast", "company": {"name": "x"}},
        "slipway": {"enabled": True, "replicaCount": 2},
        "shadow": {"enabled": False},
    }
    (chart / "values.yaml").write_text(yaml.safe_dump(values))
    return chart


def names(objects: Objects) -> list[str]:
    return [item["metadata"]["name"] for item in objects.all("Deployment")]


def test_globals_and_conditions_of_the_parent_are_no_unknown_values(parent: Path) -> None:
    objects = render(chart=parent)
    assert names(objects) == ["iris-slipway"]
    assert objects.container["image"] == f"registry.example.org/slipway:{__version__}"
    assert objects.one("Deployment")["spec"]["replicas"] == 2


def test_two_copies_do_not_get_in_each_others_way(parent: Path) -> None:
    objects = render({"shadow": {"enabled": True}}, chart=parent)
    assert sorted(names(objects)) == ["iris-shadow", "iris-slipway"]
    selectors = [
        item["spec"]["selector"]["matchLabels"]["app.kubernetes.io/name"] for item in objects.all("Deployment")
    ]
    assert sorted(selectors) == ["shadow", "slipway"]


def test_wrong_values_are_still_refused(parent: Path) -> None:
    with pytest.raises(Refused, match="additional properties 'replicas' not allowed"):
        render({"slipway": {"replicas": 3}}, chart=parent)


def test_the_packed_chart_holds_what_users_need_and_no_more(tmp_path: Path) -> None:
    helm("package", str(CHART), "--destination", str(tmp_path))
    (archive,) = tmp_path.glob("slipway-*.tgz")
    with tarfile.open(archive) as packed:
        files = {name.removeprefix("slipway/") for name in packed.getnames()}
    assert {
        "Chart.yaml",
        "README.md",
        "values.yaml",
        "values.schema.json",
        "files/dashboard.json",
        "files/fleet.json",
        "files/fetch.py",
    } <= files
    assert not [name for name in files if name.startswith("ci/") or name.endswith(".in")]

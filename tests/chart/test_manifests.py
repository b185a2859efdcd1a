"""What is derived from the chart has not drifted, and Kustomize makes of it what helm makes of the values."""

import re
import subprocess
from typing import Any

import pytest
import yaml

from deploy import manifests


def test_readme_and_kustomize_are_what_make_manifests_would_write() -> None:
    derived = manifests.derived()
    assert manifests.existing() == set(derived)
    for path, content in derived.items():
        assert path.read_text() == content, f"{path} has drifted: run make manifests"


@pytest.mark.parametrize("overlay", manifests.OVERLAYS)
def test_an_overlay_is_the_chart_with_its_values(overlay: str) -> None:
    command = ["kubectl", "kustomize", str(manifests.KUSTOMIZE / "overlays" / overlay)]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    built = sorted(yaml.safe_load_all(text), key=identity)
    expected = sorted([*manifests.rendered(manifests.OVERLAYS[overlay]).values(), manifests.namespace()], key=identity)
    assert built == expected


@pytest.mark.parametrize(
    ("old", "new", "patch"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({"a": 1}, {"b/c": 2}, [{"op": "remove", "path": "/a"}, {"op": "add", "path": "/b~1c", "value": 2}]),
        ({"a": [{"b": 1}, 2]}, {"a": [{"b": 3}, 2]}, [{"op": "replace", "path": "/a/0/b", "value": 3}]),
        ({"a": [1]}, {"a": [1, 2]}, [{"op": "replace", "path": "/a", "value": [1, 2]}]),
    ],
)
def test_a_patch_says_what_differs(old: Any, new: Any, patch: list[dict[str, Any]]) -> None:
    assert manifests.difference(old, new) == patch


def identity(item: dict[str, Any]) -> tuple[str, str]:
    return item["kind"], item["metadata"]["name"]


def test_the_charts_readme_has_no_link_that_leaves_the_packaged_chart() -> None:
    assert [link for link in re.findall(r"\]\(([^)#]+)", manifests.readme()) if not link.startswith("https://")] == []

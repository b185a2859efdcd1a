"""docs/gitops.md: what it shows is valid for Argo CD and Flux, and the chart takes the values in it.

The schemas are those of argo-cd 3.6 (application-crd.yaml), helm-controller 1.6 and source-controller 1.9, without
their texts and without parts that nothing here uses; no unknown key is allowed.
"""

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tests.chart.helm import CHART, CI_VALUES, render, template

PAGE = (Path(__file__).parents[2] / "docs" / "gitops.md").read_text()
BLOCKS = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
OBJECTS: list[dict[str, Any]] = [found for block in BLOCKS for found in yaml.safe_load_all(block)]
MADE_UP = re.compile(r"\{\{[^}]*\b(lookup|rand\w+|gen[A-Z]\w+|uuidv4|now|derivePassword)\b")


@pytest.mark.parametrize("found", OBJECTS, ids=[f"{place} {found['kind']}" for place, found in enumerate(OBJECTS)])
def test_what_the_page_shows_is_valid(found: dict[str, Any]) -> None:
    schema = Path(__file__).with_name("schemas") / f"{found['kind'].lower()}.json"
    jsonschema.validate(found, json.loads(schema.read_text()))


def test_the_chart_takes_the_values_that_the_page_shows() -> None:
    shown = [found["spec"].get("values") for found in OBJECTS]
    shown += [found["spec"].get("source", {}).get("helm", {}).get("valuesObject") for found in OBJECTS]
    values = [each for each in shown if each is not None]
    assert len(values) == 3
    for each in values:
        assert render(each).container["image"].startswith("registry.example.org/slipway:")


def test_no_template_asks_the_cluster_or_makes_up_a_value() -> None:
    """The notes are shown to somebody at a terminal, and no tool renders them."""
    for path in sorted((CHART / "templates").rglob("*")):
        if path.is_file() and path.name != "NOTES.txt":
            assert not MADE_UP.search(path.read_text()), path.name


@pytest.mark.parametrize("values", CI_VALUES, ids=lambda path: path.stem)
def test_what_is_rendered_twice_is_the_same_twice(values: Path) -> None:
    assert template(values) == template(values)


def test_every_hook_is_one_that_both_tools_honour() -> None:
    hooks: set[str] = set()
    policies: set[str] = set()
    for values in CI_VALUES:
        for found in render(values):
            annotations = found["metadata"].get("annotations", {})
            hooks.update(annotations.get("helm.sh/hook", "").split(","))
            policies.update(annotations.get("helm.sh/hook-delete-policy", "").split(","))
    assert hooks - {""} == {"pre-install", "pre-upgrade", "test"}  # the last is left out by Argo CD, as the page says
    assert "before-hook-creation" in policies

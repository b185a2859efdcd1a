"""What is generated is up to date, every setting is documented and used, and there is one version number."""

import ast
import re
import runpy
import tomllib
from pathlib import Path

import pytest

import slipway
from slipway.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
GENERATED: dict[str, str] = runpy.run_path(str(ROOT / "docs/generate.py"))["generated"]()


@pytest.mark.parametrize("name", GENERATED)
def test_generated_docs_are_up_to_date(name: str) -> None:
    assert (ROOT / "docs" / name).read_text(encoding="utf-8") == GENERATED[name], "run `make docs`"


def test_every_setting_is_documented_by_a_sentence() -> None:
    for name, field in Settings.model_fields.items():
        assert (field.description or "").endswith("."), name
        assert f"`SLIPWAY_{name.upper()}`" in GENERATED["configuration.md"]


def test_every_setting_is_used() -> None:
    trees = [ast.parse(path.read_text()) for path in (ROOT / "service").rglob("*.py") if path.name != "settings.py"]
    read = {node.attr for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    assert set(Settings.model_fields) <= read


def test_text_names_only_settings_that_exist() -> None:
    variables = {f"SLIPWAY_{name.upper()}" for name in Settings.model_fields}
    files = [
        ROOT / "README.md",
        ROOT / "Dockerfile",
        ROOT / "Makefile",
        *(ROOT / "docs").glob("*.md"),
        *(ROOT / "service").rglob("*.py"),
    ]
    named = {(path.name, name) for path in files for name in re.findall(r"SLIPWAY_[A-Z][A-Z_]*", path.read_text())}
    assert not [(path, name) for path, name in named if name not in variables]


def test_the_version_is_written_once() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert "version" in project["project"]["dynamic"]
    assert (ROOT / project["tool"]["hatch"]["version"]["path"]).samefile(slipway.__file__)
    version = re.compile(rf"(?<![\d.]){re.escape(slipway.__version__)}(?![\d.])")
    files = [ROOT / name for name in ("Dockerfile", "Makefile", "README.md", "pyproject.toml")] + list(
        (ROOT / "service").rglob("*.py")
    )
    assert [path for path in files if version.search(path.read_text())] == [Path(slipway.__file__)]


def test_the_changelog_begins_with_this_version() -> None:
    first = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert first is not None
    assert first[1] == slipway.__version__


def test_every_link_of_the_docs_leads_to_a_file() -> None:
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]
    links = [(page, link) for page in pages for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())]
    assert len(links) > 40
    assert not [(page.name, link) for page, link in links if not (page.parent / link).exists()]

"""What is installed: the wheel and the locks that it is installed with."""

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import slipway
from tests.server.running import Server

ROOT = Path(__file__).resolve().parents[2]
LOCKS = ("requirements.lock", "requirements-dev.lock", "requirements-build.lock", "deploy/compiled.lock")


def pins(lock: str) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9-]+)==(\S+)", (ROOT / lock).read_text(), re.MULTILINE))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    return zipfile.ZipFile(next(folder.iterdir()))


def test_the_wheel_holds_the_package_its_command_and_its_licence(wheel: zipfile.ZipFile) -> None:
    info = f"slipway_serve-{slipway.__version__}.dist-info"
    names = set(wheel.namelist())
    modules = {str(path.relative_to(ROOT / "service")) for path in (ROOT / "service").rglob("*.py")}
    assert {name for name in names if not name.startswith(info)} == modules | {"slipway/py.typed"}
    assert wheel.read(f"{info}/entry_points.txt").decode() == "[console_scripts]\nslipway = slipway.cli.entry:main\n"
    assert wheel.read(f"{info}/licenses/LICENSE") == (ROOT / "LICENSE").read_bytes()
    assert f"\nVersion: {slipway.__version__}\n" in wheel.read(f"{info}/METADATA").decode()


def test_the_wheel_alone_serves_an_example(wheel: zipfile.ZipFile, tmp_path: Path) -> None:
    """Unpacked into an empty folder, with nothing of the clone on the path."""
    wheel.extractall(tmp_path / "site")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("SLIPWAY_", "PYTHON"))}
    environment["PYTHONPATH"] = str(tmp_path / "site")

    def slipway(*arguments: str) -> str:
        command = [sys.executable, "-m", "slipway", *arguments]
        done = subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True, text=True)
        return done.stdout

    where = [sys.executable, "-c", "import slipway; print(slipway.__file__)"]
    assert subprocess.check_output(where, cwd=tmp_path, env=environment, text=True).startswith(str(tmp_path))
    assert "Packed models/iris/1" in slipway("example", "iris")
    assert "fit to serve" in slipway("check", "models")
    with Server(
        tmp_path / "models", tmp_path, command=[sys.executable, "-m", "slipway"], cwd=tmp_path, environment=environment
    ) as server:
        assert server.predict("iris", [5.1, 3.5, 1.4, 0.2]).json()["prediction"] == 0


def test_the_lock_holds_every_dependency_in_a_version_that_the_project_accepts() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    groups = project["dependency-groups"]
    wanted = {
        "requirements.lock": project["project"]["dependencies"],
        "requirements-build.lock": groups["build"],
        "requirements-dev.lock": [
            *project["project"]["dependencies"],
            *(line for line in groups["dev"] if isinstance(line, str)),
        ],
    }
    for lock, requirements in wanted.items():
        pinned = pins(lock)
        for requirement in map(Requirement, requirements):
            version = pinned[requirement.name]
            assert requirement.specifier.contains(version), f"{lock} pins {requirement.name} {version}: run `make lock`"


def test_the_smaller_image_has_nothing_that_the_other_has_not() -> None:
    assert pins("deploy/compiled.lock").items() < pins("requirements.lock").items()


def test_the_locks_agree_on_every_version() -> None:
    everything = pins("requirements-dev.lock")
    for lock in LOCKS:
        assert pins(lock).items() <= everything.items(), lock


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_pins_by_hash_and_names_no_index(lock: str) -> None:
    text = (ROOT / lock).read_text()
    assert all("--hash=sha256:" in entry for entry in re.split(r"\n(?=[a-z])", text)[1:])
    assert "://" not in text
    assert "--index" not in text
    assert not re.search(r"(?<![\w.-])/[a-z]+/", text), "a path of the machine that made it"

"""The shape of the package: who may import whom, how long a module may be, who reads the environment."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "service/slipway"

# Each room imports from the floors below its own; those of one floor do not know each other. The highest first.
FLOORS = (
    {"cli"},
    {"notebook"},
    {"server"},
    {"app"},
    {"protocols"},
    {"http"},
    {"packing", "prediction"},
    {"prediction_log", "drift"},
    {"engine"},
    {"telemetry", "sources"},
    {"model"},
    {"system"},
    {"settings", "errors"},
)
FLOOR = {room: -number for number, floor in enumerate(FLOORS) for room in floor}
LONGEST = 400
WEB = {"fastapi", "starlette", "gunicorn", "uvicorn", "uvicorn_worker"}  # known to `http` and what is above it only
# Not wanted in `slipway drain`, which runs in a preStop hook.
HEAVY = {"fastapi", "pandas", "sklearn", "numpy", "slipway.app"}
LOCAL_IMPORTS = {
    "cli.bench": "each command imports what it needs, so that `slipway drain` and `--help` are quick",
    "cli.check": "each command imports what it needs, so that `slipway drain` and `--help` are quick",
    "cli.drain": "each command imports what it needs, so that `slipway drain` and `--help` are quick",
    "cli.drift": "each command imports what it needs, so that `slipway drain` and `--help` are quick",
    "cli.example": "each command imports what it needs, so that `slipway drain` and `--help` are quick",
    "cli.models": "each command imports what it needs, so that `slipway drain` and `--help` are quick",
    "cli.pack": "each command imports what it needs, so that `slipway drain` and `--help` are quick",
    "cli.predict": "each command imports what it needs, so that `slipway drain` and `--help` are quick",
    "cli.sign": "each command imports what it needs, so that `slipway drain` and `--help` are quick",
    "cli.verify": "each command imports what it needs, so that `slipway drain` and `--help` are quick",
    "cli.fetch": "each command imports what it needs, so that `slipway drain` and `--help` are quick",
    "cli.push": "each command imports what it needs, so that `slipway drain` and `--help` are quick",
    "cli.rollback": "each command imports what it needs, so that `slipway drain` and `--help` are quick",
    "cli.serve": "each command imports what it needs, so that `slipway drain` and `--help` are quick",
    "model.batch": "pandas is imported only where a model was fitted on a data frame and is not compiled",
    "model.formats.mlflow_folder": "who has no folder of MLflow does without PyYAML",
    "model.signing": "who neither signs nor verifies does without cryptography",
    "model.estimator_file": "a server imports the libraries of the formats that it has; most models of arrays do "
    "without pandas",
    "model.compiled.model": "ONNX Runtime is imported only where a model has a graph",
    "model.estimator": "scikit-learn is imported only where there is an estimator",
    "cli.entry": "signals are handled before anything that takes long is imported",
    "server.development": "the process that only waits for changes does without the application",
    "prediction_log.upkeep.embedded": "a schema is made once in the life of a database, too rarely for every server to "
    "import Alembic",
    "prediction_log.database": "a server whose log is off does without SQLAlchemy and the drivers, and the time that "
    "they take",
    "model.inspection": "scikit-learn is imported only where there is an estimator",
    "cli.log": "each command imports what it needs, so that `--help` is quick, and reading does without Alembic",
    "packing.pack": "what compiles brings ONNX's packages along, and is imported only where a form is asked for",
    "sources.opening": "who has no models in s3:, gs: or az: does without obstore",
    "server.master": "numpy reads the limits of its threads from the environment when it is imported, so they are set "
    "first",
}
ENVIRONMENT = {  # modules that touch os.environ, and why; a setting is never read there
    "system.cpu": "the numeric libraries take the limits of their threads from there",
    "server.development": "the reloader's child takes its settings from there",
    "sources.object_store": "obstore takes its credentials from there, and whether plain HTTP will do",
    "sources.oci": "docker says there where it keeps its logins",
    "sources.mlflow_registry": "MLflow says there where its server is, and who asks",
    "model.onnx_runtime": "ONNX Runtime takes from there whether it reports to its maker",
    "settings": "variables that are no setting, but look like one, are told of",
    "telemetry.metrics": "prometheus-client takes its folder of files from there",
    "engine.pools": "the resource tracker of multiprocessing takes from there what it does not warn of",
}


class Import(NamedTuple):
    target: str  # the dotted name that is imported
    local: bool  # inside a function


def modules() -> dict[str, Path]:
    """The package's modules by their dotted name below `slipway`."""
    paths = (
        path for path in sorted(PACKAGE.rglob("*.py")) if path.name != "__main__.py" and path != PACKAGE / "__init__.py"
    )
    return {".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): path for path in paths}


MODULES = modules()


def package_of(module: str) -> list[str]:
    parts = ["slipway", *module.split(".")]
    return parts if MODULES[module].name == "__init__.py" else parts[:-1]


def imports(module: str) -> Iterator[Import]:
    tree = ast.parse(MODULES[module].read_text())
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    inside = {id(node) for function in functions for node in ast.walk(function)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, id(node) in inside)
        elif isinstance(node, ast.ImportFrom):
            package = package_of(module)
            base = package[: len(package) - node.level + 1] if node.level else []
            for alias in node.names:
                yield Import(".".join([*base, *([node.module] if node.module else []), alias.name]), id(node) in inside)


def own(target: str) -> str | None:
    """The module of this package that an imported name lies in, None when it lies elsewhere."""
    parts = target.split(".")
    if parts[0] != "slipway":
        return None
    return next((name for end in range(len(parts), 1, -1) if (name := ".".join(parts[1:end])) in MODULES), None)


def room(module: str) -> str:
    return module.split(".")[0]


def test_every_module_lies_in_a_room() -> None:
    assert set(map(room, MODULES)) == FLOOR.keys()


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_down(module: str) -> None:
    rooms = {room(target) for found in imports(module) if (target := own(found.target))} - {room(module)}
    assert not [other for other in rooms if FLOOR[other] >= FLOOR[room(module)]], (
        f"{module} imports from its own floor or above"
    )


@pytest.mark.parametrize("module", MODULES)
def test_what_is_private_to_a_module_is_imported_by_no_other(module: str) -> None:
    private = [
        found.target
        for found in imports(module)
        if own(found.target) and found.target.rpartition(".")[2].startswith("_")
    ]
    assert not private, f"{module} imports private names: {private}"


@pytest.mark.parametrize("module", [module for module in MODULES if room(module) == "packing"])
def test_packing_knows_nothing_of_servers(module: str) -> None:
    targets = {target for found in imports(module) if (target := own(found.target))}
    offline = {"packing", "model", "drift", "system", "settings", "errors"}
    assert {room(target) for target in targets} <= offline
    assert {target for target in targets if room(target) == "drift"} <= {"drift.learning", "drift.bins"}


def test_the_architecture_page_has_the_floors_and_names_files_that_are_there() -> None:
    page = (ROOT / "docs/architecture.md").read_text()
    told = {
        name.removesuffix(".py"): int(floor)
        for floor, name in re.findall(r"^\| (\d+) \| \[`([\w.]+?)/?`\]", page, re.MULTILINE)
    }
    assert told == {name: number + len(FLOORS) for name, number in FLOOR.items()}
    pages = [page, *(path.read_text() for path in (ROOT / "docs/decisions").glob("*.md"))]
    named = {name for text in pages for name in re.findall(r"`((?:\w+/)+\w+\.py)`", text)}
    there = {str(path.relative_to(PACKAGE)) for path in PACKAGE.rglob("*.py")}
    within_the_log = {f"prediction_log/{name}" for name in named if name.startswith("stores/")}
    assert {name for name in named if not name.startswith(("tests/", "stores/"))} | within_the_log <= there
    assert all((ROOT / name).exists() for name in named if name.startswith("tests/"))


def test_imports_never_run_in_a_circle() -> None:
    graph = {
        module: {target for found in imports(module) if (target := own(found.target)) and target != module}
        for module in MODULES
    }
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


@pytest.mark.parametrize("module", MODULES)
def test_only_the_api_and_above_know_the_web_framework(module: str) -> None:
    if FLOOR[room(module)] < FLOOR["http"]:
        assert not [found.target for found in imports(module) if found.target.split(".")[0] in WEB]


@pytest.mark.parametrize("package", [module for module, path in MODULES.items() if path.name == "__init__.py"])
def test_a_door_imports_nothing_and_names_its_files_in_reading_order(package: str) -> None:
    assert not list(imports(package))
    text = ast.get_docstring(ast.parse(MODULES[package].read_text())) or ""
    inside = {path.stem if path.is_file() else f"{path.name}/" for path in MODULES[package].parent.iterdir()}
    files = {name for name in inside if name not in ("__init__", "__pycache__/", "py")}
    assert set(re.findall(r"`([a-z_0-9]+/?)`:", text)) == files


@pytest.mark.parametrize("module", MODULES)
def test_functions_import_nothing_unless_it_is_argued_here(module: str) -> None:
    local = [found.target for found in imports(module) if found.local]
    assert bool(local) == (module in LOCAL_IMPORTS), f"{module} imports inside functions: {local}"


@pytest.mark.parametrize("module", MODULES)
def test_only_argued_modules_touch_the_environment(module: str) -> None:
    names = {node.attr for node in ast.walk(ast.parse(MODULES[module].read_text())) if isinstance(node, ast.Attribute)}
    touches = bool(names & {"environ", "getenv", "putenv"})
    assert touches == (module in ENVIRONMENT), (
        f"{module} touches the environment: argue for it in ENVIRONMENT, or use a setting"
    )


def test_no_slipway_variable_is_read_outside_the_settings() -> None:
    def keys(tree: ast.Module) -> Iterator[ast.expr]:
        for node in ast.walk(tree):
            if isinstance(node, ast.Subscript):
                yield node.slice
            elif isinstance(node, ast.Call):
                yield from node.args[:1]

    read = {
        module
        for module, path in MODULES.items()
        for key in keys(ast.parse(path.read_text()))
        if isinstance(key, ast.Constant)
        and isinstance(key.value, str)
        and key.value.startswith("SLIPWAY_")
        and " " not in key.value
    }
    assert not read


@pytest.mark.parametrize("module", MODULES)
def test_no_module_is_longer_than_it_should_be(module: str) -> None:
    lines = len(MODULES[module].read_text().splitlines())
    assert lines <= LONGEST, f"{module} has {lines} lines: it asks to be two"


def test_drain_starts_without_the_heavy_libraries() -> None:
    code = f"import sys, slipway.server.drain; print(*sorted({HEAVY!r} & set(sys.modules)))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], cwd=PACKAGE.parent, check=True, capture_output=True, text=True
    ).stdout.split()
    assert not loaded

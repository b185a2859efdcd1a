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
PACKAGE = ROOT / "service"

# What a model directory is and how it answers; it knows nothing of servers.
MODEL = {"schema", "json_schema", "batch", "frames", "rows", "row_types", "inspection", "nested", "answers", "client_fault", "estimator"}
MODEL |= {"files", "file_kinds", "manifest", "folder", "unpickling", "artifact", "compiled", "drift", "drift.distribution"}
MODEL |= {"dates", "integers", "escaping", "known_columns", "format_one"}
# Makes, compiles, checks and tries model directories, without a server.
OFFLINE = {"packing", "packing_data", "targets", "columns", "tables", "example_rows", "examples", "checking", "offline"}
OFFLINE |= {"compiling", "drift.learning"}
# Parts of the prediction log that lie in other layers than the rest of `journal`.
STORE = {
    f"journal.{name}"
    for name in (
        "record",
        "away",
        "engines",
        "tables",
        "repair",
        "pace",
        "store",
        "room",
        "sqlite",
        "postgresql",
        "copy_format",
        "copy_stream",
        "sqlite_format",
        "forms",
    )
}
STORE |= {"journal.partitions", "journal.migrations", "journal.migrations.versions.r0001_predictions"}
COUNTED = {f"drift.{name}" for name in ("bins", "tally", "psi", "metrics")}
REPORTS = {f"journal.{name}" for name in ("reading", "export", "statistics", "maintenance", "embedded")}
# Imports point down or stay within a layer, and never in a circle. A new module takes its place here.
LAYERS = (
    {"settings", "errors", "cpu", "contained"},
    MODEL
    | {"metrics", "log_metrics", "slot_values", "lifecycle", "loading", "marks", "runtime", "logs", "caller", "keys", "termination"}
    | {"timeouts"}
    | STORE
    | COUNTED,
    {"repository", "engine", "batching", "pools", "processes", "loaded", "quarantine"},
    {"cache", "readiness", "journal", "drift.counting"},
    {"predictor"},
    {"api"},
    OFFLINE | REPORTS | {"app", "benchmark", "comparison", "drift.periods", "drift.page", "drift.plots"},
    {
        "entry",
        "cli",
        "flags",
        "server",
        "development",
        "gunicorn_conf",
        "worker",
        "connection",
        "request_head",
        "transport",
        "accept",
        "drain",
        "log_commands",
        "drift_command",
    },
)
LAYER = {module: number for number, layer in enumerate(LAYERS) for module in layer}
LONGEST = 400
WEB = {"fastapi", "starlette", "gunicorn", "uvicorn", "uvicorn_worker"}  # known to the API and what is above it only
HEAVY = {"fastapi", "pandas", "sklearn", "numpy", "service.app"}  # not wanted in `slipway drain`, which runs in a preStop hook
LOCAL_IMPORTS = {
    "cli": "each command imports what it needs, so that `slipway drain` and `--help` are quick",
    "artifact": "a server whose models are all compiled does without scikit-learn, joblib and the second that they take",
    "batch": "pandas is imported only where a model was fitted on a data frame and is not compiled",
    "compiled.model": "ONNX Runtime is imported only where a model has a graph",
    "estimator": "scikit-learn is imported only where there is an estimator",
    "entry": "signals are handled before anything that takes long is imported",
    "development": "the process that only waits for changes does without the application",
    "journal.embedded": "a schema is made once in the life of a database, too rarely for every server to import Alembic",
    "journal.store": "a server whose log is off does without SQLAlchemy and the drivers, and the time that they take",
    "inspection": "scikit-learn is imported only where there is an estimator",
    "log_commands": "each command imports what it needs, so that `--help` is quick, and reading does without Alembic",
    "packing": "what compiles brings ONNX's packages along, and is imported only where a form is asked for",
    "server": "numpy reads the limits of its threads from the environment when it is imported, so they are set first",
}
ENVIRONMENT = {  # modules that touch os.environ, and why; a setting is never read there
    "cpu": "the numeric libraries take the limits of their threads from there",
    "development": "the reloader's child takes its settings from there",
    "flags": "variables that are no setting, but look like one, are told of",
    "metrics": "prometheus-client takes its folder of files from there",
}


class Import(NamedTuple):
    target: str  # the dotted name that is imported
    local: bool  # inside a function


def modules() -> dict[str, Path]:
    """The package's modules by their dotted name below `service`."""
    paths = (path for path in sorted(PACKAGE.rglob("*.py")) if path != PACKAGE / "__init__.py")
    return {".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): path for path in paths}


MODULES = modules()


def package_of(module: str) -> list[str]:
    parts = ["service", *module.split(".")]
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
    if parts[0] != "service":
        return None
    return next((name for end in range(len(parts), 1, -1) if (name := ".".join(parts[1:end])) in MODULES), None)


def top(module: str) -> str:
    """The module, or the package below `service` that it lies in."""
    return module.split(".")[0]


def place(module: str) -> str:
    """The module's own place among the layers, or else that of the package that it lies in."""
    return module if module in LAYER else top(module)


def layer(module: str) -> int:
    return LAYER[place(module)]


def test_every_module_has_a_layer() -> None:
    assert set(map(place, MODULES)) <= set(LAYER)


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_down(module: str) -> None:
    upward = [found.target for found in imports(module) if (target := own(found.target)) and layer(target) > layer(module)]
    assert not upward, f"{module} (layer {layer(module)}) imports from a layer above its own: {upward}"


def test_imports_never_run_in_a_circle() -> None:
    graph = {module: {target for found in imports(module) if (target := own(found.target)) and target != module} for module in MODULES}
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


@pytest.mark.parametrize("module", MODULES)
def test_only_the_api_and_above_know_the_web_framework(module: str) -> None:
    if layer(module) < LAYER["api"]:
        assert not [found.target for found in imports(module) if found.target.split(".")[0] in WEB]


@pytest.mark.parametrize("module", [module for module in MODULES if place(module) in MODEL | OFFLINE])
def test_models_know_nothing_of_servers(module: str) -> None:
    allowed = LAYERS[0] | MODEL | (OFFLINE | {"drift.bins"} if place(module) in OFFLINE else set())
    assert {place(target) for found in imports(module) if (target := own(found.target))} <= allowed


@pytest.mark.parametrize("module", MODULES)
def test_functions_import_nothing_unless_it_is_argued_here(module: str) -> None:
    local = [found.target for found in imports(module) if found.local]
    assert bool(local) == (module in LOCAL_IMPORTS), f"{module} imports inside functions: {local}"


@pytest.mark.parametrize("module", MODULES)
def test_only_argued_modules_touch_the_environment(module: str) -> None:
    names = {node.attr for node in ast.walk(ast.parse(MODULES[module].read_text())) if isinstance(node, ast.Attribute)}
    touches = bool(names & {"environ", "getenv", "putenv"})
    assert touches == (module in ENVIRONMENT), f"{module} touches the environment: argue for it in ENVIRONMENT, or use a setting"


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
        if isinstance(key, ast.Constant) and isinstance(key.value, str) and key.value.startswith("SLIPWAY_") and " " not in key.value
    }
    assert not read


@pytest.mark.parametrize("module", MODULES)
def test_no_module_is_longer_than_it_should_be(module: str) -> None:
    lines = len(MODULES[module].read_text().splitlines())
    assert lines <= LONGEST, f"{module} has {lines} lines: it asks to be two"


def test_the_architecture_page_names_modules_in_their_layers() -> None:
    rows = re.findall(r"^\| (\d) \| ([^|]+) \|", (ROOT / "docs/architecture.md").read_text(), re.MULTILINE)
    told = {name: int(number) for number, cell in rows for name in re.findall(r"`([\w/]+?)(?:\.py|/)`", cell)}
    assert told
    assert {name.replace("/", "."): number for name, number in told.items()}.items() <= LAYER.items()


def test_drain_starts_without_the_heavy_libraries() -> None:
    code = f"import sys, service.drain; print(*sorted({HEAVY!r} & set(sys.modules)))"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True).stdout.split()
    assert not loaded

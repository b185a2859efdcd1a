"""The image as it lies in a registry: its size, its user, what it says of itself and what is not in it."""

import shutil
import subprocess
from pathlib import Path

import slipway
from tests.image.container import IMAGE, docker, inspect

ROOT = Path(__file__).resolve().parents[2]
LARGEST = 450_000_000  # bytes, all layers unpacked; 13 million of them reach S3, GCS and Azure


def run_inside(*command: str) -> subprocess.CompletedProcess[str]:
    arguments = ["--entrypoint", command[0], IMAGE, *command[1:]]
    return subprocess.run(["docker", "run", "--rm", *arguments], capture_output=True, text=True, check=False)


def test_it_is_no_larger_than_promised() -> None:
    assert inspect(IMAGE)["Size"] <= LARGEST


def test_its_user_is_a_number_other_than_root() -> None:
    user, group = inspect(IMAGE)["Config"]["User"].split(":")
    assert int(user) > 0
    assert int(group) > 0


def test_its_labels_say_what_it_is() -> None:
    labels = inspect(IMAGE)["Config"]["Labels"]
    assert labels["org.opencontainers.image.version"] == slipway.__version__
    assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"
    assert labels["org.opencontainers.image.title"] == "Slipway"
    assert labels["org.opencontainers.image.description"]
    assert labels["org.opencontainers.image.revision"]


def test_nothing_inside_builds_or_installs_packages() -> None:
    look = "for name in sh pip pip3 gcc cc ld make git curl; do command -v $name; done"
    assert [Path(program).name for program in run_inside("sh", "-c", look).stdout.split()] == ["sh"]
    modules = ("json", "pip", "ensurepip", "setuptools", "hatchling")
    find = f"from importlib.util import find_spec; print(*[name for name in {modules} if find_spec(name)])"
    assert run_inside("python", "-c", find).stdout.split() == ["json"]


def test_the_service_and_its_libraries_start_from_bytecode() -> None:
    done = run_inside("python", "-v", "-c", "import slipway.app, slipway.server.master")
    assert done.returncode == 0
    assert "code object from '/opt/slipway/" in done.stderr
    compiled = [line for line in done.stderr.splitlines() if line.startswith("# code object from /opt/slipway/")]
    assert not compiled, "compiled from source at every start"


def test_the_model_inside_passes_its_own_check() -> None:
    done = run_inside("slipway", "check", "/models/iris/1")
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_model_inside_is_compiled_and_graphs_can_be_served() -> None:
    assert "ok    compiled  linear: " in run_inside("slipway", "check", "/models/iris/1").stdout
    done = run_inside("python", "-c", "import slipway.model.compiled.onnx_graph")
    assert done.returncode == 0, done.stderr


def test_nothing_ties_it_to_one_architecture() -> None:
    text = (ROOT / "Dockerfile").read_text()
    assert not [name for name in ("amd64", "x86_64", "x86-64", "arm64", "aarch64", "--platform") if name in text]


def test_new_code_leaves_the_layer_of_dependencies_alone(tmp_path: Path) -> None:
    context = tmp_path / "context"
    shutil.copytree(ROOT / "service", context / "service", ignore=shutil.ignore_patterns("__pycache__"))
    (context / "deploy").mkdir()
    copied = (
        "Dockerfile",
        ".dockerignore",
        "LICENSE",
        "README.md",
        "pyproject.toml",
        "requirements.lock",
        "requirements-build.lock",
    )
    for name in (*copied, "deploy/lean", "deploy/compiled.lock"):
        shutil.copy(ROOT / name, context / name)
    package = context / "service/slipway/__init__.py"
    package.write_text(package.read_text() + "\nCHANGED = True\n")
    name = f"{IMAGE.split(':')[0]}:changed"
    docker("build", "--quiet", "-t", name, str(context))
    try:
        before, after = (inspect(image)["RootFS"]["Layers"] for image in (IMAGE, name))
    finally:
        docker("rmi", name)
    shared = next(number for number, (one, other) in enumerate(zip(before, after, strict=True)) if one != other)
    assert shared >= len(before) - 2, "only the layers of the models and of the project may differ"


def test_it_reads_what_other_libraries_have_written_and_reaches_their_places() -> None:
    done = run_inside("python", "-c", "import skops.io, cloudpickle, yaml, obstore.store")
    assert (done.returncode, done.stderr) == (0, "")


def test_onnx_runtime_reports_to_nobody() -> None:
    """Where it does, it says that it cannot keep its identifier of the machine: the user has no home."""
    told = run_inside("python", "-c", "import onnxruntime")
    assert "telemetry" in told.stderr
    done = run_inside("python", "-c", "import slipway.model.onnx_runtime")
    assert (done.returncode, done.stderr) == (0, "")

"""The real server with compiled models alone: what its processes hold in memory."""

import shutil
from collections.abc import Callable
from pathlib import Path

from slipway.packing.example_models import train_and_pack
from tests.server.running import Server

Start = Callable[..., Server]
FLOWER = [5.1, 3.5, 1.4, 0.2]
LIBRARIES = ("/onnxruntime/", "/pandas/", "/scipy/", "/sklearn/")


def mapped(pid: int) -> set[str]:
    """Those of LIBRARIES whose shared objects a process has loaded."""
    text = Path(f"/proc/{pid}/maps").read_text()
    return {library for library in LIBRARIES if library in text}


def test_master_and_workers_load_no_library_that_a_compiled_model_does_without(
    start: Start, models: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "compiled"
    shutil.copytree(models / "iris", folder / "iris")
    server = start(models=folder)
    assert server.predict("iris", FLOWER).json()["prediction"] == 0
    assert [mapped(pid) for pid in (server.process.pid, *server.workers())] == [set()] * 3
    train_and_pack("diabetes", folder)
    graph = start(models=folder)
    assert [mapped(pid) for pid in (graph.process.pid, *graph.workers())] == [{"/onnxruntime/"}] * 3


def test_a_forbidden_form_brings_the_estimator_back(start: Start, models: Path, tmp_path: Path) -> None:
    folder = tmp_path / "compiled"
    shutil.copytree(models / "iris", folder / "iris")
    server = start(models=folder, compiled="false")
    assert server.predict("iris", FLOWER).json()["prediction"] == 0
    assert {"/scipy/", "/sklearn/"} <= mapped(server.process.pid)

"""A runtime folder that is full: metrics are lost and said to be, workers are not."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server.conftest import Start
from tests.server.running import Server

FLOWER = [5.1, 3.5, 1.4, 0.2]
LOST = "slipway_metrics_lost{}"


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory of 12 MB."""
    folder = tmp_path / "small"
    folder.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", folder], check=False, capture_output=True
    ).returncode:
        pytest.skip("only root may mount a small file system")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def fill(folder: Path) -> Path:
    """Leaves not a page."""
    path = folder / "filling"
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return path


def many_series(server: Server, since: int = 0) -> set[int]:
    """The statuses of requests that make hundreds of series, in whichever worker takes them."""
    statuses = set()
    for i in range(since, since + 60):
        path = (
            "/predict",
            "/predict-safe",
            "/predict-slow",
            "/predict-threaded",
            "/predict-cached",
            "/v2/health/live",
            "/models",
        )[i % 7]
        statuses.add(
            server.ask(("POST", "PUT", "PATCH", "DELETE", "OPTIONS", "GET")[i % 6], path, {"features": FLOWER}).status
        )
    return statuses


def test_metrics_that_find_no_room_are_lost_and_workers_are_not(start: Start, small: Path) -> None:
    server = start(runtime_dir=small)
    workers = server.workers()
    assert server.metrics()[LOST] == 0
    filling = fill(small)
    for since in (0, 60, 120):
        assert all(status < 500 for status in many_series(server, since))
    assert server.workers() == workers
    os.kill(workers[0], signal.SIGKILL)  # its successor has to make files of its own
    server.until(lambda: server.metrics()[LOST] == 1)
    server.until(lambda: len(server.workers()) == 2 and server.is_ready())
    successors = server.workers()
    for since in (0, 60):
        assert all(status < 500 for status in many_series(server, since))
    assert server.predict("iris", FLOWER).status == 200
    assert server.workers() == successors
    assert len(server.logged("metrics are lost, for there is no room for them")) == 1
    filling.unlink()
    server.signal(signal.SIGTERM)
    assert server.process.wait(20) == 0


def test_without_room_for_its_board_a_server_says_so_and_does_not_begin(start: Start, small: Path) -> None:
    fill(small)
    server = start(runtime_dir=small, wait=False)
    assert server.process.wait(30) == 1
    [line] = server.log()
    assert "has no room (No space left on device)" in line["message"]
    assert "SLIPWAY_RUNTIME_DIR" in line["message"]

"""The image at work: read-only, without capabilities, as a numeric user, on a port of this machine."""

import json
import shlex
import statistics
import subprocess
import time
from collections.abc import Callable

import httpx
import pytest

from tests.image.container import IMAGE, Container, docker, inspect, moment
from tests.support.readme import ADDRESS, Example, agrees, examples

Start = Callable[..., Container]


def test_it_predicts_read_only_without_capabilities_as_a_numeric_user(server: Container) -> None:
    answer = httpx.post(f"{server.url}/predict", json={"features": [5.1, 3.5, 1.4, 0.2]})
    assert answer.status_code == 200
    assert answer.json()["prediction"] == 0
    status = docker("exec", server.id, "cat", "/proc/1/status")
    assert "Uid:\t10001\t10001\t10001\t10001\n" in status
    assert "CapEff:\t0000000000000000\n" in status
    assert (
        subprocess.run(
            ["docker", "exec", server.id, "touch", "/models/mark"], capture_output=True, check=False
        ).returncode
        != 0
    )


@pytest.mark.parametrize("example", examples(), ids=lambda example: example.command)
def test_the_readmes_curl_lines_answer_as_printed(server: Container, example: Example) -> None:
    done = subprocess.run(
        shlex.split(example.command.replace(ADDRESS, server.url)), capture_output=True, text=True, check=True
    )
    assert agrees(example.answer, json.loads(done.stdout)), done.stdout


def test_every_line_of_its_log_is_json(server: Container) -> None:
    httpx.get(f"{server.url}/health")
    lines = server.logs().splitlines()
    assert lines
    for line in lines:
        assert isinstance(json.loads(line), dict), line


def test_sigterm_ends_it_with_code_0(start: Start) -> None:
    container = start()
    container.wait_until_ready()
    began = time.monotonic()
    docker("stop", "--time", "60", container.id)
    assert container.state()["ExitCode"] == 0, container.logs()
    assert time.monotonic() - began < 10


def test_drain_takes_it_out_of_service(start: Start) -> None:
    container = start()
    container.wait_until_ready()
    docker("exec", container.id, "slipway", "drain")
    assert httpx.get(f"{container.url}/ready").status_code == 503


def test_a_folder_of_models_takes_the_place_of_the_one_inside(
    start: Start, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("models")
    make = [
        "docker",
        "run",
        "--rm",
        "--user",
        "0",
        "--volume",
        f"{folder}:/out",
        IMAGE,
        "example",
        "diabetes",
        "--output",
        "/out",
    ]
    subprocess.run(make, check=True, capture_output=True)
    folder.chmod(0o755)
    container = start("--volume", f"{folder}:/models:ro")
    container.wait_until_ready()
    models = httpx.get(f"{container.url}/models").json()
    assert "iris" not in json.dumps(models)


@pytest.mark.slow
def test_it_is_ready_within_three_times_its_imports() -> None:
    def imports() -> float:
        container = docker("create", "--entrypoint", "python", IMAGE, "-c", "import sklearn, fastapi")
        try:
            docker("start", container)
            docker("wait", container)
            state = inspect(container)["State"]
            return moment(state["FinishedAt"]) - moment(state["StartedAt"])
        finally:
            docker("rm", container)

    imports()  # the first run reads the files from disk
    pairs = []
    for _ in range(5):
        with Container() as container:
            ready = container.wait_until_ready()
        pairs.append((ready, imports()))
    ready, imported = (statistics.median(times) for times in zip(*pairs, strict=True))
    assert ready <= 3 * imported, f"ready after {ready:.2f} s, imports {imported:.2f} s: {pairs}"

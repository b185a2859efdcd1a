"""The image for models that are all compiled: smaller, for scikit-learn and pandas are not in it."""

import subprocess
from pathlib import Path

import httpx
import pytest

from slipway.model.artifact import load
from slipway.packing.example_models import train_and_pack
from tests.image.container import COMPILED_IMAGE, IMAGE, Container, docker, inspect

LEFT_OUT = ("sklearn", "scipy", "pandas", "joblib")


def run_inside(*command: str) -> subprocess.CompletedProcess[str]:
    arguments = ["--entrypoint", command[0], COMPILED_IMAGE, *command[1:]]
    return subprocess.run(["docker", "run", "--rm", *arguments], capture_output=True, text=True, check=False)


def test_it_is_much_smaller() -> None:
    assert inspect(COMPILED_IMAGE)["Size"] <= 0.6 * inspect(IMAGE)["Size"]


def test_what_runs_estimators_is_not_in_it() -> None:
    find = f"from importlib.util import find_spec; print(*[name for name in ('numpy', *{LEFT_OUT}) if find_spec(name)])"
    assert run_inside("python", "-c", find).stdout.split() == ["numpy"]


def test_it_serves_the_example() -> None:
    with Container(image=COMPILED_IMAGE) as server:
        server.wait_until_ready()
        answer = httpx.post(f"{server.url}/predict", json={"features": [5.1, 3.5, 1.4, 0.2]})
        assert answer.status_code == 200
        assert answer.json()["prediction"] == 0
        assert httpx.get(f"{server.url}/metrics").status_code == 200


def test_it_logs_predictions() -> None:
    environment = (
        "SLIPWAY_LOG=sync",
        "SLIPWAY_LOG_DATABASE=sqlite:////tmp/predictions.db",
        "SLIPWAY_LOG_SPOOL=/tmp/spool",
    )
    with Container(*(part for variable in environment for part in ("--env", variable)), image=COMPILED_IMAGE) as server:
        server.wait_until_ready()
        answer = httpx.post(f"{server.url}/predict", json={"features": [5.1, 3.5, 1.4, 0.2]})
        assert (answer.status_code, answer.headers["X-Logged"]) == (200, "true")
        script = (
            "import sqlite3; print(*sqlite3.connect('/tmp/predictions.db').execute('SELECT key, answer FROM "
            "predictions'))"
        )
        assert docker("exec", server.id, "python", "-c", script) == f"('{answer.headers['X-Prediction-ID']}', '0')"
        assert docker("exec", server.id, "slipway", "log", "maintain")


def test_the_drivers_of_postgresql_and_the_migrations_are_in_it() -> None:
    assert run_inside("python", "-c", "import asyncpg, alembic, sqlalchemy.dialects.postgresql.asyncpg").returncode == 0


def test_it_serves_a_compiled_forest_as_scikit_learn_answers(tmp_path: Path) -> None:
    pytest.importorskip("skl2onnx")
    directory = train_and_pack("breast-cancer", tmp_path / "models").directory
    (tmp_path / "models").chmod(0o755)
    estimator = load(directory, name="breast-cancer", version="1", compiled=False)
    batch = estimator.example_batch()
    assert estimator.manifest is not None
    assert batch is not None
    rows = [example.features for example in estimator.manifest.examples]
    expected = estimator.model.infer(batch.data)
    with Container("--volume", f"{tmp_path / 'models'}:/models:ro", image=COMPILED_IMAGE) as server:
        server.wait_until_ready()
        answers = httpx.post(f"{server.url}/predict", json={"instances": rows}).json()["predictions"]
    assert [answer["prediction"] for answer in answers] == expected.predictions
    assert [answer["confidence"] for answer in answers] == pytest.approx(expected.confidences, abs=1e-5)


def test_of_a_model_without_a_compiled_form_it_says_what_is_missing(tmp_path: Path) -> None:
    directory = train_and_pack("iris", tmp_path / "models").directory
    (directory / "model.linear.json").unlink()
    command = ["docker", "run", "--rm", "--volume", f"{tmp_path / 'models'}:/models:ro", COMPILED_IMAGE]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "Only its estimator can answer, but scikit-learn is not installed here" in done.stdout + done.stderr


def test_a_command_that_cannot_run_in_it_says_so_in_a_sentence() -> None:
    done = run_inside("slipway", "example", "iris", "--output", "/tmp/models")
    assert done.returncode == 2
    assert done.stderr.startswith("slipway: this command needs the Python module ")
    assert done.stderr.count("\n") == 1

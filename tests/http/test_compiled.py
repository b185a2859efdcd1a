"""Compiled forms over HTTP: they answer in the estimator's place, without scikit-learn, and give way to it where
they cannot.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from slipway.packing.example_models import train_and_pack

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.anyio

FLOWER = {"features": [5.1, 3.5, 1.4, 0.2]}
PASSENGER = {"cabin_class": 1, "sex": "female", "age": None, "fare": 80.0, "port": "Atlantis", "alone": False}
HEAVY = {"joblib", "onnxruntime", "pandas", "scipy", "sklearn"}

# A server in a process of its own, as a worker has it: it answers, and tells what it has imported.
ANSWERING = f"""
import asyncio, json, sys
from pathlib import Path
import httpx
from slipway.app import create_app
from slipway.settings import Settings

async def main(models):
    app = create_app(Settings(models=models))
    async with app.fastapi.router.lifespan_context(app.fastapi):
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://slipway") as client:
            for name in sorted(path.name for path in models.iterdir()):
                row = json.loads((models / name / "1/manifest.json").read_text())["examples"][0]["features"]
                for body in ({{"features": row}}, {{"instances": [row] * 3}}):
                    for path in ("/predict", "/predict-cached", "/predict-threaded"):
                        answer = await client.post(f"{{path}}?model={{name}}", json=body)
                        assert answer.status_code == 200, answer.text
                strange = [1e300 if isinstance(value, float) else value for value in row]
                answer = await client.post(f"/predict?model={{name}}", json={{"features": strange}})
                assert answer.status_code in (200, 400, 422), answer.text
            for path in ("/ready", "/metrics", "/models", "/openapi.json"):
                assert (await client.get(path)).status_code == 200

asyncio.run(main(Path(sys.argv[1])))
print(*sorted({HEAVY!r} & set(sys.modules)))
"""


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("examples")
    for name in ("iris", "passengers", "diabetes"):
        train_and_pack(name, folder)
    return folder


def folder_of(examples: Path, folder: Path, *names: str) -> Path:
    for name in names:
        shutil.copytree(examples / name, folder / name)
    return folder


async def described(client: httpx.AsyncClient, name: str) -> dict[str, Any]:
    version: dict[str, Any] = (await client.get(f"/models/{name}")).json()["versions"][0]
    return version


@pytest.mark.parametrize(("names", "imported"), [(("iris", "passengers"), []), (("diabetes",), ["onnxruntime"])])
def test_a_server_of_compiled_models_imports_what_they_need_alone(
    examples: Path, tmp_path: Path, names: tuple[str, ...], imported: list[str]
) -> None:
    command = [sys.executable, "-c", ANSWERING, str(folder_of(examples, tmp_path, *names))]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == imported


async def test_the_catalogue_tells_which_form_answers(serve: Any, examples: Path) -> None:
    async with serve(examples) as client:
        forms = {name: (await described(client, name))["compiled"] for name in ("iris", "passengers", "diabetes")}
        assert forms == {"iris": "linear", "passengers": "linear", "diabetes": "onnx"}
        assert (await described(client, "diabetes"))["estimator"] == "GradientBoostingRegressor"
        assert {(await described(client, name))["vouched_for"] for name in forms} == {True}


@pytest.mark.parametrize("forbidden", ["by the setting", "in models.toml"])
async def test_a_form_that_is_forbidden_leaves_the_estimator_to_answer(
    serve: Any, examples: Path, tmp_path: Path, forbidden: str
) -> None:
    folder = folder_of(examples, tmp_path, "iris", "passengers")
    if forbidden == "in models.toml":
        (folder / "models.toml").write_text("[iris]\ncompiled = false\n")
    async with serve(folder, compiled=forbidden == "in models.toml") as client:
        assert (await described(client, "iris"))["compiled"] is None
        assert (await described(client, "passengers"))["compiled"] == (
            None if forbidden == "by the setting" else "linear"
        )
        assert (await described(client, "iris"))["notes"] == []
        assert (await client.post("/predict?model=iris", json=FLOWER)).json()["prediction"] == 0


async def test_a_form_that_was_changed_is_not_used_and_the_operator_is_told_once(
    serve: Any, examples: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = folder_of(examples, tmp_path, "passengers")
    path = folder / "passengers/1/model.linear.json"
    path.write_bytes(path.read_bytes().replace(b'"bias"', b'"bias" '))
    async with serve(folder) as client:
        found = await described(client, "passengers")
        assert (found["compiled"], found["state"]) == (None, "ready")
        assert [note for note in found["notes"] if "not the file that was proven" in note]
        answer = await client.post("/models/passengers/predict", json=PASSENGER)
        assert answer.status_code == 200, answer.text
    assert len([record for record in caplog.records if "not the file that was proven" in record.getMessage()]) == 1


async def test_another_estimator_than_the_packed_one_is_not_served_although_its_form_is_whole(
    serve: Any, examples: Path, tmp_path: Path
) -> None:
    folder = folder_of(examples, tmp_path, "iris")
    path = folder / "iris/1/model.joblib"
    path.write_bytes(path.read_bytes() + b" ")
    async with serve(folder) as client:
        assert "not the file that was packed" in (await described(client, "iris"))["error"]


@pytest.mark.parametrize("execution", ["inline", "thread", "process"])
async def test_a_form_answers_alike_wherever_it_runs(serve: Any, examples: Path, execution: str) -> None:
    expected = [
        json.loads((examples / name / "1/manifest.json").read_text())["examples"] for name in ("passengers", "diabetes")
    ]
    async with serve(examples, execution=execution) as client:
        for name, rows in zip(("passengers", "diabetes"), expected, strict=True):
            assert (await described(client, name))["execution"] == execution
            answer = await client.post(f"/predict?model={name}", json={"instances": [row["features"] for row in rows]})
            assert [row["prediction"] for row in answer.json()["predictions"]] == [
                row["prediction"] if isinstance(row["prediction"], str) else pytest.approx(row["prediction"], rel=1e-9)
                for row in rows
            ]


async def test_equal_rows_share_an_answer_of_the_cache_however_they_are_sent(serve: Any, examples: Path) -> None:
    async with serve(examples) as client:
        first = await client.post("/predict-cached?model=passengers", json={"features": list(PASSENGER.values())})
        second = await client.post("/predict-cached?model=passengers", json={"instances": [PASSENGER]})
        assert first.json()["cached"] is False
        assert second.json()["predictions"][0]["cached"] is True
        assert second.json()["predictions"][0]["prediction"] == first.json()["prediction"]

"""Several outputs with names: by them in answers, in the log, in drift, in files of answers and in the API's
document.
"""

import asyncio
import csv
import io
import json
import shutil
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import joblib
import jsonschema
import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_linnerud
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression

from slipway.cli import main as cli

pytestmark = pytest.mark.anyio

OUTPUTS = ["Weight", "Waist", "Pulse"]
ROW = {"Chins": 5.0, "Situps": 162.0, "Jumps": 60.0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """models/body answers three numbers, models/size two classes; body.csv and size.csv are what they were packed
    with.
    """
    folder = tmp_path_factory.mktemp("outputs")
    found = load_linnerud(as_frame=True)
    data = pd.concat([found.data, found.target], axis=1)
    data = pd.concat([data] * 30, ignore_index=True)
    data["Chins"] += np.random.default_rng(0).integers(0, 3, len(data))
    features = data[list(ROW)].astype(float)
    joblib.dump(LinearRegression().fit(features, data[OUTPUTS]), folder / "body.joblib")
    data.to_csv(folder / "body.csv", index=False)
    sizes = pd.DataFrame(
        {
            "weight, rounded": np.where(data.Weight > 170, "heavy", "light"),
            "pulse": np.where(data.Pulse > 56, "fast", "slow"),
        }
    )
    joblib.dump(
        RandomForestClassifier(5, random_state=0).fit(features, sizes.to_numpy(dtype=object)), folder / "size.joblib"
    )
    pd.concat([features, sizes], axis=1).to_csv(folder / "size.csv", index=False)
    pack(folder, "body", "--target", ",".join(OUTPUTS))
    pack(folder, "size", "--target", "weight, rounded", "--target", "pulse")
    return folder


def pack(folder: Path, name: str, *arguments: str, code: int = 0) -> None:
    command = [
        "pack",
        f"{folder / name}.joblib",
        "--name",
        name,
        "--data",
        f"{folder / name}.csv",
        "--output",
        f"{folder}/models",
    ]
    with pytest.raises(SystemExit) as end:
        cli.main([*command, *arguments])
    assert end.value.code == code


def estimator(folder: Path, name: str) -> Any:
    return joblib.load(folder / f"{name}.joblib")


def manifest(folder: Path, name: str) -> Any:
    return json.loads((folder / f"models/{name}/1/manifest.json").read_text())


def test_several_targets_are_left_out_and_name_the_outputs(folder: Path) -> None:
    assert [column["name"] for column in manifest(folder, "body")["signature"]["columns"]] == list(ROW)
    assert manifest(folder, "body")["signature"]["outputs"] == OUTPUTS
    assert manifest(folder, "size")["signature"]["outputs"] == ["weight, rounded", "pulse"]
    assert [each["name"] for each in manifest(folder, "body")["distribution"]["predictions"]] == [
        f"prediction_{name}" for name in OUTPUTS
    ]


async def test_answers_are_objects_by_the_outputs_names(serve, folder) -> None:
    expected = dict(zip(OUTPUTS, estimator(folder, "body").predict(pd.DataFrame([ROW]))[0].tolist(), strict=True))
    nothing = dict.fromkeys(OUTPUTS)
    async with serve(folder / "models") as client:
        named = (await client.post("/models/body/predict", json=ROW)).json()
        assert named == {"prediction": expected, "label": None, "confidence": nothing, "probabilities": None}
        many = (await client.post("/models/body/predict", json={"instances": [ROW, ROW]})).json()
        assert many == {"predictions": [named, named]}
        for path in (
            "/predict",
            "/predict-safe",
            "/predict-threaded",
            "/predict-slow",
            "/predict-cached",
            "/predict-with-logging",
        ):
            answers = [await client.post(f"{path}?model=body", json={"features": list(ROW.values())}) for _ in range(2)]
            assert [answer.json()["prediction"] for answer in answers] == [expected, expected], path
        one = (await client.post("/predict?model=body", json={"features": list(ROW.values())})).json()
        assert one == {"prediction": expected, "confidence": nothing}


async def test_labels_and_probabilities_are_by_name_too(serve, folder) -> None:
    forest = estimator(folder, "size")
    size, pulse = (
        dict(zip(map(str, classes), found[0].tolist(), strict=True))
        for classes, found in zip(forest.classes_, forest.predict_proba(pd.DataFrame([ROW])), strict=True)
    )
    async with serve(folder / "models") as client:
        answer = (await client.post("/models/size/predict", json=ROW)).json()
    weight, beats = max(size, key=size.__getitem__), max(pulse, key=pulse.__getitem__)
    assert answer == {
        "prediction": {"weight, rounded": weight, "pulse": beats},
        "label": {"weight, rounded": weight, "pulse": beats},
        "confidence": {"weight, rounded": size[weight], "pulse": pulse[beats]},
        "probabilities": {"weight, rounded": size, "pulse": pulse},
    }


@pytest.mark.parametrize("name", ["body", "size"])
async def test_the_document_of_the_api_has_the_names(serve, folder, name: str) -> None:
    outputs = manifest(folder, name)["signature"]["outputs"]
    async with serve(folder / "models") as client:
        document = (await client.get("/openapi.json")).json()
        one = (await client.post(f"/models/{name}/predict", json=ROW)).json()
        many = (await client.post(f"/models/{name}/predict", json={"instances": [ROW]})).json()
        general = (await client.post(f"/predict?model={name}", json={"features": list(ROW.values())})).json()
    operation = document["paths"][f"/models/{name}/predict"]["post"]
    schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
    assert schema["anyOf"][0]["properties"]["prediction"]["required"] == outputs
    for answer in (one, many):
        jsonschema.validate(answer, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(one | {"prediction": list(one["prediction"].values())}, schema)
    shared = document["paths"]["/predict"]["post"]["responses"]["200"]["content"]["application/json"]["schema"]
    jsonschema.validate(general, shared | {"components": document["components"]})


def logged(path: Path) -> list[Any]:
    with closing(sqlite3.connect(path)) as connection:
        return [json.loads(text) for (text,) in connection.execute("SELECT answer FROM predictions ORDER BY key")]


async def ask(client: Any, name: str, data: pd.DataFrame) -> Any:
    return await client.post(
        f"/models/{name}/predict", json={"instances": data[list(ROW)].astype(float).to_dict("records")}
    )


@pytest.mark.parametrize("name", ["body", "size"])
async def test_log_feedback_statistics_and_drift_have_the_names(serve, folder, tmp_path, capsys, name: str) -> None:
    url = f"sqlite:///{tmp_path}/log.db"
    data = pd.read_csv(folder / f"{name}.csv")
    async with serve(folder / "models", log="sync", log_database=url) as client:
        answer = await ask(client, name, data)
        key, given = answer.headers["x-prediction-id"], [row["prediction"] for row in answer.json()["predictions"]]
        assert logged(tmp_path / "log.db") == given
        outcome = {"prediction_id": key, "outcome": given[0]}
        assert (await client.post("/feedback", json=outcome)).status_code == 202
        wrong = await client.post("/feedback", json=outcome | {"outcome": {"Weight": {"a": 1}}})
        assert wrong.json()["errors"][0]["field"] == "outcome"
    common = ["--log-database", url, "--model", name]
    assert await asyncio.to_thread(run, "log", "stats", *common) == 0
    assert "feedback for 1 rows: 100.0% equal to the answer" in capsys.readouterr().out
    period = f"{datetime.now(UTC) - timedelta(hours=1):%Y-%m-%dT%H:%M}.."
    models, report = ["--models", str(folder / "models")], tmp_path / "drift.html"
    assert await asyncio.to_thread(run, "drift", *common, *models, "--current", period, "--output", str(report)) == 0
    assert "Nothing has drifted." in capsys.readouterr().out
    for output in manifest(folder, name)["signature"]["outputs"]:
        assert f"prediction_{output}" in report.read_text()
    nowhere = ["--models", str(tmp_path / "nowhere")]  # of a model that is known by its log alone
    assert (
        await asyncio.to_thread(
            run, "drift", *common, *nowhere, "--reference", period, "--current", period, "--output", str(report)
        )
        == 0
    )
    assert "Nothing has drifted." in capsys.readouterr().out
    for output in manifest(folder, name)["signature"]["outputs"]:
        assert f"prediction_{output}" in report.read_text()


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as end:
        cli.main(list(arguments))
    return int(end.value.code or 0)


async def test_a_drift_of_one_output_is_found_by_its_name(serve, folder, tmp_path, capsys) -> None:
    url, data = f"sqlite:///{tmp_path}/log.db", pd.read_csv(folder / "body.csv")
    async with serve(folder / "models", log="sync", log_database=url) as client:
        await ask(client, "body", data.assign(Situps=data.Situps + 300))
    period = f"{datetime.now(UTC) - timedelta(hours=1):%Y-%m-%dT%H:%M}.."
    command = [
        "drift",
        "--log-database",
        url,
        "--models",
        f"{folder}/models",
        "--output",
        f"{tmp_path}/drift.html",
        "--model",
        "body",
    ]
    assert await asyncio.to_thread(run, *command, "--current", period) == 0
    assert "prediction_Weight" in capsys.readouterr().out


async def test_the_metrics_of_drift_have_the_names(serve, folder) -> None:
    async with serve(folder / "models") as client:
        await ask(client, "body", pd.read_csv(folder / "body.csv"))
        metrics = (await client.get("/metrics")).text
    assert 'prediction_Weight"' in metrics


@pytest.mark.parametrize("name", ["body", "size"])
def test_a_file_of_answers_has_columns_by_name(folder: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    assert run("predict", f"{folder}/models/{name}/1", "--data", f"{folder / name}.csv") == 0
    lines = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    if name == "body":
        assert list(lines[0]) == [f"{what}_{output}" for output in OUTPUTS for what in ("prediction", "confidence")]
        expected = estimator(folder, "body").predict(pd.read_csv(folder / "body.csv")[list(ROW)])
        assert np.array_equal([[float(line[f"prediction_{output}"]) for output in OUTPUTS] for line in lines], expected)
    else:
        columns = [
            "prediction_pulse",
            "label_pulse",
            "confidence_pulse",
            "probability_pulse_fast",
            "probability_pulse_slow",
        ]
        assert list(lines[0])[-5:] == columns


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--target", "Weight,Waist"], "--target names 2 outputs, Weight, Waist, but the estimator answers 3"),
        (
            ["--target", "Weight,Wasit"],
            "The data has no column 'Wasit' to be the target: it has Chins, Situps, Jumps, Weight, Waist, Pulse: did "
            "you mean 'Waist'?",
        ),
        (["--target", "Weight,Waist", "--target", "Weight"], "--target names the column 'Weight' twice"),
    ],
)
def test_targets_that_do_not_fit_are_refused(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], sentence: str
) -> None:
    pack(folder, "body", "--version", "9", *arguments, code=2)
    assert capsys.readouterr().err == f"slipway: {sentence}\n"


@pytest.mark.parametrize(
    ("name", "targets", "doubt"),
    [
        ("body", OUTPUTS, None),
        ("body", ["Waist", "Weight", "Pulse"], "as Waist is much nearer to the column Weight"),
        ("body", ["Pulse", "Waist", "Weight"], "as Pulse is much nearer to the column Weight"),
        ("size", ["weight, rounded", "pulse"], None),
        ("size", ["pulse", "weight, rounded"], "as pulse is much nearer to the column weight, rounded"),
    ],
)
def test_targets_in_another_order_than_the_estimators_are_noted(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, targets: list[str], doubt: str | None
) -> None:
    for suffix in ("joblib", "csv"):
        shutil.copy(folder / f"{name}.{suffix}", tmp_path)
    pack(tmp_path, name, *(word for target in targets for word in ("--target", target)))
    told = capsys.readouterr().err
    assert ("name the targets in the order" in told) == (doubt is not None)
    assert (doubt or "") in told


async def test_drift_reads_a_log_of_lists_of_classes(serve, folder, tmp_path, capsys) -> None:
    data, url = pd.read_csv(folder / "size.csv")[list(ROW)], f"sqlite:///{tmp_path}/log.db"
    data.to_csv(tmp_path / "lists.csv", index=False)
    joblib.dump(estimator(folder, "size"), tmp_path / "lists.joblib")
    pack(tmp_path, "lists")
    async with serve(tmp_path / "models", log="sync", log_database=url) as client:
        answer = await ask(client, "lists", data)
    assert isinstance(answer.json()["predictions"][0]["label"], list)
    command = [
        "drift",
        "--log-database",
        url,
        "--models",
        f"{tmp_path}/models",
        "--model",
        "lists",
        "--output",
        f"{tmp_path}/x.html",
    ]
    assert await asyncio.to_thread(run, *command, "--current", "1h..") == 0
    assert "prediction_1" in capsys.readouterr().out


def test_targets_of_a_model_of_one_output_are_refused(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = pd.read_csv(folder / "body.csv")
    data.to_csv(tmp_path / "one.csv", index=False)
    joblib.dump(LinearRegression().fit(data[list(ROW)], data.Weight), tmp_path / "one.joblib")
    pack(tmp_path, "one", "--target", "Weight,Waist", code=2)
    assert "--target names 2 outputs, Weight, Waist, but the estimator answers 1" in capsys.readouterr().err


def test_outputs_without_names_stay_lists(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = pd.read_csv(folder / "body.csv")[list(ROW)]
    data.to_csv(tmp_path / "bare.csv", index=False)
    joblib.dump(estimator(folder, "body"), tmp_path / "bare.joblib")
    pack(tmp_path, "bare")
    assert "outputs" not in manifest(tmp_path, "bare")["signature"]
    capsys.readouterr()
    assert run("predict", f"{tmp_path}/models/bare/1", "--data", f"{tmp_path}/bare.csv") == 0
    assert capsys.readouterr().out.startswith("prediction_0,confidence_0,prediction_1,")


@pytest.mark.parametrize("name", ["body", "size"])
@pytest.mark.parametrize("outputs", [["a"], ["a", ""], ["a", "a"], ["a", "a", "b"], ["a", "b", "c", "d"]])
def test_a_manifest_whose_outputs_do_not_fit_is_refused(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, outputs: list[str]
) -> None:
    directory = tmp_path / name / "1"
    shutil.copytree(folder / f"models/{name}/1", directory)
    changed = manifest(folder, name)
    changed["signature"]["outputs"] = outputs
    (directory / "manifest.json").write_text(json.dumps(changed))
    assert run("check", str(directory)) == 1
    assert "is not a valid manifest: " in capsys.readouterr().out

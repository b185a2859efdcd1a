"""The command line as a user meets it: output, exit codes, and one sentence for what can be mended."""

import csv
import io
import json
import os
import re
import subprocess
import sys
import termios
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

import slipway
from slipway.cli import example
from slipway.cli import main as cli
from slipway.packing import example_models as examples
from slipway.server import drain
from slipway.server import master as server
from slipway.settings import Settings, misspelt_variables, spoken

ROOT = Path(__file__).resolve().parents[3]
X, Y = load_iris(return_X_y=True)
NAMES = ["sepal_length", "sepal_width", "petal_length", "petal_width"]


class Run:
    """A command that ran in this process: its exit code and what it printed."""

    def __init__(self, capsys: pytest.CaptureFixture[str], *arguments: object) -> None:
        with pytest.raises(SystemExit) as end:
            cli.main([str(argument) for argument in arguments])
        self.code = end.value.code
        self.out, self.err = capsys.readouterr()


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Any:
    return lambda *arguments: Run(capsys, *arguments)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """model.joblib, fitted on an array, with iris.csv and columns.toml; packed as models/iris/1."""
    folder = tmp_path_factory.mktemp("files")
    joblib.dump(LogisticRegression(max_iter=300).fit(X, Y), folder / "model.joblib")
    frame = pd.DataFrame(X, columns=NAMES).assign(species=np.array(["setosa", "versicolor", "virginica"])[Y])
    frame.to_csv(folder / "iris.csv", index=False)
    (folder / "columns.toml").write_text('[petal_length]\ndescription = "In cm"\nminimum = 0\nmaximum = 7.0\n')
    with pytest.raises(SystemExit) as end:
        cli.main(packing(folder))
    assert end.value.code == 0
    return folder


def packing(folder: Path, **options: object) -> list[str]:
    given = {
        "--name": "iris",
        "--data": folder / "iris.csv",
        "--target": "species",
        "--columns": folder / "columns.toml",
        "--labels": "setosa, versicolor,virginica",
        "--output": folder / "models",
    } | {f"--{name}": value for name, value in options.items()}
    return [
        "pack",
        str(folder / "model.joblib"),
        *(str(part) for name, value in given.items() if value is not None for part in (name, value)),
    ]


def one_sentence(found: Run, code: int = 2) -> str:
    assert (found.code, found.out) == (code, "")
    assert found.err.startswith("slipway: ")
    assert found.err.count("\n") == 1
    return found.err


def test_the_version_is_the_packages(run: Any) -> None:
    assert run("--version").out == f"slipway {slipway.__version__}\n"


def test_a_command_is_needed(run: Any) -> None:
    assert run().code == 2


def test_an_example_is_packed_and_the_next_command_is_printed(run: Any, tmp_path: Path) -> None:
    found = run("example", "iris", "--output", tmp_path)
    first, second, third = found.out.splitlines()
    assert (found.code, first, third) == (0, f"Packed {tmp_path}/iris/1", f"Next: slipway serve --models {tmp_path}")
    assert re.fullmatch(
        r"Compiled into model\.linear\.json: \S+ times as quick on one row, \S+ times on 100; proven within 1e-12 on "
        r"[\d,]+ rows",
        second,
    )
    assert "exists already" in one_sentence(run("example", "iris", "--output", tmp_path))
    assert run("example", "iris", "--output", tmp_path, "--force").code == 0


def test_the_examples_are_those_that_there_are(run: Any) -> None:
    assert tuple(examples.EXAMPLES) == example.EXAMPLES
    assert "invalid choice: 'titanic'" in run("example", "titanic").err


def test_pack_writes_what_was_said(files: Path) -> None:
    manifest = json.loads((files / "models/iris/1/manifest.json").read_text())
    assert manifest["signature"]["labels"] == ["setosa", "versicolor", "virginica"]
    assert [column.get("maximum") for column in manifest["signature"]["columns"]] == [None, None, 7, None]
    assert len(manifest["examples"]) == 8


def test_pack_writes_how_to_serve(run: Any, files: Path, tmp_path: Path) -> None:
    assert run(*packing(files, output=tmp_path), "--execution", "thread", "--lazy", "--optional", "--default").code == 0
    manifest = json.loads((tmp_path / "iris/1/manifest.json").read_text())
    assert (
        manifest["serving"].items() >= {"execution": "thread", "lazy": True, "optional": True, "default": True}.items()
    )


def test_pack_compiles_where_that_is_said(run: Any, files: Path, tmp_path: Path) -> None:
    found = run(*packing(files, output=tmp_path), "--compile")
    assert (found.code, found.err) == (0, "")
    assert "Compiled into model.linear.json: " in found.out
    assert (tmp_path / "iris/1/model.linear.json").exists()
    lines = run("check", tmp_path / "iris/1").out.splitlines()[1:]
    assert [line.split()[:2] for line in lines] == [
        ["ok", subject] for subject in ("digest", "load", "compiled", "examples", "verdict")
    ]
    assert "linear: within 1e-12 of the estimator, on " in lines[2]
    assert lines[2].endswith(" rows when it was packed and on 8 now")
    assert "compiled" not in run("check", "--no-compiled", tmp_path / "iris/1").out
    (tmp_path / "iris/1/model.linear.json").unlink()
    found = run("check", tmp_path / "iris/1")
    assert (found.code, found.out.count("note  load      The estimator answers, for its compiled form cannot: ")) == (
        1,
        1,
    )
    assert run("check", "--no-compiled", tmp_path / "iris/1").code == 0


def test_check_and_predict_load_as_the_variables_say(
    run: Any, files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(*packing(files, output=tmp_path), "--compile").code == 0
    (tmp_path / "iris/1/model.linear.json").unlink()
    predict = ("predict", tmp_path / "iris/1", "--data", files / "iris.csv")
    assert "compiled form cannot" in run(*predict).err
    monkeypatch.setenv("SLIPWAY_COMPILED", "false")
    assert run("check", tmp_path / "iris/1").code == 0
    assert "compiled form" not in run(*predict).err
    assert run("check", "--compiled", tmp_path / "iris/1").code == 1


def test_a_model_that_does_not_compile_is_packed_and_the_reason_told(run: Any, files: Path, tmp_path: Path) -> None:
    joblib.dump(KNeighborsClassifier().fit(X, Y), tmp_path / "model.joblib")
    data = ("--data", files / "iris.csv", "--target", "species", "--output", tmp_path)
    found = run("pack", tmp_path / "model.joblib", "--name", "k", *data, "--compile")
    assert found.code == 0
    assert found.err.startswith("note: There is no compiled form, the estimator answers. Neighbours at equal distances")
    assert sorted(path.name for path in (tmp_path / "k/1").iterdir()) == ["manifest.json", "model.joblib"]


def test_predict_answers_alike_with_the_compiled_form_and_without(run: Any, files: Path, tmp_path: Path) -> None:
    assert run(*packing(files, output=tmp_path), "--compile").code == 0
    asked = ("predict", tmp_path / "iris/1", "--data", files / "iris.csv")
    form, estimator = run(*asked), run(*asked, "--no-compiled")
    assert (form.code, estimator.code) == (0, 0)
    form, estimator = (pd.read_csv(io.StringIO(found.out)) for found in (form, estimator))
    pd.testing.assert_frame_equal(form, estimator, rtol=0, atol=1e-12)


def test_pack_reads_parquet(run: Any, files: Path, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    pd.read_csv(files / "iris.csv").to_parquet(tmp_path / "iris.parquet")
    assert run(*packing(files, data=tmp_path / "iris.parquet", output=tmp_path)).code == 0


def test_notes_go_to_standard_error(run: Any, files: Path, tmp_path: Path) -> None:
    found = run("pack", files / "model.joblib", "--name", "bare", "--output", tmp_path)
    assert found.out.startswith("Packed ")
    assert found.err.startswith("note: Without --data there are no example rows")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"target": "spezies"}, "no column 'spezies' to be the target"),
        ({"target": None}, "name it with --target"),
        ({"data": "nowhere.csv"}, "nowhere.csv does not exist"),
        ({"data": "nowhere.parquet"}, "nowhere.parquet does not exist"),
        ({"data": "model.joblib"}, "cannot be read as CSV"),
        ({"data": None}, "--target names a column of --data, which is not given"),
        ({"columns": "nowhere.toml"}, "nowhere.toml does not exist"),
        ({"columns": "iris.csv"}, "iris.csv cannot be read"),
        ({"labels": "a,b"}, "--labels must name 3 different classes"),
        ({"name": "a/b"}, "cannot be part of a path"),
        ({"version": "1"}, "exists already"),
    ],
)
def test_what_pack_cannot_use_is_one_sentence(run: Any, files: Path, options: dict[str, Any], sentence: str) -> None:
    options = {"version": "2"} | {
        name: files / value if name in ("data", "columns") and value else value for name, value in options.items()
    }
    assert sentence in one_sentence(run(*packing(files, **options)))


def test_a_form_cannot_be_proven_without_data(run: Any, files: Path) -> None:
    sentence = one_sentence(run(*packing(files, data=None, target=None), "--compile"))
    assert "--compile proves the compiled form on the rows of --data, which is not given" in sentence


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "[petal_length]\nmaximun = 7",
            "[petal_length] maximun: Extra inputs are not permitted; the keys are type, dtype, categories, description",
        ),
        ("petal_length = 7", "put what you declare of a column under [petal_length]"),
        ('[petal_length]\nminimum = "0"', "[petal_length] minimum"),
        ("[petal_length]\nallowed = []", "[petal_length] allowed"),
        ("[leaf]\nminimum = 0.0", "columns that the model does not have: leaf"),
        ("[petal_length]\nminimum = 7.0\nmaximum = 1.0", "lower bound above its upper bound"),
    ],
)
def test_a_wrong_columns_file_is_one_sentence(run: Any, files: Path, tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "columns.toml").write_text(text)
    assert sentence in one_sentence(run(*packing(files, columns=tmp_path / "columns.toml", output=tmp_path)))


def test_check_says_that_all_is_well(run: Any, files: Path) -> None:
    found = run("check", files / "models/iris/1")
    assert found.code == 0
    lines = [line.split()[:2] for line in found.out.splitlines()[1:]]
    assert lines == [["ok", "digest"], ["ok", "versions"], ["ok", "load"], ["ok", "examples"], ["ok", "verdict"]]
    assert "all 8 are answered as packed" in found.out


def test_check_takes_a_folder_of_models(run: Any, files: Path) -> None:
    found = run("check", files / "models")
    assert (found.code, found.out.splitlines()[0]) == (0, str(files / "models/iris/1"))


def test_check_fails_where_something_is_off(run: Any, files: Path, tmp_path: Path) -> None:
    directory = tmp_path / "iris/1"
    directory.mkdir(parents=True)
    manifest = json.loads((files / "models/iris/1/manifest.json").read_text())
    (directory / "manifest.json").write_text(json.dumps(manifest))
    found = run("check", directory)
    assert (found.code, found.out.splitlines()[-1].split()) == (1, ["off", "verdict", "not", "fit", "to", "serve"])
    assert "model.joblib does not exist" in found.out
    (directory / "model.joblib").write_bytes((files / "model.joblib").read_bytes())
    manifest["examples"][0]["prediction"] = 2 - manifest["examples"][0]["prediction"]
    (directory / "manifest.json").write_text(json.dumps(manifest))
    found = run("check", directory)
    assert found.code == 1
    assert "example 0 of its manifest expects 2, it answers 0" in found.out
    manifest["libraries"]["scikit-learn"] = "1.0"
    (directory / "manifest.json").write_text(json.dumps(manifest))
    assert "install scikit-learn==1.0" in run("check", directory).out
    assert "note  load      Packed with scikit-learn 1.0" in run("check", directory, "--allow-version-mismatch").out


def test_check_fails_for_a_bare_model(run: Any, files: Path, tmp_path: Path) -> None:
    (tmp_path / "model.joblib").write_bytes((files / "model.joblib").read_bytes())
    found = run("check", tmp_path)
    assert found.code == 1
    assert "nothing vouches for this model: pack it with `slipway pack`" in found.out


def test_every_command_that_loads_can_refuse_a_bare_model(
    run: Any, files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "model.joblib").write_bytes((files / "model.joblib").read_bytes())
    monkeypatch.setenv("SLIPWAY_TRUST", "manifest")
    assert "SLIPWAY_TRUST=manifest refuses" in run("check", tmp_path).out
    assert "SLIPWAY_TRUST=manifest refuses" in one_sentence(run("predict", tmp_path, "--data", files / "iris.csv"))
    assert "SLIPWAY_TRUST=manifest refuses" in one_sentence(run("bench", tmp_path))
    assert "nothing vouches for this model" in run("check", tmp_path, "--trust", "any").out


def test_predict_writes_no_formulas_unless_that_is_asked_for(run: Any, files: Path, tmp_path: Path) -> None:
    labels = {"labels": "=a,@b,-1"}
    assert run(*packing(files, output=tmp_path / "models", **labels)).code == 0
    directory, data = tmp_path / "models/iris/1", files / "iris.csv"
    shown = run("predict", directory, "--data", data).out
    assert {line.split(",")[1] for line in shown.splitlines()[1:]} == {"'=a", "'@b", "-1"}
    shown = run("predict", directory, "--data", data, "--no-csv-defuse").out
    assert {line.split(",")[1] for line in shown.splitlines()[1:]} == {"=a", "@b", "-1"}


def test_check_notes_a_folder_that_a_server_would_not_find(run: Any, files: Path, tmp_path: Path) -> None:
    (tmp_path / "copy").symlink_to(files / "models/iris/1")
    moved = tmp_path / "moved"
    moved.mkdir()
    for file in (files / "models/iris/1").iterdir():
        (moved / file.name).write_bytes(file.read_bytes())
    found = run("check", moved)
    assert found.code == 0
    assert "a server finds it only as iris/1 in its folder of models" in found.out


def test_check_needs_a_model(run: Any, tmp_path: Path) -> None:
    assert "holds no model.joblib" in one_sentence(run("check", tmp_path))


def answers(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(text.splitlines()))


def test_predict_answers_the_rows_of_a_file(run: Any, files: Path, tmp_path: Path) -> None:
    printed = run("predict", files / "models/iris/1", "--data", files / "iris.csv")
    assert printed.code == 0
    found = answers(printed.out)
    assert list(found[0]) == [
        "prediction",
        "label",
        "confidence",
        *(f"probability_{name}" for name in ("setosa", "versicolor", "virginica")),
    ]
    estimator = joblib.load(files / "model.joblib")
    assert [int(row["prediction"]) for row in found] == estimator.predict(X).tolist()
    np.testing.assert_allclose(
        [float(row["confidence"]) for row in found], estimator.predict_proba(X).max(axis=1), atol=1e-9
    )
    assert found[0]["label"] == "setosa"
    written = run("predict", files / "models/iris/1", "--data", files / "iris.csv", "--output", tmp_path / "out.csv")
    assert (written.code, written.out) == (0, "")
    assert (tmp_path / "out.csv").read_text() == printed.out
    assert written.err.splitlines() == [
        "note: The model does not know these columns of the data, they were ignored: species",
        f"Answered 150 rows with iris 1 into {tmp_path}/out.csv",
    ]


@pytest.mark.parametrize(
    ("named", "sentence"),
    [
        ("models/iris", "models/iris holds no model.joblib: name one of {}/models/iris/1"),
        ("models", "models holds no model.joblib: name one of {}/models/iris/1"),
        ("models/iris/2", "models/iris/2 does not exist: name one of {}/models/iris/1"),
        ("nosuch/model", "nosuch/model does not exist: name a model's folder, such as models/iris/1"),
    ],
)
def test_predict_says_which_model_to_name(run: Any, files: Path, named: str, sentence: str) -> None:
    assert sentence.format(files) in one_sentence(run("predict", files / named, "--data", files / "iris.csv"))


def test_predict_goes_through_files_larger_than_a_chunk(run: Any, files: Path, tmp_path: Path) -> None:
    frame = pd.concat([pd.read_csv(files / "iris.csv")] * 80, ignore_index=True)
    frame.to_csv(tmp_path / "big.csv", index=False)
    found = answers(run("predict", files / "models/iris/1", "--data", tmp_path / "big.csv").out)
    assert len(found) == 12_000
    assert found[10_000:10_100] == found[10_000 - 150 : 10_100 - 150]
    pytest.importorskip("pyarrow")
    frame.to_parquet(tmp_path / "big.parquet")
    assert answers(run("predict", files / "models/iris/1", "--data", tmp_path / "big.parquet").out) == found


def test_predict_names_the_row_that_is_refused_and_writes_nothing(run: Any, files: Path, tmp_path: Path) -> None:
    frame = pd.read_csv(files / "iris.csv")
    frame.loc[16, "petal_length"] = 9
    frame.to_csv(tmp_path / "bad.csv", index=False)
    found = run("predict", files / "models/iris/1", "--data", tmp_path / "bad.csv", "--output", tmp_path / "out.csv")
    assert "Row 17 of the data is refused: petal_length: Expected a number at least 0 and at most 7" in one_sentence(
        found
    )
    assert [path.name for path in tmp_path.iterdir()] == ["bad.csv"]


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        (NAMES[:3], "does not have these columns of the model: petal_width"),
        (
            ["a", "b", "c", "d"],
            "does not have these columns of the model: sepal_length, sepal_width, petal_length, petal_width",
        ),
    ],
)
def test_predict_names_the_columns_that_are_missing(
    run: Any, files: Path, tmp_path: Path, columns: list[str], sentence: str
) -> None:
    pd.DataFrame(X[:, : len(columns)], columns=columns).to_csv(tmp_path / "data.csv", index=False)
    assert sentence in one_sentence(run("predict", files / "models/iris/1", "--data", tmp_path / "data.csv"))


def test_predict_needs_rows(run: Any, files: Path, tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text(",".join(NAMES) + "\n")
    assert "has no rows" in one_sentence(run("predict", files / "models/iris/1", "--data", tmp_path / "data.csv"))


def test_predict_wants_a_file_for_its_answers_not_a_folder(run: Any, files: Path, tmp_path: Path) -> None:
    pd.DataFrame(X, columns=NAMES).to_csv(tmp_path / "data.csv", index=False)
    for folder in (".", tmp_path):
        done = run("predict", files / "models/iris/1", "--data", tmp_path / "data.csv", "--output", folder)
        assert "is a folder or a device: name a file" in one_sentence(done)


def test_predict_takes_the_columns_of_a_bare_model_by_their_place(run: Any, files: Path, tmp_path: Path) -> None:
    (tmp_path / "model.joblib").write_bytes((files / "model.joblib").read_bytes())
    pd.DataFrame(X, columns=NAMES).to_csv(tmp_path / "data.csv", index=False)
    found = run("predict", tmp_path, "--data", tmp_path / "data.csv")
    assert len(answers(found.out)) == 150
    assert "note: No manifest: nothing vouches for this model" in found.err
    assert "takes 4 features, the data has 5 columns" in one_sentence(
        run("predict", tmp_path, "--data", files / "iris.csv")
    )


def test_predict_gives_each_of_several_outputs_its_columns(run: Any, tmp_path: Path) -> None:
    from tests.support.zoo import ZOO

    found = next(specimen for specimen in ZOO if specimen.name == "multi_output_str")
    joblib.dump(found.estimator, tmp_path / "model.joblib")
    pd.DataFrame(found.data).to_csv(tmp_path / "data.csv", index=False)
    rows = answers(run("predict", tmp_path, "--data", tmp_path / "data.csv").out)
    assert list(rows[0]) == [
        *(
            "prediction_0",
            "label_0",
            "confidence_0",
            "probability_0_setosa",
            "probability_0_versicolor",
            "probability_0_virginica",
        ),
        *("prediction_1", "label_1", "confidence_1", "probability_1_a", "probability_1_b"),
    ]
    assert [[row["prediction_0"], row["prediction_1"]] for row in rows] == found.estimator.predict(found.data).tolist()


def test_predict_leaves_what_is_unknown_empty(run: Any, tmp_path: Path) -> None:
    from tests.support.zoo import ZOO

    found = next(specimen for specimen in ZOO if specimen.name == "linear_regression")
    joblib.dump(found.estimator, tmp_path / "model.joblib")
    pd.DataFrame(found.data).to_csv(tmp_path / "data.csv", index=False)
    rows = answers(run("predict", tmp_path, "--data", tmp_path / "data.csv").out)
    assert list(rows[0]) == ["prediction", "confidence"]
    assert {row["confidence"] for row in rows} == {""}


def test_predict_stops_quietly_when_nobody_reads(files: Path) -> None:
    command = [
        sys.executable,
        "-c",
        "from slipway.cli.main import main; main()",
        "predict",
        files / "models/iris/1",
        "--data",
        files / "iris.csv",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT) as process:
        assert process.stdout is not None
        process.stdout.close()
        _, errors = process.communicate()
    assert b"Traceback" not in errors
    assert b"BrokenPipe" not in errors


def test_predict_shows_its_progress_on_a_terminal_only(run: Any, files: Path) -> None:
    command = [
        sys.executable,
        "-c",
        "from slipway.cli.main import main; main()",
        "predict",
        files / "models/iris/1",
        "--data",
        files / "iris.csv",
    ]
    ours, theirs = os.openpty()
    termios.tcsetwinsize(theirs, (24, 100))
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=theirs, cwd=ROOT, check=True)
    os.close(theirs)
    shown = os.read(ours, 65536).decode()
    os.close(ours)
    assert done.returncode == 0
    assert "iris.csv: 100%" in shown
    assert "%" not in run(*command[3:]).err


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Settings, bool]]:
    """What the server would have been started with."""
    calls: list[tuple[Settings, bool]] = []
    monkeypatch.setattr(server, "serve", lambda settings, reload, **_: calls.append((settings, reload)))
    monkeypatch.setattr(drain, "drain", lambda settings: calls.append((settings, False)))
    return calls


def test_flags_go_before_variables_and_variables_before_defaults(
    run: Any, served: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLIPWAY_PORT", "9001")
    monkeypatch.setenv("SLIPWAY_HOST", "0.0.0.0")
    arguments = [
        "--port",
        9002,
        "--models",
        "there",
        "--no-access-log",
        "--cors-origins",
        "https://a.example",
        "https://b.example",
    ]
    assert run("serve", *arguments, "--request-timeout", 2.5, "--execution", "thread").code == 0
    settings, reload = served[0]
    assert not reload
    assert settings == Settings(
        port=9002,
        host="0.0.0.0",
        models=Path("there"),
        access_log=False,
        cors_origins=["https://a.example", "https://b.example"],
        request_timeout=2.5,
        execution="thread",
    )


def test_every_setting_is_a_flag_with_its_help(run: Any) -> None:
    text = " ".join(run("serve", "--help").out.split())
    for name, field in Settings.model_fields.items():
        assert f"--{name.replace('_', '-')}" in text
        assert f"SLIPWAY_{name.upper()}" in text
        assert " ".join((field.description or "?").split()) in text.replace("- ", "-")
    assert "--log-rate NUMBER Share of requests" in text


def test_a_switch_has_a_way_back(run: Any, served: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLIPWAY_TECHNIQUES", "false")
    run("serve", "--techniques", "--reload")
    assert (served[0][0].techniques, served[0][1]) == (True, True)


def test_drain_reads_the_same_settings(run: Any, served: Any, tmp_path: Path) -> None:
    assert run("drain", "--port", 9003, "--runtime-dir", tmp_path, "--drain-timeout", 7).code == 0
    assert served[0][0] == Settings(port=9003, runtime_dir=tmp_path, drain_timeout=7)


@pytest.mark.parametrize(
    ("arguments", "variables", "sentence"),
    [
        (["--port", "99999"], {}, "--port: Input should be less than or equal to 65535"),
        (["--workers", "many"], {}, "--workers: Input should be a valid integer"),
        ([], {"SLIPWAY_PORT": "none"}, "SLIPWAY_PORT: Input should be a valid integer"),
        ([], {"SLIPWAY_EXECUTION": "gpu"}, "SLIPWAY_EXECUTION: Input should be"),
        (
            [],
            {"SLIPWAY_CORS_ORIGINS": "https://a.example"},
            "SLIPWAY_CORS_ORIGINS: it is a list, which is written as JSON",
        ),
        (["--root-path", "iris/"], {}, "--root-path: String should match pattern"),
        (["--log-hash", "age"], {}, ": --log-hash needs SLIPWAY_LOG_HASH_KEY: without a key"),
        ([], {"SLIPWAY_LOG_HASH": '["age"]'}, ": SLIPWAY_LOG_HASH needs SLIPWAY_LOG_HASH_KEY: without a key"),
        (
            [],
            {"SLIPWAY_PORT": "tcp://10.0.0.1:8000"},
            "SLIPWAY_PORT is tcp://10.0.0.1:8000, which Kubernetes sets in every pod beside a Service",
        ),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(
    run: Any, monkeypatch: pytest.MonkeyPatch, arguments: list[str], variables: dict[str, str], sentence: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert sentence in one_sentence(run("serve", *arguments))


@pytest.mark.parametrize("arguments", [["--version"], ["serve", "--help"], ["drain", "--help"]])
def test_help_needs_no_heavy_import(arguments: list[str]) -> None:
    code = f"""
import sys
from slipway.cli.main import main
try:
    main({arguments!r})
except SystemExit:
    print(sorted({{"sklearn", "numpy", "pandas", "fastapi", "joblib"}} & set(sys.modules)), file=sys.stderr)
"""
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    assert found.stderr == "[]\n"


@pytest.mark.parametrize(
    ("arguments", "command", "sentence"),
    [
        (["serve", "--prot", 9000], "serve", "there is no flag --prot: did you mean --port?"),
        (["serve", "--prot=9000"], "serve", "there is no flag --prot: did you mean --port?"),
        (["serve", "-port", 9000], "serve", "there is no flag -port: did you mean --port?"),
        (["serve", "--no-acces-log"], "serve", "there is no flag --no-acces-log: did you mean --no-access-log?"),
        (["pack", "model.joblib", "--nme", "iris"], "pack", "there is no flag --nme: did you mean --name?"),
        (["log", "export", "--ouput", "x.csv"], "log export", "there is no flag --ouput: did you mean --output?"),
        (["--verson"], "[-h]", "there is no flag --verson: did you mean --version?"),
        (["log", "tail", "-x"], "log tail", "there is no flag -x"),
        (["drain", "--models", "there"], "drain", "there is no flag --models"),
    ],
)
def test_a_misspelt_flag_gets_its_commands_usage_and_the_nearest_flag(
    run: Any, arguments: list[Any], command: str, sentence: str
) -> None:
    found = run(*arguments)
    assert (found.code, found.out) == (2, "")
    assert found.err.startswith(f"usage: slipway {command} ")
    assert f"slipway {command}: error: {sentence}".replace(" [-h]:", ":") in found.err


@pytest.mark.parametrize("arguments", [["log", "tail", "-n5"], ["log", "tail", "-n", "5"], ["log", "tail", "--rows=5"]])
def test_flags_may_be_short_or_joined_to_their_values(run: Any, arguments: list[str], tmp_path: Path) -> None:
    assert "usage" not in run(*arguments, "--log-database", f"sqlite:///{tmp_path}/log.db").err


SERVICE = {
    "SERVICE_HOST": "10.0.0.1",
    "SERVICE_PORT": "80",
    "SERVICE_PORT_HTTP": "80",
    "PORT_80_TCP": "tcp://10.0.0.1:80",
    "PORT_80_TCP_PROTO": "tcp",
    "PORT_80_TCP_PORT": "80",
    "PORT_80_TCP_ADDR": "10.0.0.1",
}


@pytest.mark.parametrize("service", ["SLIPWAY", "SLIPWAY_X", "SLIPWAY_MODELS", "SLIPWAY_LOG_2"])
def test_what_kubernetes_sets_of_a_service_is_no_misspelt_setting(service: str) -> None:
    assert misspelt_variables({f"{service}_{name}": value for name, value in SERVICE.items()}) == []
    assert misspelt_variables({f"{service}_PORT": "tcp://10.0.0.1:80"}) == []


def test_a_misspelt_variable_is_named_with_the_nearest_setting_by_every_command(
    run: Any, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLIPWAY_WORKER", "4")
    sentence = "slipway: warning: SLIPWAY_WORKER is no setting and has no effect: did you mean SLIPWAY_WORKERS?\n"
    for arguments in (
        ["check", files / "models"],
        ["pack", files / "nowhere.joblib", "--name", "x"],
        ["log", "tail"],
        ["drain"],
    ):
        assert run(*arguments).err.startswith(sentence)


@given(st.sampled_from(sorted(Settings.model_fields)), st.data())
def test_a_setting_with_one_letter_wrong_is_found(name: str, data: st.DataObject) -> None:
    variable = f"SLIPWAY_{name.upper()}"
    assert misspelt_variables({variable: "1", variable.lower(): "1", "PATH": "/bin"}) == []
    place = data.draw(st.integers(8, len(variable) - 1))
    wrong = variable[:place] + "Q" + variable[place:]
    [sentence] = misspelt_variables({wrong: "1"})
    assert sentence == f"{wrong} is no setting and has no effect: did you mean {variable}?"


def test_a_message_names_the_flag_or_the_variable_that_was_typed() -> None:
    message = "choose another with SLIPWAY_HOST and SLIPWAY_PORT, or set SLIPWAY_COMPILED=true"
    assert spoken(message, {"host", "port", "compiled"}) == "choose another with --host and --port, or set --compiled"
    assert spoken(message, {"port"}, {"host"}) == (
        "choose another with SLIPWAY_HOST and --port, or set --compiled (SLIPWAY_COMPILED=true)"
    )
    assert spoken(message, ()) == message


def test_no_message_names_a_flag_for_a_setting_that_may_be_a_variable() -> None:
    """What serves is configured by either: `spoken` puts the flag where it was typed."""
    flags = re.compile(r"--(" + "|".join(name.replace("_", "-") for name in Settings.model_fields) + r")\b")
    files = [*ROOT.glob("service/slipway/*.py"), *ROOT.glob("service/slipway/*/*.py")]
    assert not [
        line
        for file in files
        if file.parent.name not in ("cli", "packing")
        for line in file.read_text().splitlines()
        if flags.search(line)
    ]

"""`slipway bench` measures real models for a moment."""

import gc
import json
import multiprocessing
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from slipway.errors import ArtifactError
from slipway.model.manifest import MANIFEST, read_manifest
from slipway.packing.example_models import train_and_pack
from slipway.packing.pack import pack
from slipway.prediction import benchmark
from slipway.prediction.benchmark import ESTIMATOR, compare
from slipway.prediction.comparison import BUSY, CACHED, LONE, RUNS, Comparison
from slipway.settings import Settings
from slipway.system import cpu
from tests.support.estimators import Noting, Slow

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def iris(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Packed with a compiled form."""
    return train_and_pack("iris", tmp_path_factory.mktemp("models")).directory


@pytest.fixture(scope="module")
def measured(iris: Path) -> tuple[Comparison, float]:
    """A comparison of a second, and the seconds that it took."""
    started = time.monotonic()
    return compare(iris, Settings(), seconds=1.0), time.monotonic() - started


def test_every_way_and_the_cache_are_measured_alone_and_under_load(measured: tuple[Comparison, float]) -> None:
    found = measured[0].measurements
    assert set(found) == {(way, callers) for way in (*RUNS, CACHED) for callers in (LONE, BUSY)}
    for figures in found.values():
        assert figures.requests_per_second > 0
        assert 0 < figures.p50 <= figures.p99


def test_a_compiled_form_is_what_answers_by_itself_and_what_is_recommended(measured: tuple[Comparison, float]) -> None:
    assert measured[0].recommended == measured[0].automatic == "compiled"
    assert measured[0].measurements["compiled", LONE].p50 < measured[0].measurements["inline", LONE].p50 / 2


def test_a_model_without_a_compiled_form_is_measured_without_it(tmp_path: Path) -> None:
    found = compare(packed(Slow().fit(), tmp_path), Settings(), seconds=0.2)
    assert {way for way, _ in found.measurements} == {*ESTIMATOR, CACHED}
    assert not found.packed_form


def test_a_compiled_form_that_cannot_be_used_is_said(iris: Path, tmp_path: Path) -> None:
    broken = tmp_path / "iris"
    shutil.copytree(iris, broken)
    form = read_manifest(broken).compiled  # type: ignore[union-attr]
    assert form is not None
    (broken / form.file).write_text("{}")
    found = compare(broken, Settings(), seconds=0.2)
    assert "compiled form cannot" in found.notes[0]
    assert ("compiled", LONE) not in found.measurements
    assert "slipway pack" not in found.verdict()


def test_the_processor_time_of_child_processes_counts() -> None:
    child = multiprocessing.get_context("spawn").Process(target=sum, args=(range(10**9),))
    child.start()
    try:
        deadline = time.monotonic() + 30
        while benchmark._cpu_seconds() - time.process_time() < 0.1:
            assert time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        child.kill()
        child.join()


def test_a_cached_answer_needs_no_inference(tmp_path: Path) -> None:
    found = compare(packed(Slow(0.005).fit(), tmp_path), Settings(), seconds=0.2).measurements
    assert found[CACHED, LONE].p50 < found["inline", LONE].p50 / 2


def test_callers_of_an_inline_model_wait_for_each_other(measured: tuple[Comparison, float]) -> None:
    found = measured[0].measurements
    assert found["inline", BUSY].p50 > found["inline", LONE].p50 * BUSY / 4


def test_the_time_is_bounded(measured: tuple[Comparison, float]) -> None:
    assert 1.0 <= measured[1] < 60.0  # starting a child process is most of it


def test_the_table_has_a_line_per_way_and_number_of_callers(measured: tuple[Comparison, float]) -> None:
    header, *lines = measured[0].table().splitlines()
    assert header.split()[:3] == ["way", "callers", "requests/s"]
    assert [tuple(line.split()[:2]) for line in lines] == [
        (way, str(callers)) for way, callers in measured[0].measurements
    ]
    assert len({len(line) for line in [header, *lines]}) == 1


def test_a_model_that_takes_as_long_for_many_rows_as_for_one_is_batched(tmp_path: Path) -> None:
    found = compare(packed(Slow(0.005).fit(), tmp_path), Settings(), seconds=2.0)
    assert found.recommended == found.automatic == "batched"
    assert (
        found.measurements["batched", BUSY].requests_per_second
        > 1.4 * found.measurements["thread", BUSY].requests_per_second
    )
    assert (
        found.measurements["thread", BUSY].requests_per_second
        > 2 * found.measurements["inline", BUSY].requests_per_second
    )
    assert found.measurements["inline", BUSY].loop_delay > 0.004


def test_without_batching_the_server_chooses_threads(tmp_path: Path) -> None:
    assert compare(packed(Slow(0.005).fit(), tmp_path), Settings(batching=False), seconds=0.2).automatic == "thread"


def test_many_rows_of_a_cheap_model_are_judged_as_one_request(iris: Path, measured: tuple[Comparison, float]) -> None:
    many = compare(iris, Settings(), rows=10_000, seconds=0.1)
    assert many.moment > measured[0].moment
    assert many.measurements["inline", LONE].p50 > measured[0].measurements["inline", LONE].p50 * 2


def test_each_request_brings_rows_of_its_own_and_the_garbage_collector_passes_over_what_was_there_before(
    tmp_path: Path,
) -> None:
    directory = packed(Noting().fit(), tmp_path)
    Noting.calls.clear()
    compare(directory, Settings(), rows=77, seconds=0.2)
    asked, passed_over = zip(*(call for call in Noting.calls if len(call[0]) == 77), strict=True)
    assert len(set(map(id, asked))) == len(asked) > 36
    assert min(passed_over[benchmark.WARM_UP :]) > len(gc.get_objects()) / 2
    assert gc.get_freeze_count() == 0


def test_a_model_without_example_rows_cannot_be_measured(tmp_path: Path) -> None:
    text = make_pipeline(CountVectorizer(), LogisticRegression()).fit(["good", "bad"], [1, 0])
    joblib.dump(text, tmp_path / "model.joblib")
    with pytest.raises(ArtifactError, match="no example rows to measure with: pack it with --data"):
        compare(tmp_path, Settings())


def test_a_model_that_does_not_answer_as_packed_is_not_measured(tmp_path: Path) -> None:
    directory = packed(Slow().fit(), tmp_path)
    manifest = json.loads((directory / MANIFEST).read_text())
    manifest["examples"][0]["prediction"] = 1
    (directory / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(ArtifactError, match="m cannot be measured: example 0 of its manifest expects 1, it answers 0"):
        compare(directory, Settings())


def test_a_bound_on_work_in_flight_that_is_too_low_is_said(iris: Path) -> None:
    with pytest.raises(ArtifactError, match="iris cannot be measured: All 1 places"):
        compare(iris, Settings(max_in_flight=1), seconds=0.1)


def test_a_folder_of_several_models_is_asked_which(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.joblib").touch()
    with pytest.raises(ArtifactError, match=r"holds 2 models: name one, such as .*/a$"):
        compare(tmp_path, Settings())


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nowhere"], "nowhere holds no model.joblib: name a model's folder"),
        (
            ["nowhere", "--rows", "0"],
            "--rows must be from 1 to 10000: a server refuses requests of more rows than SLIPWAY_MAX_ROWS",
        ),
        (["nowhere", "--rows", "10001"], "--rows must be from 1 to 10000: a server refuses"),
        (["nowhere", "--seconds", "0"], "--seconds must be above 0, and at most 3600"),
        (["nowhere", "--seconds", "-1"], "--seconds must be above 0, and at most 3600"),
        (["nowhere", "--seconds", "nan"], "--seconds must be above 0, and at most 3600"),
        (["nowhere", "--seconds", "inf"], "--seconds must be above 0, and at most 3600"),
        (["nowhere", "--seconds", "3601"], "--seconds must be above 0, and at most 3600"),
        (["nowhere", "--threads", "0"], "--threads: Input should be greater than or equal to 1"),
    ],
)
def test_what_cannot_be_measured_is_one_sentence(arguments: list[str], sentence: str) -> None:
    found = command(*arguments)
    assert (found.returncode, found.stdout) == (2, "")
    assert re.fullmatch(f"slipway: {re.escape(sentence)}.*\n", found.stderr)


def test_the_command_holds_the_libraries_to_the_cpu_limit_and_says_what_to_do(iris: Path) -> None:
    found = command(str(iris), "--seconds", "0.2", "--rows", "3")
    assert found.returncode == 0, found.stderr
    assert found.stdout.split("\n\n")[1].startswith("Recommended: compiled (the compiled form answers)")
    code = (
        "import os, sys; from slipway.cli.main import main\ntry: main()\nfinally: print(os.environ['OMP_NUM_THREADS'])"
    )
    assert command("nowhere", code=code).stdout == f"{cpu.thread_variables(cpu.cpu_limit(), 1)['OMP_NUM_THREADS']}\n"


def command(
    *arguments: str, code: str = "from slipway.cli.main import main; main()"
) -> "subprocess.CompletedProcess[str]":
    """`slipway bench` in a process of its own, on one worker's CPUs."""
    environment = {name: value for name, value in os.environ.items() if name not in cpu.THREAD_VARIABLES} | {
        "SLIPWAY_WORKERS": "1"
    }
    return subprocess.run(
        [sys.executable, "-c", code, "bench", *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def packed(estimator: Any, folder: Path) -> Path:
    joblib.dump(estimator, folder / "source.joblib")
    data = pd.DataFrame(np.zeros((3, 2)), columns=["a", "b"])
    return pack(folder / "source.joblib", name="m", output=folder / "models", data=data).directory

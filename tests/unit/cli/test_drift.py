"""`slipway drift` on a log in SQLite, as a user meets it."""

import asyncio
import json
import uuid
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sklearn.datasets import load_iris

from slipway.cli import main as cli
from slipway.packing.example_models import train_and_pack
from slipway.prediction_log.database import open_store
from slipway.prediction_log.record import Record
from slipway.prediction_log.upkeep.maintenance import migrate

DAY = datetime(2026, 11, 1, tzinfo=UTC).timestamp()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """iris packed, and a log with two days of it, petals in millimetres on the second; the model `bare` was never
    packed.
    """
    folder = tmp_path_factory.mktemp("drift")
    packed = train_and_pack("iris", folder / "models")
    names = packed.artifact.signature.names or ()
    records = []
    for i, row in enumerate(load_iris().data.tolist() * 32):
        day, model = i // 2400, "iris" if i % 4 else "bare"
        features = dict(zip(names, [*row[:2], row[2] * (10 if day else 1), row[3]], strict=True))
        key = str(uuid.UUID(int=int((DAY + day * 86400 + i) * 1000) << 80 | 7 << 76 | 2 << 62 | i))
        records.append(
            Record(
                key,
                DAY + day * 86400 + i % 2400,
                "r",
                0,
                model,
                "1",
                "sha256:0",
                "/predict",
                json.dumps(features),
                "0",
                0.9,
                0.1,
                None,
            )
        )

    async def write() -> None:
        store = open_store(url(folder))
        await store.open()
        await store.write(records)
        await store.close()

    migrate(url(folder))
    asyncio.run(write())
    return folder


def url(folder: Path) -> str:
    return f"sqlite:///{folder / 'log.db'}"


def drift(folder: Path, *arguments: str) -> int:
    common = [
        "--log-database",
        url(folder),
        "--models",
        str(folder / "models"),
        "--output",
        str(folder / "report.html"),
    ]
    with pytest.raises(SystemExit) as end:
        cli.main(["drift", *common, *arguments])
    return int(end.value.code or 0)


def test_the_data_at_packing_is_the_reference_where_none_is_named(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert drift(folder, "--model", "iris", "--current", "2026-11-02..2026-11-03") == 0
    printed = capsys.readouterr().out
    assert printed.startswith("iris 1: ")
    assert "petal_length" in printed.splitlines()[0]
    assert "compared with 150 of the data at packing" in (folder / "report.html").read_text()


def test_two_periods_of_a_model_that_was_never_packed_are_compared(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    period = "2026-11-01..2026-11-02"
    assert drift(folder, "--model", "bare", "--reference", period, "--current", "2026-11-02..2026-11-03") == 0
    assert "bare: 1 of 5 have drifted: petal_length." in capsys.readouterr().out
    assert drift(folder, "--model", "bare", "--reference", period, "--current", period) == 0
    assert "bare: Nothing has drifted." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--model", "typo"], "There is no model 'typo' in {models}, only iris: --models names the folder"),
        (["--version", "9"], "There is no version 9 of model 'iris' in {models}, only 1"),
        (["--models", "/nowhere"], "There is no model 'iris' in /nowhere, which does not exist: --models names"),
        (["--models", "/proc/self/fdinfo"], "There is no model 'iris' in /proc/self/fdinfo, which holds no model: "),
        (
            ["--model", "typo", "--reference", "2026-11-01..2026-11-02"],
            "The prediction log has no rows of model 'typo'; it has those of bare, ",
        ),
    ],
)
def test_a_model_that_is_not_there_is_not_blamed_for_how_it_was_packed(
    folder: Path, arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert drift(folder, "--model", "iris", "--current", "2026-11-02..2026-11-03", *arguments) == 2
    assert capsys.readouterr().err.startswith(f"slipway: {sentence.format(models=folder / 'models')}")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--current", "2026-11-02"], "--current: '2026-11-02' is no period: write START..END"),
        (["--current", "..2026-11-02"], "--current: '..2026-11-02' has no start: write START..END"),
        (["--current", "1d..", "--output", "x.txt"], "--output: x.txt ends in neither .html nor .htm"),
        (["--current", "2026-11-02..2026-11-01"], "ends before it begins"),
        (["--current", "1d..", "--reference", "monday.."], "--reference: 'monday' is no time"),
        (["--current", "2025-11-02..2025-11-03"], "The log has no rows of this model from 2025-11-02 to 2025-11-03"),
        (["--current", "2026-11-01..", "--output", "/nowhere/r.html"], "/nowhere/r.html cannot be written"),
    ],
)
def test_what_a_user_can_mend_is_one_sentence(
    folder: Path, arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert drift(folder, "--model", "iris", *arguments) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert error.startswith("slipway: ")
    assert len(error.splitlines()) == 1

"""`slipway log …` as a person calls it."""

import csv
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from slipway.cli.main import main
from slipway.prediction_log.stores.tables import REVISION_TABLE
from tests.support.logged import key, record, write


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    url = f"sqlite:///{tmp_path}/log.db"
    monkeypatch.setenv("SLIPWAY_LOG_DATABASE", url)
    return url


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as exit:
        main(["log", *arguments])
    return int(exit.value.code or 0)


def test_a_log_is_made_read_exported_and_kept_small(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("migrate") == 0
    assert "The schema is 0001 now; it was not there" in capsys.readouterr().out
    now = datetime.now(UTC)
    write(url, [record(1, now - timedelta(days=9)), record(2, now - timedelta(hours=1)), record(3, now, model="wine")])
    assert run("tail", "--rows", "2") == 0
    tail = capsys.readouterr().out.splitlines()
    assert [line.split()[3] for line in tail] == [key(2), key(3)]
    assert run("export", "--output", str(tmp_path / "x.csv"), "--model", "iris", "--since", "1d") == 0
    assert "Exported 1 rows" in capsys.readouterr().err
    assert len((tmp_path / "x.csv").read_text().splitlines()) == 2
    assert run("maintain", "--log-retention-days", "5") == 0
    assert "deleted: 1" in capsys.readouterr().out
    assert run("stats") == 0
    assert [line for line in capsys.readouterr().out.splitlines() if "rows" in line and ":" in line] == [
        "iris 1: 1 rows",
        "wine 1: 1 rows",
    ]


HOSTILE = "\x1b]0;x\x07\x9b\u202e\u2028\n"


def test_no_name_or_value_in_the_log_drives_the_terminal(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("migrate") == 0
    row = record(
        1,
        datetime.now(UTC),
        features=json.dumps({f"age{HOSTILE}": HOSTILE}, ensure_ascii=False),
        answer=json.dumps(HOSTILE),
        model=f"iris{HOSTILE}",
    )
    write(url, [row])
    capsys.readouterr()
    for command in ("tail", "stats"):
        assert run(command) == 0
        shown = capsys.readouterr().out.removesuffix("\n").split("\n")
        assert all(line.isprintable() for line in shown), command
        assert r"iris\x1b]0;x\x07\x9b\u202e\u2028\n" in shown[0]


def test_an_export_holds_no_formulas_unless_that_is_asked_for(url: str, tmp_path: Path) -> None:
    assert run("migrate") == 0
    now = datetime.now(UTC)
    write(url, [record(1, now, answer="\"=cmd|' /C calc'!A0\""), record(2, now + timedelta(seconds=1), answer='"-1"')])
    path = tmp_path / "x.csv"

    def answers() -> list[str]:
        with path.open(newline="") as file:
            return [row["answer"] for row in csv.DictReader(file)]

    assert run("export", "--output", str(path)) == 0
    assert answers() == ["'=cmd|' /C calc'!A0", "-1"]
    assert run("export", "--output", str(path), "--no-csv-defuse") == 0
    assert answers() == ["=cmd|' /C calc'!A0", "-1"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["stats"], "`slipway log migrate` makes it"),
        (["stats", "--since", "yesterday"], "'yesterday' is no time"),
        (["tail", "--rows", "0"], "--rows must be from 1 to 1000000"),
        (["tail", "--rows", "999999999999999999999"], "--rows must be from 1 to 1000000"),
        (["stats", "--since", "1d", "--until", "2d"], "--since 1d is not before --until 2d"),
        (
            ["export", "--output", "x.csv", "--since", "2026-11-02", "--until", "2026-11-02"],
            "--since 2026-11-02 is not before --until",
        ),
        (["export", "--output", "x.xlsx"], "x.xlsx ends in none of .csv, .parquet"),
        (["migrate", "--log-database", "mysql://me:hunter2@db/log"], "must be sqlite:///PATH or postgresql://"),
    ],
)
@pytest.mark.usefixtures("url")
def test_what_a_user_can_mend_is_a_sentence(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*arguments) == 2
    told = capsys.readouterr().err
    assert sentence in told
    assert "Traceback" not in told
    assert "hunter2" not in told


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--model", "iriss"], "The prediction log has no rows of model 'iriss'; it has those of iris, wine"),
        (
            ["--model", "iris", "--version", "3"],
            "The prediction log has no rows of model 'iris' in version '3'; it has 1, 2",
        ),
        (
            ["--version", "3"],
            "The prediction log has no rows of any model in version '3'; it has the models iris, wine",
        ),
    ],
)
def test_a_model_that_the_log_has_never_seen_is_an_error_that_lists_those_it_has(
    url: str, tmp_path: Path, arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run("migrate")
    write(url, [record(1), record(2, model="wine"), record(3)._replace(version="2"), record(4, model="wine")])
    output = tmp_path / "rows.csv"
    assert run("export", "--output", str(output), "--model", "iris") == 0
    exported = output.read_bytes()
    capsys.readouterr()
    for command in (["export", "--output", str(output)], ["tail"], ["stats"]):
        assert run(*command, *arguments) == 2
        assert capsys.readouterr() == ("", f"slipway: {sentence}\n")
    assert output.read_bytes() == exported


def test_a_period_without_rows_of_a_known_model_is_no_error(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("migrate")
    assert run("tail") == 0
    assert capsys.readouterr().err.endswith("The log has no such rows.\n")
    write(url, [record(1)])
    assert run("export", "--output", str(tmp_path / "x.csv"), "--model", "iris", "--until", "2020-01-01") == 0
    assert run("stats", "--model", "iris", "--until", "2020-01-01") == 0


@pytest.mark.parametrize(
    "statement", ["CREATE TABLE predictions (mine TEXT)", f"CREATE TABLE {REVISION_TABLE} (version_num TEXT)"]
)
@pytest.mark.usefixtures("url")
def test_a_database_of_another_program_is_left_as_it_is(
    tmp_path: Path, statement: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with closing(sqlite3.connect(tmp_path / "log.db")) as connection:
        connection.execute(statement)
        connection.execute("CREATE TABLE IF NOT EXISTS predictions (mine TEXT)")
    assert run("migrate") == 2
    assert "no version of Slipway vouches for: give the log a database of its own" in capsys.readouterr().err
    with closing(sqlite3.connect(tmp_path / "log.db")) as connection:
        assert [row[1] for row in connection.execute("PRAGMA table_info(predictions)")] == ["mine"]


@pytest.mark.parametrize("rows", ["1", "2000"])
def test_an_output_that_is_full_is_a_sentence(url: str, rows: str) -> None:
    run("migrate")
    write(url, [record(number) for number in range(2000)])
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-c", "from slipway.cli.main import main; main()", "log", "tail", "--rows", rows]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (2, "slipway: the output cannot be written: No space left on device\n")


@pytest.fixture
def somebody() -> Iterator[int]:
    """An ordinary user, who this process is meanwhile: root may write everything."""
    if os.geteuid() != 0:
        yield os.geteuid()
        return
    os.seteuid(65534)
    try:
        yield 65534
    finally:
        os.seteuid(0)


@pytest.mark.parametrize("exists", [False, True])
def test_where_the_volume_is_not_writable_migrate_says_who_may_not_write_what_and_does_not_advise_itself(
    exists: bool, capsys: pytest.CaptureFixture[str], request: pytest.FixtureRequest
) -> None:
    with tempfile.TemporaryDirectory() as folder:  # that others may enter
        path = Path(folder) / "log.db"
        if exists:
            path.write_bytes(b"")
        Path(folder).chmod(0o555)
        user = request.getfixturevalue("somebody")
        assert run("migrate", "--log-database", f"sqlite:///{path}") == 2
        told = capsys.readouterr().err
        if os.getuid() == 0:
            os.seteuid(0)
        Path(folder).chmod(0o755)
    assert f"user {user} (group " in told
    assert f"may not write {folder}: give it to that user with chown" in told
    assert "fsGroup" in told
    assert "migrate" not in told

"""`slipway log …` as a person calls it."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from service.cli import main
from tests.logged import key, record, write


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    url = f"sqlite:///{tmp_path}/log.db"
    monkeypatch.setenv("SLIPWAY_LOG_DATABASE", url)
    return url


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as exit:
        main(["log", *arguments])
    return int(exit.value.code or 0)


def test_a_log_is_made_read_exported_and_kept_small(url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
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
    assert [line for line in capsys.readouterr().out.splitlines() if "rows" in line and ":" in line] == ["iris 1: 1 rows", "wine 1: 1 rows"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["stats"], "`slipway log migrate` makes it"),
        (["stats", "--since", "yesterday"], "'yesterday' is no time"),
        (["tail", "--rows", "0"], "--rows must be above 0"),
        (["export", "--output", "x.xlsx"], "x.xlsx ends in none of .csv, .parquet"),
        (["migrate", "--log-database", "mysql://me:hunter2@db/log"], "must be sqlite:///PATH or postgresql://"),
    ],
)
@pytest.mark.usefixtures("url")
def test_what_a_user_can_mend_is_a_sentence(arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*arguments) == 2
    told = capsys.readouterr().err
    assert sentence in told
    assert "Traceback" not in told
    assert "hunter2" not in told

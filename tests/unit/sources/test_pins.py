"""Which version answers, and changing that in models.toml without losing what else it says."""

from pathlib import Path

import pytest

from slipway.errors import ArtifactError
from slipway.sources.folder import read_overrides
from slipway.sources.pins import held, pin, roll_back, unpin

TOML = "# ours\n[churn]\nlazy = true  # rarely asked\n\n[iris]\ndefault = true\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, version in (("churn", "2"), ("churn", "10"), ("churn", "1"), ("iris", "1")):
        (tmp_path / name / version).mkdir(parents=True)
        (tmp_path / name / version / "model.joblib").touch()
    return tmp_path


def default(folder: Path) -> tuple[str, bool]:
    """Of churn, and whether it is pinned."""
    (found,) = [each for each in held(folder) if each.name == "churn" and each.default]
    return found.version, found.pinned


def test_a_version_is_pinned_rolled_back_and_let_go_and_comments_stay(folder: Path) -> None:
    (folder / "models.toml").write_text(TOML)
    (folder / "models.toml").chmod(0o640)
    assert default(folder) == ("10", False)
    pin(folder, "churn", "2")
    assert default(folder) == ("2", True)
    assert roll_back(folder, "churn") == ("2", "1")
    assert default(folder) == ("1", True)
    assert (folder / "models.toml").read_text().replace('version = "1"\n', "") == TOML
    assert (folder / "models.toml").stat().st_mode & 0o777 == 0o640
    assert unpin(folder, "churn") == "10"
    assert (folder / "models.toml").read_text() == TOML
    assert roll_back(folder, "churn") == ("10", "2")


def test_without_a_file_there_is_one_that_a_server_of_another_user_can_read(folder: Path) -> None:
    pin(folder, "churn", "2")
    assert (folder / "models.toml").stat().st_mode & 0o777 == 0o644
    assert read_overrides(folder)["churn"].version == "2"
    assert not list(folder.glob(".models*"))
    unpin(folder, "churn")
    assert read_overrides(folder) == {}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda folder: pin(folder, "chrun", "1"), "no model chrun in .*; there are churn, iris"),
        (lambda folder: pin(folder, "churn", "3"), "churn has no version 3 in .*; there are 1, 2, 10"),
        (lambda folder: unpin(folder, "churn"), "pins no version of churn: the highest, 10, answers"),
        (lambda folder: roll_back(folder, "iris"), "no version before 1 in .*; there are 1$"),
    ],
)
def test_what_is_not_there_is_named_with_what_is(folder: Path, change, sentence: str) -> None:
    (folder / "models.toml").write_text(TOML)
    with pytest.raises(ArtifactError, match=sentence):
        change(folder)
    assert (folder / "models.toml").read_text() == TOML


def test_a_file_that_no_server_would_read_is_not_written(folder: Path) -> None:
    (folder / "models.toml").write_text("[churn]\nlazzy = true\n")
    with pytest.raises(ArtifactError, match="lazzy"):
        pin(folder, "churn", "2")

"""Whether the files of models have changed."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from slipway.sources.changes import Watch


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path / "models" / "iris" / "1" / "model.joblib", b"old")
    return tmp_path / "models"


def write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def other_content_of_the_same_size(folder: Path) -> None:
    path = folder / "iris" / "1" / "model.joblib"
    path.write_bytes(b"new")
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))


def other_content_of_the_same_size_and_time(folder: Path) -> None:
    path = folder / "iris" / "1" / "model.joblib"
    before = path.stat()
    write(folder / "beside", b"new")
    os.utime(folder / "beside", ns=(before.st_atime_ns, before.st_mtime_ns))
    (folder / "beside").rename(path)


def another_version(folder: Path) -> None:
    write(folder / "iris" / "2" / "model.joblib", b"old")


def another_file_of_a_model(folder: Path) -> None:
    write(folder / "iris" / "1" / "manifest.json", b"{}")


def overrides(folder: Path) -> None:
    write(folder / "models.toml", b"")


CHANGES = [
    other_content_of_the_same_size,
    other_content_of_the_same_size_and_time,
    another_version,
    another_file_of_a_model,
    overrides,
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_change_is_told_once_when_two_looks_have_found_the_same(folder: Path, change: Callable[[Path], None]) -> None:
    watch = Watch(folder)
    assert not watch.changed()
    change(folder)
    assert [watch.changed() for _ in range(4)] == [False, True, False, False]


def test_what_is_still_being_copied_is_waited_for(folder: Path) -> None:
    watch = Watch(folder)
    for length in range(1, 4):
        write(folder / "iris" / "2" / "model.joblib", b"x" * length)
        assert not watch.changed()
    assert watch.changed()


def test_what_is_as_it_was_again_is_no_change(folder: Path) -> None:
    watch = Watch(folder)
    overrides(folder)
    assert not watch.changed()
    (folder / "models.toml").unlink()
    assert [watch.changed() for _ in range(3)] == [False, False, False]


def test_a_turned_link_is_a_change_as_kubernetes_makes_them(tmp_path: Path) -> None:
    for name in ("old", "new"):
        write(tmp_path / name / "model.joblib", b"same")
    mounted = tmp_path / "models" / "iris" / "1"
    mounted.mkdir(parents=True)
    (mounted / "..data").symlink_to(tmp_path / "old")
    (mounted / "model.joblib").symlink_to("..data/model.joblib")
    watch = Watch(tmp_path / "models")
    (mounted / "..data_tmp").symlink_to(tmp_path / "new")
    (mounted / "..data_tmp").rename(mounted / "..data")
    assert [watch.changed() for _ in range(3)] == [False, True, False]


def test_a_folder_that_is_gone_for_a_while_is_told_when_it_is_another(folder: Path) -> None:
    watch = Watch(folder)
    folder.rename(folder.parent / "away")
    assert [watch.changed() for _ in range(3)] == [False, True, False]
    (folder.parent / "away").rename(folder)
    assert [watch.changed() for _ in range(3)] == [False, True, False]

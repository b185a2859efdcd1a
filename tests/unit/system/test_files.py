"""Files are read only so far as there is memory for them, and written whole or not at all."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from slipway.errors import ArtifactError
from slipway.system.files import make_private_folder, whole

ROOT = Path(__file__).resolve().parents[3]


def test_a_file_that_does_not_fit_into_memory_is_an_error_of_the_system(tmp_path: Path) -> None:
    file = tmp_path / "large"
    file.touch()
    code = f"""
import os, resource
from pathlib import Path
from slipway.system.files import read_file
os.truncate({str(file)!r}, 2**30)
resource.setrlimit(resource.RLIMIT_AS, (2**29, 2**29))
try:
    read_file(Path({str(file)!r}), 2**31)
except OSError as error:
    print(error.strerror)
"""
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    assert found.stdout == "Its 1,073,741,824 bytes do not fit into memory\n"


def test_a_file_is_written_whole_or_stays_as_it_was(tmp_path: Path) -> None:
    output = tmp_path / "answers.csv"
    output.write_text("old")
    with pytest.raises(UnicodeEncodeError), whole(output) as partial:
        partial.write_text("half \ud800", encoding="utf-8")
    assert [file.name for file in tmp_path.iterdir()] == ["answers.csv"]
    assert output.read_text() == "old"
    with whole(output) as partial:
        partial.write_text("new")
        assert output.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["answers.csv"]
    assert output.read_text() == "new"


def test_what_a_symbolic_link_names_is_written_and_the_link_stays(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "real/file")
    with whole(link) as partial:
        partial.write_text("new")
    assert link.is_symlink()
    assert (tmp_path / "real/file").read_text() == "new"


@pytest.mark.parametrize("output", [Path(), Path("/"), Path("/dev/null")])
def test_a_folder_or_a_device_is_not_written(output: Path) -> None:
    with pytest.raises(ArtifactError, match="is a folder or a device: name a file"), whole(output):
        pytest.fail("nothing may be written")


def test_a_disk_that_does_not_take_the_file_is_named(tmp_path: Path) -> None:
    message = "missing/file cannot be written: No such file or directory"
    with pytest.raises(ArtifactError, match=message), whole(tmp_path / "missing/file") as partial:
        partial.write_text("new")


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_output_and_the_folders_that_are_made_are_for_their_owner_alone(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        make_private_folder(tmp_path / "a" / "b")
        (tmp_path / "a" / f".out.csv.{os.getpid()}").touch(0o666)  # of a process that was killed
        with whole(tmp_path / "a" / "out.csv") as partial:
            assert stat.S_IMODE(partial.stat().st_mode) == 0o600
            partial.write_text("new")
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.rglob("*")}
    assert modes == {"a": 0o700, "b": 0o700, "out.csv": 0o600}

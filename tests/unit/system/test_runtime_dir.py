"""The runtime folder: whose it is, what is left in it of an earlier life, and whether a server lives there."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from slipway.system import runtime_dir as runtime
from slipway.system.runtime_dir import CannotStart, board_path, claim, in_use, metrics_path, runtime_dir

ROOT = Path(__file__).resolve().parents[3]


def test_each_user_and_port_has_a_folder_of_its_own() -> None:
    assert runtime_dir(None, 8000) == Path(f"/dev/shm/slipway-{os.getuid()}-8000")
    assert runtime_dir(Path("/run/x"), 9000) == Path(f"/run/x/slipway-{os.getuid()}-9000")


def test_without_shared_memory_it_is_in_the_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "SHARED_MEMORY", tmp_path / "none")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert runtime_dir(None, 8000).parent == tmp_path


def test_a_claimed_folder_is_private_and_cleared_of_an_earlier_life(tmp_path: Path) -> None:
    folder = tmp_path / "base" / "slipway"
    folder.mkdir(parents=True, mode=0o755)
    board_path(folder).write_bytes(b"\x01 a drain mark")
    metrics_path(folder).mkdir()
    (metrics_path(folder) / "counter_0.db").write_bytes(b"old totals")
    claim(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert [path.name for path in folder.rglob("*")] == ["metrics"]


def test_a_folder_is_claimed_once_at_a_time_and_not_wiped_under_a_living_server(tmp_path: Path) -> None:
    folder = tmp_path / "slipway"
    assert not in_use(folder)
    claim(folder)
    assert in_use(folder)
    board_path(folder).write_bytes(b"of the living")
    with pytest.raises(CannotStart, match="in use by another Slipway server"):
        claim(folder)
    assert board_path(folder).read_bytes() == b"of the living"


def test_the_claim_ends_with_the_process_however_it_dies(tmp_path: Path) -> None:
    folder = tmp_path / "slipway"
    code = "import os, sys; from pathlib import Path; from slipway.system.runtime_dir import claim; "
    code += "claim(Path(sys.argv[1])); os.kill(os.getpid(), 9)"
    ended = subprocess.run([sys.executable, "-c", code, folder], cwd=ROOT, check=False)
    assert ended.returncode == -9
    assert not in_use(folder)
    claim(folder)


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "slipway").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CannotStart, match="cannot be used"):
        claim(tmp_path / "slipway")
    assert not in_use(tmp_path / "slipway")


def test_a_folder_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "slipway").mkdir()
    monkeypatch.setattr(os, "geteuid", lambda: (tmp_path / "slipway").stat().st_uid + 1)
    with pytest.raises(CannotStart, match="belongs to another user"):
        claim(tmp_path / "slipway")


def test_what_cannot_be_made_is_a_sentence_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CannotStart, match=r"cannot be used .*: set SLIPWAY_RUNTIME_DIR"):
        claim(tmp_path / "file" / "slipway")

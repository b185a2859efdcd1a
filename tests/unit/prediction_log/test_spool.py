"""The spool on local disk: order, bounds, torn lines, and what becomes of the files of a worker that is dead."""

import fcntl
import multiprocessing
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from slipway.prediction_log import spool as module
from slipway.prediction_log.spool import Spool, SpoolFull

MUCH = 1 << 30


def lines(*numbers: int) -> list[bytes]:
    return [b"%d\n" % number for number in numbers]


def drained(spool: Spool, most: int = 1000) -> list[bytes]:
    found: list[bytes] = []
    while part := spool.read(most):
        found += part
        spool.committed()
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def spool(folder: Path) -> Iterator[Spool]:
    spool = Spool(folder, MUCH)
    yield spool
    spool.close()


def test_nothing_touches_the_disk_before_the_first_line(spool: Spool, folder: Path) -> None:
    assert (spool.adopt(), spool.read(10), spool.size(), spool.empty) == (0, [], 0, True)
    assert not folder.exists()


@pytest.mark.parametrize("durable", [False, True])
def test_lines_come_back_in_their_order_and_leave_no_file(spool: Spool, folder: Path, durable: bool) -> None:
    for start in range(0, 50, 5):
        spool.append(lines(*range(start, start + 5)), durable=durable)
    assert spool.size() == sum(map(len, lines(*range(50))))
    assert drained(spool, most=7) == lines(*range(50))
    assert spool.empty
    assert not list(folder.glob("*.jsonl"))


def test_a_durable_line_is_in_a_file_that_its_folder_names_after_a_power_cut(
    spool: Spool, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forced: list[Path] = []
    monkeypatch.setattr(module, "sync_folder", forced.append)
    spool.append(lines(1), durable=False)
    assert forced == []
    for number in (2, 3):
        spool.append(lines(number), durable=True)
    assert forced == [folder]


def test_lines_stay_until_they_are_committed(spool: Spool) -> None:
    spool.append(lines(1, 2, 3), durable=False)
    assert spool.read(2) == lines(1, 2)
    assert spool.read(2) == lines(1, 2)
    spool.committed()
    assert spool.read(2) == lines(3)


def test_lines_that_come_while_others_are_read_are_not_lost(spool: Spool) -> None:
    spool.append(lines(1), durable=False)
    assert spool.read(10) == lines(1)
    spool.append(lines(2), durable=False)
    spool.committed()
    assert spool.read(10) == lines(2)


def test_a_long_backlog_is_split_into_files_that_go_one_by_one(
    spool: Spool, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SEGMENT_BYTES", 20)
    for number in range(100, 130):
        spool.append(lines(number), durable=False)
    files = len(list(folder.glob("*.jsonl")))
    assert files == 6  # 30 lines of 4 bytes, 5 in each
    assert spool.read(5) == lines(*range(100, 105))
    spool.committed()
    assert len(list(folder.glob("*.jsonl"))) == files - 1
    assert drained(spool) == lines(*range(105, 130))


def test_the_bound_holds_for_all_workers_together(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MEASURED_FOR", 0.0)
    first, second = Spool(folder, 10), Spool(folder, 10)
    first.append([b"1234\n"], durable=False)
    second.append([b"6789\n"], durable=False)
    for spool in (first, second):
        with pytest.raises(SpoolFull, match="SLIPWAY_LOG_SPOOL_BYTES"):
            spool.append([b"x\n"], durable=False)
    assert drained(first) == [b"1234\n"]
    first.append([b"x\n"], durable=False)
    first.close()
    second.close()


def test_the_files_of_a_living_worker_are_its_own(spool: Spool, folder: Path) -> None:
    spool.append(lines(1), durable=False)
    other = Spool(folder, MUCH)
    assert other.adopt() == 0
    assert other.read(10) == []
    other.close()
    assert drained(spool) == lines(1)


def test_a_lock_that_another_worker_took_for_a_dead_ones_is_replaced_by_a_new_one(spool: Spool, folder: Path) -> None:
    folder.mkdir(mode=0o700)
    with (folder / f"{spool._owner}.lock").open("w") as taken:
        fcntl.flock(taken, fcntl.LOCK_EX | fcntl.LOCK_NB)
        spool.check()
        spool.append(lines(1, 2), durable=False)
        assert drained(spool) == lines(1, 2)


def test_files_of_a_worker_that_is_gone_come_before_the_own(spool: Spool, folder: Path) -> None:
    gone = Spool(folder, MUCH)
    gone.append(lines(1, 2), durable=False)
    spool.append(lines(3, 4), durable=False)
    assert spool.read(1) == lines(3)
    gone.close()
    assert spool.adopt() == 1
    spool.committed()  # of what was read before: it is read again, and replayed to no effect
    assert drained(spool) == lines(1, 2, 3, 4)
    assert len(list(folder.iterdir())) == 1  # its own lock


def test_lines_appended_after_an_adoption_are_not_lost(spool: Spool, folder: Path) -> None:
    gone = Spool(folder, MUCH)
    gone.append(lines(1), durable=False)
    spool.append(lines(2), durable=False)
    gone.close()
    spool.adopt()
    assert spool.read(1) == lines(1)
    spool.append(lines(3), durable=False)
    spool.committed()
    assert drained(spool) == lines(2, 3)


def write_and_wait(folder: Path, ready: "multiprocessing.synchronize.Event") -> None:
    Spool(folder, MUCH).append([*lines(1, 2), b"torn"], durable=False)
    ready.set()
    signal.pause()


def test_what_a_killed_worker_wrote_is_taken_over_without_its_torn_line(spool: Spool, folder: Path) -> None:
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    process = context.Process(target=write_and_wait, args=(folder, ready))
    process.start()
    assert ready.wait(60)
    assert spool.adopt() == 0
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert spool.adopt() == 1
    assert drained(spool) == lines(1, 2)
    assert not list(folder.glob("*.jsonl"))


def test_a_write_that_fails_leaves_nothing_behind(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    spool.append(lines(1), durable=False)

    def fail(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fdatasync", fail)
    with pytest.raises(OSError, match="No space"):
        spool.append(lines(2), durable=True)
    monkeypatch.undo()
    spool.append(lines(3), durable=True)
    assert drained(spool) == lines(1, 3)


def test_the_folder_and_its_files_are_for_their_owner_alone(spool: Spool, folder: Path) -> None:
    spool.append(lines(1), durable=False)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}


def test_other_files_in_the_folder_are_left_alone(spool: Spool, folder: Path) -> None:
    folder.mkdir()
    (folder / "lost+found").mkdir()
    (folder / "notes.jsonl").write_text("mine\n")
    assert spool.adopt() == 0
    spool.append(lines(1), durable=False)
    assert drained(spool) == lines(1)
    assert (folder / "notes.jsonl").exists()

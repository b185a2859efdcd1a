"""The board between processes: what makes a pod ready, the drain mark, the count of connections."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from slipway.system import board as lifecycle
from slipway.system.board import Board, Lifecycle

ROOT = Path(__file__).resolve().parents[3]


def test_a_pod_is_ready_when_every_worker_has_answered_well() -> None:
    board = Board(None, slots=2)
    assert board.verdict() == "0 of 2 workers have answered their models' example rows"
    board.report(0, None)
    assert board.verdict() == "1 of 2 workers have answered their models' example rows"
    board.report(1, None)
    assert board.verdict() is None


def test_one_workers_bad_answer_makes_the_pod_unready_and_is_the_reason() -> None:
    board = Board(None, slots=2)
    board.report(0, None)
    board.report(1, "model iris 1: class 2 instead of 0")
    assert board.verdict() == "model iris 1: class 2 instead of 0"
    board.report(1, None)
    assert board.verdict() is None


@pytest.mark.parametrize(
    ("age", "verdict"),
    [(9.5, None), (10.6, f"worker {os.getpid()} has not checked its models for 11 s")],
    ids=["fresh", "stale"],
)
def test_a_report_counts_for_ten_seconds(age: float, verdict: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    board = Board(None, slots=1)
    now = time.monotonic()
    with monkeypatch.context() as patch:
        patch.setattr(time, "monotonic", lambda: now - age)
        board.report(0, None)
    assert board.verdict() == verdict


def test_a_dead_workers_slot_is_empty_until_its_successor_reports() -> None:
    board = Board(None, slots=2)
    board.report(0, None)
    board.report(1, None)
    board.connections(1, 7)
    board.clear(1)
    assert board.verdict() == "1 of 2 workers have answered their models' example rows"
    assert board.total_connections() == 0
    assert not board.reported(1)
    board.report(1, None)
    assert board.verdict() is None


def test_a_retired_worker_neither_makes_the_pod_ready_nor_unready() -> None:
    board = Board(None, slots=1)
    board.report(0, "old and broken")
    board.retire(0)
    assert board.verdict() == "0 of 1 workers have answered their models' example rows"
    board.report(1, None)
    assert board.verdict() is None


def test_more_workers_than_expected_do_no_harm_and_expectations_can_rise() -> None:
    board = Board(None, slots=1)
    board.report(0, None)
    board.report(5, None)
    assert board.verdict() is None
    board.expected = 3
    assert board.verdict() == "2 of 3 workers have answered their models' example rows"


def test_long_errors_are_cut_between_characters() -> None:
    board = Board(None, slots=1)
    board.report(0, "x" + "é" * 500)
    verdict = board.verdict()
    assert verdict is not None
    assert verdict == "x" + "é" * (len(verdict) - 1)
    assert 100 < len(verdict) < 500


def test_a_short_error_does_not_show_the_tail_of_an_earlier_one() -> None:
    board = Board(None, slots=1)
    board.report(0, "a long explanation")
    board.report(0, "short")
    assert board.verdict() == "short"


def test_connections_are_counted_over_all_workers() -> None:
    board = Board(None, slots=2)
    board.connections(0, 3)
    board.connections(1, 4)
    assert board.total_connections() == 7


def test_the_least_loaded_of_the_others_is_known_once_it_serves() -> None:
    board = Board(None, slots=3)
    assert board.fewest_connections(besides=0) is None
    board.connections(1, 9)
    board.connections(2, 4)
    board.report(1, None)
    assert board.fewest_connections(besides=0) == 9
    board.report(2, None)
    assert board.fewest_connections(besides=0) == 4
    board.retire(2)
    assert board.fewest_connections(besides=0) == 9


def test_slots_outside_the_board_are_refused() -> None:
    board = Board(None, slots=1)
    with pytest.raises(IndexError):
        board.report(lifecycle.SLOTS, None)
    with pytest.raises(IndexError):
        board.report(-1, None)


def test_draining_is_seen_by_every_lifecycle_on_the_board() -> None:
    board = Board(None, slots=1)
    worker = Lifecycle(board, slot=0)
    assert not worker.draining
    board.draining = True
    assert worker.draining


def test_another_process_sees_the_board_and_can_set_the_drain_mark(tmp_path: Path) -> None:
    board = Board(tmp_path / "board", slots=1)
    board.report(0, None)
    board.connections(0, 5)
    code = """if True:
        import sys
        from pathlib import Path
        from slipway.system.board import Board
        board = Board.attach(Path(sys.argv[1]))
        assert board.verdict() is None, board.verdict()
        assert board.total_connections() == 5
        board.draining = True
    """
    subprocess.run([sys.executable, "-c", code, tmp_path / "board"], cwd=ROOT, check=True)
    assert board.draining


def test_a_board_is_private_and_never_made_over_something_that_is_there(tmp_path: Path) -> None:
    Board(tmp_path / "board", slots=1)
    assert (tmp_path / "board").stat().st_mode & 0o777 == 0o600
    with pytest.raises(FileExistsError):
        Board(tmp_path / "board", slots=1)


def test_nothing_to_attach_to_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Board.attach(tmp_path / "board")


@pytest.mark.timeout(20)
def test_a_note_of_any_worker_that_serves_is_found_and_taken_back() -> None:
    board = Board(None, slots=2)
    for slot in (0, 1):
        board.report(slot, None)
    assert board.first_note() is None
    board.note(1, "the database is away" + "ä" * 300)
    assert (board.first_note() or "").startswith("the database is away")
    assert board.verdict() is None
    board.note(1, None)
    assert board.first_note() is None
    board.note(0, "stays")
    board.clear(0)
    assert board.first_note() is None

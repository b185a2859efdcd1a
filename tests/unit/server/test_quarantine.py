"""Who hangs or ends its worker again and again is set aside, and for how long; what a board tells of a worker that
has died.
"""

import pytest

from slipway.engine.marks import Marks
from slipway.server import quarantine
from slipway.server.quarantine import ASIDE, MOST, WITHIN, Quarantine
from slipway.system.board import MARKS, Board, InHand, Lifecycle
from slipway.telemetry.metrics import Metrics

PREDICTING = InHand("iris 1", "predict", ("id",))


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def board() -> Board:
    return Board(None, slots=1)


@pytest.fixture
def ward(board: Board, clock: Clock) -> Quarantine:
    return Quarantine(board, Metrics(None, None), clock)


def test_a_model_is_set_aside_at_the_third_time_and_tried_again_after_a_while(
    ward: Quarantine, board: Board, clock: Clock
) -> None:
    for _ in range(MOST - 1):
        ward.strike(PREDICTING, "hung")
    assert board.aside == {}
    ward.strike(PREDICTING, "hung")
    assert "it did not return in time; it is tried again after 10 minutes" in board.aside["iris 1"]
    clock.now += ASIDE - 1
    ward.release()
    assert board.aside
    clock.now += 1
    ward.release()
    assert board.aside == {}
    ward.strike(PREDICTING, "hung")  # it begins anew
    assert board.aside == {}


def test_strikes_that_are_long_ago_do_not_count(ward: Quarantine, board: Board, clock: Clock) -> None:
    for _ in range(MOST * 2):
        ward.strike(PREDICTING, "died")
        clock.now += WITHIN / (MOST - 1) + 1
    assert board.aside == {}


def test_who_fails_before_it_has_answered_anybody_stays_aside_until_the_models_are_read_anew(
    ward: Quarantine, board: Board, clock: Clock
) -> None:
    for _ in range(MOST):
        ward.strike(InHand("iris 1", "check", ()), "died")
    clock.now += 1_000_000
    ward.release()
    assert "after a restart" in board.aside["iris 1"]
    ward.clear()
    assert board.aside == {}


def test_of_several_models_at_work_in_a_worker_that_died_none_is_blamed(ward: Quarantine, board: Board) -> None:
    for _ in range(MOST):
        ward.lost([PREDICTING, InHand("other 1", "predict", ())], "died", "it died")
    assert board.aside == {}
    for _ in range(MOST):
        ward.lost([PREDICTING, PREDICTING], "died", "it died")
    assert list(board.aside) == ["iris 1"]


def test_the_board_has_room_for_however_many_are_set_aside(
    ward: Quarantine, board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quarantine, "MOST", 1)
    names = [f"{'m' * 60}-{i} 1" for i in range(300)]
    for name in names:
        for _ in range(MOST):
            ward.strike(InHand(name, "predict", ()), "hung")
    assert set(board.aside) <= set(names)
    assert len(board.aside) == 100


def test_what_a_worker_has_in_hand_is_on_the_board_until_it_is_done() -> None:
    board = Board(None, slots=1)
    marks = Marks(Lifecycle(board, 3))
    longest = "x" * 128
    with marks.held("iris 1", "load"), marks.held("iris 2", "predict", [longest, longest, longest]):
        marks.inline.begin(b"iris 3 predict an-id\n")
        assert set(board.in_hand(3)) == {
            InHand("iris 1", "load", ()),
            InHand("iris 2", "predict", (longest, longest)),
            InHand("iris 3", "predict", ("an-id",)),
        }
        marks.inline.end()
        assert len(board.in_hand(3)) == 2
        assert board.in_hand(2) == []
    assert board.in_hand(3) == []


def test_more_than_there_are_marks_for_can_be_at_work() -> None:
    board = Board(None, slots=1)
    marks = Marks(Lifecycle(board))
    held = [marks.held("iris 1", "predict") for _ in range(MARKS + 2)]
    for each in held:
        each.__enter__()
    assert len(board.in_hand(0)) == MARKS - 1
    for each in held:
        each.__exit__(None, None, None)
    assert board.in_hand(0) == []
    with marks.held("iris 1", "predict"):
        assert len(board.in_hand(0)) == 1


def test_a_complaint_is_taken_once() -> None:
    board = Board(None, slots=1)
    Marks(Lifecycle(board, 1)).given_up("iris 1", "predict", ["id"])
    assert board.take_complaint(0) is None
    assert board.take_complaint(1) == (PREDICTING, "hung")
    assert board.take_complaint(1) is None


def test_of_several_reasons_each_is_told(ward: Quarantine, board: Board) -> None:
    for reason in ("died", "hung", "died"):
        ward.strike(PREDICTING, reason)  # type: ignore[arg-type]
    assert (
        "3 times within 10 minutes it ended its process (2) or it did not return in time (1);" in board.aside["iris 1"]
    )

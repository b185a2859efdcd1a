"""One row in plain Python and many with numpy are decided alike, and as scikit-learn decides."""

import math
from typing import Any

import numpy as np
import pytest

from slipway.model.compiled.decision import Decision, NotANumber

THREE, TWO = ("a", "b", "c"), (False, True)
DECISIONS = [
    (Decision("value"), 1),
    (Decision("value", divisor=7.0), 1),
    (Decision("value"), 2),
    (Decision("exponential"), 1),
    (Decision("sigmoid", TWO), 1),
    (Decision("sigmoid", TWO, at_zero=1), 1),
    (Decision("sign", TWO), 1),
    (Decision("sign", TWO, at_zero=1), 1),
    (Decision("softmax", THREE), 3),
    (Decision("one_vs_rest", THREE), 3),
    (Decision("one_vs_rest_or_none", THREE), 3),
    (Decision("largest", THREE), 3),
    (Decision("shares", THREE, divisor=10.0), 3),
    (Decision("votes", THREE, divisor=10.0), 2),
]
NAMES = [
    f"{decision.kind}, {outputs} by {decision.divisor:g}, {decision.at_zero} at 0" for decision, outputs in DECISIONS
]


def one_by_one(decision: Decision, scores: np.ndarray[Any, Any]) -> list[Any]:
    return list(zip(*map(decision.for_one(), scores.tolist()), strict=True))


@pytest.mark.parametrize(("decision", "outputs"), DECISIONS, ids=NAMES)
def test_a_row_is_decided_alone_as_among_others(decision: Decision, outputs: int) -> None:
    scores = np.random.default_rng(0).integers(-4, 5, (300, outputs)).astype(float)  # with ties, zeros and equal rows
    together = decision.for_many(scores)
    predictions, confidences, probabilities = one_by_one(decision, scores)
    assert together.predictions == list(predictions)
    assert [type(value) for value in together.predictions] == [type(value) for value in predictions]
    if together.probabilities is None:
        assert together.confidences == list(confidences)
        assert set(probabilities) == {None}
    else:
        np.testing.assert_allclose(together.confidences, confidences, rtol=1e-14)
        np.testing.assert_allclose(together.probabilities, probabilities, rtol=1e-14)


@pytest.mark.parametrize("score", [-1000.0, -40.0, -1e-300, 0.0, 1e-300, 40.0, 1000.0])
def test_a_probability_of_two_classes_never_overflows(score: float) -> None:
    prediction, confidence, probabilities = Decision("sigmoid", TWO).for_one()([score])
    assert probabilities is not None
    assert sum(probabilities) == pytest.approx(1.0)
    assert prediction is (score > 0)
    assert confidence == probabilities[prediction]


@pytest.mark.parametrize(("kind", "share"), [("one_vs_rest", 1 / 3), ("one_vs_rest_or_none", 0.0)])
def test_where_no_class_has_any_probability_the_estimator_makes_them_equal_or_leaves_them(
    kind: Any, share: float
) -> None:
    """SGDClassifier and OneVsRestClassifier, in this order."""
    decision = Decision(kind, THREE)
    assert decision.for_one()([-900.0, -800.0, -1000.0]) == ("b", share, [share] * 3)
    together = decision.for_many(np.array([[-900.0, -800.0, -1000.0]]))
    assert (together.predictions, together.confidences, together.probabilities) == (["b"], [share], [[share] * 3])


def test_where_one_score_of_zero_decides_the_library_says_for_whom() -> None:
    assert Decision("sigmoid", TWO, at_zero=0).for_one()([0.0])[0] is False
    assert Decision("sigmoid", TWO, at_zero=1).for_one()([0.0])[0] is True


def test_of_equal_scores_the_first_class_wins() -> None:
    for decision in (Decision("softmax", THREE), Decision("shares", THREE), Decision("largest", THREE)):
        assert decision.for_one()([1.0, 2.0, 2.0])[0] == "b"
        assert decision.for_many(np.array([[1.0, 2.0, 2.0]])).predictions == ["b"]


def test_votes_leave_the_rest_to_the_first_class() -> None:
    assert Decision("votes", THREE, divisor=4.0).for_one()([1.0, 1.0]) == ("a", 0.5, [0.5, 0.25, 0.25])


def test_an_outlier_is_minus_one() -> None:
    decision = Decision.read(Decision("sign", at_zero=1).content(), ())
    assert [decision.for_one()([score])[0] for score in (-0.1, 0.0, 0.1)] == [-1, 1, 1]


@pytest.mark.parametrize(("decision", "outputs"), DECISIONS, ids=NAMES)
def test_what_is_no_number_is_never_an_answer(decision: Decision, outputs: int) -> None:
    scores = [math.nan] * outputs
    with pytest.raises(NotANumber):
        decision.for_one()(scores)
    with pytest.raises(NotANumber):
        decision.for_many(np.array([[0.0] * outputs, scores]))


def test_an_infinite_score_is_a_certain_class_but_no_value() -> None:
    assert Decision("softmax", THREE).for_one()([0.0, -math.inf, 1.0])[0] == "c"
    assert Decision("softmax", THREE).for_many(np.array([[0.0, -math.inf, 1.0]])).predictions == ["c"]
    for scores in ([math.inf], [-math.inf]):
        with pytest.raises(NotANumber):
            Decision("value").for_one()(scores)
        with pytest.raises(NotANumber):
            Decision("value").for_many(np.array([scores]))


def test_a_decision_survives_its_file() -> None:
    for decision, _ in DECISIONS:
        assert Decision.read(decision.content(), decision.classes) == decision

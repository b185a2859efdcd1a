"""From the scores of a compiled model to its answers: for one row in plain Python, for many with numpy."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np

from ..answers import Answers

Array = np.ndarray[Any, Any]
RowAnswer = tuple[Any, float | None, list[float] | None]  # prediction, confidence, probabilities in class order
Kind = Literal[
    "value",
    "exponential",
    "sigmoid",
    "sign",
    "softmax",
    "one_vs_rest",
    "one_vs_rest_or_none",
    "largest",
    "shares",
    "votes",
    "labelled",
]

OUTLIER_OR_NOT = (-1, 1)  # what scikit-learn's outlier detectors answer
LARGEST_EXPONENT = 700.0  # of e, within a float


class NotANumber(ArithmeticError):
    """A score, or what follows from it, is NaN or infinite."""


@dataclass(frozen=True)
class Decision:
    """How scores become a prediction. `divisor`: of every score first; `at_zero`: the class of a score of 0 where one
    score decides.

    value, exponential: regression · sigmoid, sign: two classes by one score, with and without probabilities · softmax,
    one_vs_rest, one_vs_rest_or_none, largest: a score per class, the last without probabilities; where no class has
    any, one_vs_rest makes them equal, one_vs_rest_or_none leaves them at 0 · shares: probabilities as they are · votes:
    `divisor` of them, how many for each class but the first · labelled: a class, then shares.
    """

    kind: Kind
    classes: Sequence[Any] = ()
    divisor: float = 1.0
    at_zero: Literal[0, 1] = 0

    @classmethod
    def read(cls, content: dict[str, Any], classes: Sequence[Any]) -> Self:
        if content["kind"] == "sign" and not classes:
            classes = OUTLIER_OR_NOT
        return cls(content["kind"], classes, content["divisor"], content["at_zero"])

    def content(self) -> dict[str, Any]:
        return {"kind": self.kind, "divisor": self.divisor, "at_zero": self.at_zero}

    def undefined(self, outputs: int) -> RowAnswer:
        """The answer of a regression where no number comes out; for classes there is none, and NotANumber is raised."""
        if self.kind not in ("value", "exponential"):
            raise NotANumber
        nothing: Any = [None] * outputs
        return (None, None, None) if outputs == 1 else (nothing, nothing, None)

    def for_one(self) -> Callable[[list[float]], RowAnswer]:
        """The function from the scores of one row to its answer; it raises NotANumber."""
        function = {
            "value": self._value,
            "exponential": self._exponential,
            "sigmoid": self._sigmoid,
            "sign": self._sign,
            "softmax": self._softmax,
            "one_vs_rest": self._one_vs_rest,
            "one_vs_rest_or_none": self._one_vs_rest,
            "largest": self._largest,
            "shares": self._shares,
            "votes": self._shares,
            "labelled": self._labelled,
        }[self.kind]
        if self.divisor == 1.0 and self.kind != "votes":
            return function
        divisor = self.divisor
        if self.kind == "votes":
            return lambda scores: function([score / divisor for score in (divisor - sum(scores), *scores)])
        return lambda scores: function([score / divisor for score in scores])

    def _value(self, scores: list[float]) -> RowAnswer:
        if not math.isfinite(sum(scores)):
            raise NotANumber
        nothing: Any = [None] * len(scores)
        return (scores[0], None, None) if len(scores) == 1 else (scores, nothing, None)

    def _exponential(self, scores: list[float]) -> RowAnswer:
        return self._value([math.exp(score) if score < LARGEST_EXPONENT else math.inf for score in scores])

    def _sigmoid(self, scores: list[float]) -> RowAnswer:
        score = scores[0]
        second = _logistic(score)
        first = 1.0 - second
        if score > 0.0 or (score == 0.0 and self.at_zero):
            return self.classes[1], second, [first, second]
        return self.classes[0], first, [first, second]

    def _sign(self, scores: list[float]) -> RowAnswer:
        score = scores[0]
        if score != score:
            raise NotANumber
        return self.classes[1 if score > 0.0 or (score == 0.0 and self.at_zero) else 0], None, None

    def _softmax(self, scores: list[float]) -> RowAnswer:
        highest = max(scores)
        powers = [math.exp(score - highest) for score in scores]
        total = sum(powers)
        if total != total:  # an infinity, too, is no number less itself
            raise NotANumber
        shares = [power / total for power in powers]
        best = scores.index(highest)
        return self.classes[best], shares[best], shares

    def _one_vs_rest(self, scores: list[float]) -> RowAnswer:
        shares = [_logistic(score) for score in scores]
        total = sum(shares)
        shares = [share / total for share in shares] if total else [self._of_none(len(shares))] * len(shares)
        best = scores.index(max(scores))
        return self.classes[best], shares[best], shares

    def _of_none(self, classes: int) -> float:
        return 1.0 / classes if self.kind == "one_vs_rest" else 0.0

    def _largest(self, scores: list[float]) -> RowAnswer:
        if any(score != score for score in scores):
            raise NotANumber
        return self.classes[scores.index(max(scores))], None, None

    def _shares(self, scores: list[float]) -> RowAnswer:
        if not math.isfinite(sum(scores)):
            raise NotANumber
        highest = max(scores)
        return self.classes[scores.index(highest)], highest, scores

    def _labelled(self, scores: list[float]) -> RowAnswer:
        if not math.isfinite(sum(scores)):
            raise NotANumber
        label, shares = int(scores[0]), scores[1:]
        if not self.classes:
            return label, None, None
        return self.classes[label], shares[label] if shares else None, shares or None

    def for_many(self, scores: Array) -> Answers:
        """The answers to n rows from their (n, scores) array; raises NotANumber where one has none."""
        if self.kind == "votes":
            scores = np.column_stack([self.divisor - scores.sum(axis=1), scores])
        if self.divisor != 1.0:
            scores = scores / self.divisor
        with np.errstate(all="ignore"):
            if self.kind == "exponential":
                scores = np.exp(scores)
            if np.isnan(scores).any():
                raise NotANumber
            match self.kind:
                case "value" | "exponential":
                    if not np.isfinite(scores).all():
                        raise NotANumber
                    values = scores[:, 0] if scores.shape[1] == 1 else scores
                    several = scores.shape[1] > 1
                    return Answers(values.tolist(), [[None] * scores.shape[1] if several else None for _ in scores])
                case "sigmoid" | "sign":
                    best = (scores[:, 0] >= 0 if self.at_zero else scores[:, 0] > 0).astype(int)
                    second = 1.0 / (1.0 + np.exp(-scores[:, 0]))
                    shares = None if self.kind == "sign" else np.column_stack([1.0 - second, second])
                case "softmax":
                    best = scores.argmax(axis=1)
                    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
                    shares = powers / powers.sum(axis=1, keepdims=True)
                case "one_vs_rest" | "one_vs_rest_or_none":
                    best = scores.argmax(axis=1)
                    each = 1.0 / (1.0 + np.exp(-scores))
                    total = each.sum(axis=1, keepdims=True)
                    shares = np.divide(
                        each, total, out=np.full_like(each, self._of_none(each.shape[1])), where=total > 0
                    )
                case "largest" | "shares" | "votes":
                    best = scores.argmax(axis=1)
                    shares = None if self.kind == "largest" else scores
                case "labelled":
                    best = scores[:, 0].astype(int)
                    shares = scores[:, 1:] if scores.shape[1] > 1 else None
        if shares is not None and np.isnan(shares).any():
            raise NotANumber
        places = best.tolist()
        predictions = [self.classes[place] for place in places] if self.classes else places
        if shares is None:
            return Answers(predictions, [None] * len(scores))
        return Answers(predictions, shares[np.arange(len(scores)), best].tolist(), shares.tolist())


def _logistic(score: float) -> float:
    if score >= 0.0:
        return 1.0 / (1.0 + math.exp(-score))
    if score < 0.0:
        power = math.exp(score)
        return power / (1.0 + power)
    raise NotANumber

"""What a model answered, in plain Python values that are valid JSON: no NaN, no infinity, no numpy scalar."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

RELATIVE_TOLERANCE = 1e-6  # another CPU may sum in another order
ABSOLUTE_TOLERANCE = 1e-9
SHORT_TOLERANCE = 1e-4  # of what is computed in float32, relative and absolute: a batch is summed in another order, too

Prediction = Any  # int | float | str | bool | None, or a list of them where there are several outputs


@dataclass(slots=True)
class Answers:
    """One entry per row. `confidences`: of the predicted class, None where unknown; `probabilities`: in class order,
    or None; `short`: computed in float32.
    """

    predictions: list[Prediction]
    confidences: list[Any]
    probabilities: list[Any] | None = None
    short: bool = field(default=False, kw_only=True)

    def __len__(self) -> int:
        return len(self.predictions)

    def take(self, indices: Sequence[int]) -> "Answers":
        probabilities = None if self.probabilities is None else [self.probabilities[i] for i in indices]
        confidences = [self.confidences[i] for i in indices]
        return Answers([self.predictions[i] for i in indices], confidences, probabilities, short=self.short)

    def by_output(self, outputs: Sequence[str]) -> "Answers":
        """The same with what there is per output as objects by the outputs' names."""

        def named(rows: list[Any]) -> list[Any]:
            return [dict(zip(outputs, row, strict=True)) for row in rows]

        probabilities = None if self.probabilities is None else named(self.probabilities)
        return Answers(named(self.predictions), named(self.confidences), probabilities, short=self.short)

    @staticmethod
    def concat(parts: Sequence["Answers"]) -> "Answers":
        """In the order of the parts, which are answers of one model."""
        if len(parts) == 1:
            return parts[0]
        probabilities: list[Any] | None = []
        for part in parts:
            probabilities = (
                None if probabilities is None or part.probabilities is None else probabilities + part.probabilities
            )
        return Answers(
            [value for part in parts for value in part.predictions],
            [value for part in parts for value in part.confidences],
            probabilities,
            short=bool(parts) and parts[0].short,
        )


def same(got: Any, expected: Any, *, short: bool = False) -> bool:
    """Whether two predictions, or two rows of probabilities, agree: classes exactly, floats within a tolerance."""
    if isinstance(got, list) and isinstance(expected, list):
        return len(got) == len(expected) and all(same(*pair, short=short) for pair in zip(got, expected, strict=True))
    if isinstance(got, float) and isinstance(expected, float):
        if short:
            return math.isclose(got, expected, rel_tol=SHORT_TOLERANCE, abs_tol=SHORT_TOLERANCE)
        return math.isclose(got, expected, rel_tol=RELATIVE_TOLERANCE, abs_tol=ABSOLUTE_TOLERANCE)
    return type(got) is type(expected) and bool(got == expected)


def plain(array: np.ndarray[Any, Any]) -> list[Any]:
    """The values as nested lists: NaN and infinities become None. Raises TypeError for what JSON cannot hold."""
    match array.dtype.kind:
        case "f":
            values = array.tolist()
            return values if np.isfinite(array).all() else _without_nan(values)  # type: ignore[no-any-return]
        case "i" | "u" | "b" | "U" | "T":
            return array.tolist()  # type: ignore[no-any-return]
        case "M":  # ISO 8601, which is what dates in rows are
            return _dates(array)
        case "O":
            return [_plain_object(value) for value in array.tolist()]
    raise TypeError(f"The estimator answered {array.dtype}, which JSON cannot hold")


def _dates(array: np.ndarray[Any, Any]) -> list[Any]:
    texts = np.datetime_as_string(array).astype(object)
    texts[np.isnat(array)] = None
    return texts.tolist()  # type: ignore[no-any-return]


def _without_nan(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_nan(part) for part in value]
    return value if np.isfinite(value) else None


def _plain_object(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain_object(part) for part in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return _without_nan(value)
    if value is None or isinstance(value, bool | int | str):
        return value
    raise TypeError(f"The estimator answered a {type(value).__name__}, which JSON cannot hold")

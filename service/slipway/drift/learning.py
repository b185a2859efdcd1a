"""The distribution of rows and of the answers to them: what packing stores, and what a report without it begins
with.
"""

from collections.abc import Sequence
from typing import Any

from ..model.answers import Answers
from ..model.distribution import Distribution, Kind, Variable
from ..model.signature import MOST_CATEGORIES, Column, Signature
from .bins import learn

FEWEST_ROWS = 100  # with fewer, the shares say little: rows that have not changed would look as if they had
MOST_COLUMNS = 100  # each costs a dozen series in Prometheus, and some microseconds of a slice of counting
MOST_OUTPUTS = 10


def learn_distribution(signature: Signature, rows: Sequence[Sequence[Any]], answers: Answers | None) -> Distribution:
    """`rows`: JSON values in column order, None where one is missing; `answers`: the model's own to them, None where
    it has none.
    """
    features = []
    for place, column in enumerate(signature.columns or ()):
        values = [row[place] for row in rows]
        kind = _kind(column, values)
        if kind is not None:
            features.append(learn(column.name, kind, values))
        if len(features) == MOST_COLUMNS:
            break
    if answers is None:
        return Distribution(rows=len(rows), features=tuple(features))
    several = isinstance(answers.predictions[0], list)
    outputs: list[int | None] = list(range(min(len(answers.predictions[0]), MOST_OUTPUTS))) if several else [None]
    predictions = tuple(_prediction(signature, output, _of(answers.predictions, output)) for output in outputs)
    confidences: tuple[Variable, ...] = ()
    if all(_of(answers.confidences, output)[0] is not None for output in outputs):
        confidences = tuple(
            learn(_name(signature, "confidence", output), "number", _of(answers.confidences, output))
            for output in outputs
        )
    return Distribution(rows=len(rows), features=tuple(features), predictions=predictions, confidences=confidences)


def _kind(column: Column, values: Sequence[Any]) -> Kind | None:
    """How a column is tracked; None where nothing of it can be: many values of several types."""
    if column.numeric and column.dtype != "category":
        return "number"
    if column.type == "datetime":
        return None
    if column.type == "boolean" or column.dtype == "category":
        return "category"
    if len({value for value in values if value is not None}) <= MOST_CATEGORIES:
        return "category"
    # Free text: what it says belongs into no manifest and no metric.
    return "length" if column.type == "string" else None


def _prediction(signature: Signature, output: int | None, values: Sequence[Any]) -> Variable:
    """Classes, clusters and the like by value; numbers by quantiles."""
    name = _name(signature, "prediction", output)
    classes: Any = signature.classes
    labels: Any = signature.labels
    if classes is not None and signature.multi_output == (output is not None):
        named = (
            zip(classes, labels, strict=True) if output is None else zip(classes[output], labels[output], strict=True)
        )
        return learn(name, "category", values, dict(named))
    return learn(name, "number" if any(isinstance(value, float) for value in values) else "category", values)


def _of(answers: Sequence[Any], output: int | None) -> list[Any]:
    return list(answers) if output is None else [row[output] for row in answers]


def _name(signature: Signature, what: str, output: int | None) -> str:
    """As the columns of `slipway predict`: prediction, or prediction_0, or prediction_NAME, where there are several
    outputs.
    """
    return what if output is None else f"{what}_{signature.outputs[output] if signature.outputs else output}"

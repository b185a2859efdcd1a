"""POST /models/{name}/predict: features by column name, answers with labels and the probability of each class."""

from typing import Annotated, Any

from pydantic import BaseModel, Field

from ..predictor import Prediction, Predictor
from .call import Call, Operation, Reply, reply
from .exchange import Exchange, OneOrManyByColumn
from .predict import Confidence, Output, one_or_many

Probabilities = dict[str, float | None]


class NamedRow(BaseModel):
    prediction: Output
    label: Annotated[str | list[str] | dict[str, str] | None, Field(description="The class by its label; null where there are no classes.")]
    confidence: Confidence
    probabilities: Annotated[
        Probabilities | list[Probabilities] | dict[str, Probabilities] | None, Field(description="By label; null where the model has none.")
    ]


class NamedRows(BaseModel):
    predictions: Annotated[list[NamedRow], Field(description="In the order of the rows.")]


def predicted_by_name(prediction: Prediction) -> list[dict[str, Any]]:
    signature, answers = prediction.model.artifact.signature, prediction.answers
    rows = []
    for i, value in enumerate(answers.predictions):
        rows.append(
            {
                "prediction": value,
                "label": signature.label(value),
                "confidence": answers.confidences[i],
                "probabilities": signature.by_label(answers.probabilities[i]) if answers.probabilities else None,
            }
        )
    return rows


def named_operations(predictor: Predictor, exchange: Exchange) -> list[Operation]:
    async def predict(call: Call) -> Reply:
        entry = exchange.entry(call)
        body, caller = await exchange.read(call)
        rows = OneOrManyByColumn(body, entry)
        prediction = await predictor.predict(entry, rows, caller)
        return reply(one_or_many(predicted_by_name(prediction), many=rows.many), prediction)

    # Not shown as they are: OpenAPI has these paths once per model, each with that model's own columns (openapi.py).
    paths = ("/models/{name}/predict", "/models/{name}/versions/{version}/predict")
    return [Operation(path, predict, shown=False) for path in paths]

"""POST /predict: one row or many, to the default model or the one named."""

from typing import Annotated, Any

from pydantic import BaseModel, Field

from ..predictor import Prediction, Predictor
from .call import Call, Operation, Reply, reply
from .exchange import Exchange, OneOrMany

Output = Annotated[
    Any, Field(description="The class, label or number that the model answers; an array, or an object by name, of several outputs.")
]
Confidence = Annotated[
    float | list[float | None] | dict[str, float | None] | None,
    Field(description="Probability of that prediction; null where the model has no probabilities. Never invented."),
]


class PredictedRow(BaseModel):
    prediction: Output
    confidence: Confidence


class PredictedRows(BaseModel):
    predictions: Annotated[list[PredictedRow], Field(description="In the order of the rows.")]


def predicted(prediction: Prediction) -> list[dict[str, Any]]:
    answers = prediction.answers
    return [{"prediction": value, "confidence": sure} for value, sure in zip(answers.predictions, answers.confidences, strict=True)]


def one_or_many(rows: list[dict[str, Any]], *, many: bool) -> Any:
    """A body with `instances` is answered with a list, even of one."""
    return {"predictions": rows} if many else rows[0]


def predict_operations(predictor: Predictor, exchange: Exchange) -> list[Operation]:
    async def predict(call: Call) -> Reply:
        entry = exchange.entry(call)
        body, caller = await exchange.read(call)
        rows = OneOrMany(body, entry)
        prediction = await predictor.predict(entry, rows, caller)
        if rows.many:
            return reply({"predictions": predicted(prediction)}, prediction)
        answers = prediction.answers
        return reply({"prediction": answers.predictions[0], "confidence": answers.confidences[0]}, prediction)

    return [Operation("/predict", predict, PredictedRow | PredictedRows, "Predict one row or many")]

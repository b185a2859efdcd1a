"""POST /predict: one row or many, to the default model or the one named."""

from typing import Annotated, Any

from pydantic import BaseModel, Field

from ..predictor import Prediction, Predictor
from .call import Call, Operation, Reply
from .exchange import Exchange, rows_of

Output = Annotated[Any, Field(description="The class, label or number that the model answers; an array where it has several outputs.")]
Confidence = Annotated[
    float | list[float | None] | None,
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


def one_or_many(body: Any, rows: list[dict[str, Any]]) -> Any:
    """A body with `instances` is answered with a list, even of one."""
    return {"predictions": rows} if "instances" in body else rows[0]


def predict_operations(predictor: Predictor, exchange: Exchange) -> list[Operation]:
    async def predict(call: Call) -> Reply:
        entry = exchange.entry(call)
        body, caller = await exchange.read(call)
        prediction = await predictor.predict(entry, rows_of(body), caller)
        return Reply(one_or_many(body, predicted(prediction)), prediction.model)

    return [Operation("/predict", predict, PredictedRow | PredictedRows, "Predict one row or many")]

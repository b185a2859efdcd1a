"""The tutorial's techniques side by side, each pinned on the same predictor, for a user to measure them."""

from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, Field

from ..engine.call import Call
from ..engine.placement import Mode
from ..errors import UnknownModel
from ..http.body import Exchange
from ..http.decoding import decode, object_in, require_shape, shape_of
from ..http.operation import Operation, Reply, reply
from ..model.rows import RowValidator
from ..model.signature import Column, Signature
from ..prediction.predictor import Prediction, Predictor
from ..settings import Settings
from .native import Described, OneOrMany, Output, PredictedRow, PredictedRows, one_or_many, positional, predicted

SPECIES = ("setosa", "versicolor", "virginica")

FLOWER = RowValidator(
    Signature(
        input="array",
        named=True,
        columns=(
            Column(
                name="sepal_length", type="number", description="Sepal length in cm", exclusive_minimum=0, maximum=10
            ),
            Column(name="sepal_width", type="number", description="Sepal width in cm", exclusive_minimum=0, maximum=10),
            Column(name="petal_length", type="number", description="Petal length in cm", minimum=0, maximum=7),
            Column(name="petal_width", type="number", description="Petal width in cm", minimum=0, maximum=3),
        ),
    ),
    max_rows=1,
)


class TimedRow(BaseModel):
    prediction: Output
    latency_ms: Annotated[
        float, Field(description="Time of the inference in milliseconds; of the whole batch where there are many rows.")
    ]


class TimedRows(BaseModel):
    predictions: list[TimedRow]


class LoggedRow(BaseModel):
    prediction: Output


class LoggedRows(BaseModel):
    predictions: list[LoggedRow]


class CachedRow(BaseModel):
    prediction: Output
    cached: Annotated[bool, Field(description="True only when no inference ran for this row.")]


class CachedRows(BaseModel):
    predictions: list[CachedRow]


class Species(BaseModel):
    species_id: Annotated[int, Field(description="0 setosa, 1 versicolor, 2 virginica.")]
    species_name: str
    probabilities: Annotated[
        dict[str, float | None] | None, Field(description="By species; null where the model has none.")
    ]


def species(prediction: Prediction) -> dict[str, Any]:
    signature, answers = prediction.model.artifact.signature, prediction.answers
    classes, labels = list(signature.classes or ()), list(signature.labels or ())
    if len(classes) != len(SPECIES) or signature.multi_output:
        raise UnknownModel("The model named 'iris' does not tell three species apart")
    # A model of plain 0, 1 and 2 means the species in the order that everybody numbers them in.
    names = SPECIES if labels == ["0", "1", "2"] else labels
    number = classes.index(answers.predictions[0])
    probabilities = dict(zip(names, answers.probabilities[0], strict=True)) if answers.probabilities else None
    return {"species_id": number, "species_name": names[number], "probabilities": probabilities}


def operations(predictor: Predictor, exchange: Exchange, settings: Settings) -> list[Operation]:
    if not settings.techniques:
        return []

    async def predict_iris(call: Call) -> Reply:
        entry = predictor.repository.find("iris")
        body = await exchange.read(call)
        require_shape(body, shape_of(FLOWER))
        flower = np.asarray(FLOWER.row(object_in(decode(body))).data)[0].tolist()
        prediction = await predictor.predict(entry, lambda validator: validator.features(flower), call)
        return reply(species(prediction), prediction)

    async def ask(
        call: Call, *, mode: Mode | None = None, cached: bool = False, log: bool = False
    ) -> tuple[Prediction, bool]:
        """The prediction, and whether it is of many rows."""
        entry = exchange.entry(call)
        rows = OneOrMany(await exchange.read(call), entry)
        return await predictor.predict(entry, rows, call, mode=mode, cached=cached, log=log), rows.many

    async def predict_safe(call: Call) -> Reply:
        prediction, many = await ask(call)
        return reply(one_or_many(predicted(prediction), many=many), prediction)

    async def predict_threaded(call: Call) -> Reply:
        prediction, many = await ask(call, mode="thread")
        return reply(one_or_many(predicted(prediction), many=many), prediction)

    async def predict_slow(call: Call) -> Reply:
        prediction, many = await ask(call)
        latency = round(prediction.seconds * 1000, 4)
        timed = [{"prediction": value, "latency_ms": latency} for value in prediction.answers.predictions]
        return reply(one_or_many(timed, many=many), prediction)

    async def predict_cached(call: Call) -> Reply:
        prediction, many = await ask(call, cached=True)
        values = zip(prediction.answers.predictions, prediction.cached or [], strict=True)
        found = [{"prediction": value, "cached": cached} for value, cached in values]
        return reply(one_or_many(found, many=many), prediction)

    async def predict_with_logging(call: Call) -> Reply:
        """In the background, and in any case: whatever the prediction log is set to. X-Prediction-ID is the key of
        the first row.
        """
        prediction, many = await ask(call, log=True)
        logged = [{"prediction": value} for value in prediction.answers.predictions]
        return reply(one_or_many(logged, many=many), prediction)

    flower: Described = {
        "body": FLOWER.row_schema(),
        "examples": lambda: {
            "one row": {"value": {"sepal_length": 6.3, "sepal_width": 3.3, "petal_length": 6.0, "petal_width": 2.5}}
        },
        "components": {},
    }
    rows = positional(predictor.repository, settings.max_rows)
    plain, tag = PredictedRow | PredictedRows, "techniques"
    return [
        Operation(
            "/predict-iris",
            predict_iris,
            Species,
            "Iris by named features, validated by their bounds",
            tag,
            parameters=("Timeout",),
            **flower,
        ),
        Operation("/predict-safe", predict_safe, plain, "Every bad input is a clear 4xx", tag, **rows),
        Operation("/predict-threaded", predict_threaded, plain, "Inference in the thread pool", tag, **rows),
        Operation("/predict-slow", predict_slow, TimedRow | TimedRows, "With the time of the inference", tag, **rows),
        Operation(
            "/predict-cached", predict_cached, CachedRow | CachedRows, "Through the prediction cache", tag, **rows
        ),
        Operation(
            "/predict-with-logging",
            predict_with_logging,
            LoggedRow | LoggedRows,
            "With a row in the prediction log",
            tag,
            **rows,
        ),
    ]

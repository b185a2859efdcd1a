"""The floor of FastAPI: Pydantic in and out, and nothing computed in between."""

from fastapi import FastAPI
from pydantic import BaseModel

app = FastAPI()


class Features(BaseModel):
    features: list[float]


class Instances(BaseModel):
    instances: list[list[float]]


class Prediction(BaseModel):
    prediction: int
    confidence: float


class Predictions(BaseModel):
    predictions: list[Prediction]


CONSTANT = Prediction(prediction=0, confidence=0.98)


@app.post("/predict")
async def predict(_: Features) -> Prediction:
    return CONSTANT


@app.post("/predict-many")
async def predict_many(body: Instances) -> Predictions:
    return Predictions(predictions=[CONSTANT] * len(body.instances))


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "healthy"}

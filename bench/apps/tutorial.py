"""What people write today: FastAPI, the model loaded at import, predict and predict_proba on the event loop."""

import os
from typing import Any

import joblib
import numpy as np
from fastapi import FastAPI
from pydantic import BaseModel

app = FastAPI()
model = joblib.load(os.environ["BENCH_MODEL"])


class Features(BaseModel):
    features: list[float]


class Instances(BaseModel):
    instances: list[list[float]]


@app.post("/predict")
async def predict(body: Features) -> dict[str, Any]:
    row = np.array([body.features])
    prediction = model.predict(row)[0]
    probabilities = model.predict_proba(row)[0]
    return {"prediction": int(prediction), "confidence": float(probabilities.max())}


@app.post("/predict-many")
async def predict_many(body: Instances) -> dict[str, Any]:
    rows = np.array(body.instances)
    predictions = model.predict(rows)
    probabilities = model.predict_proba(rows)
    return {
        "predictions": [
            {"prediction": int(prediction), "confidence": float(row.max())}
            for prediction, row in zip(predictions, probabilities, strict=True)
        ]
    }


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "healthy"}

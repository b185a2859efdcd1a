"""What every rival computes: one predict and one predict_proba. The rivals differ in their HTTP only."""

import os
from typing import Any

import joblib
import numpy as np

MODEL = joblib.load(os.environ["BENCH_MODEL"])


def predict_one(features: list[float]) -> dict[str, Any]:
    row = np.array([features])
    prediction = MODEL.predict(row)[0]
    probabilities = MODEL.predict_proba(row)[0]
    return {"prediction": int(prediction), "confidence": float(probabilities.max())}


def predict_many(instances: list[list[float]]) -> dict[str, Any]:
    rows = np.array(instances)
    predictions = MODEL.predict(rows).tolist()
    confidences = MODEL.predict_proba(rows).max(axis=1).tolist()
    return {
        "predictions": [
            {"prediction": prediction, "confidence": confidence}
            for prediction, confidence in zip(predictions, confidences, strict=True)
        ]
    }

"""Flask: WSGI, one thread per request."""

from typing import Any

from flask import Flask, request

from bench.apps.inference import predict_many, predict_one

app = Flask(__name__)


@app.post("/predict")
def predict() -> dict[str, Any]:
    return predict_one(request.get_json()["features"])


@app.post("/predict-many")
def predict_rows() -> dict[str, Any]:
    return predict_many(request.get_json()["instances"])


@app.get("/health")
def health() -> dict[str, str]:
    return {"status": "healthy"}

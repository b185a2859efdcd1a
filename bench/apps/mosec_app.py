"""mosec at its best: one predict_proba for class and confidence, msgspec for JSON, batches where BENCH_BATCH asks
for them.
"""

import os
from typing import Any

import joblib
import msgspec
import numpy as np
from mosec import Server, Worker

WORKERS = 2
MAX_WAIT = 1  # milliseconds, the least that mosec takes: a lone request waits for it


class Model(Worker):
    """Bodies of one row and of many come through the same route; those of one batch are answered by one call."""

    def __init__(self) -> None:
        super().__init__()
        self.model = joblib.load(os.environ["BENCH_MODEL"])

    def deserialize(self, data: bytes) -> Any:
        return msgspec.json.decode(data)

    def serialize(self, data: Any) -> bytes:
        return msgspec.json.encode(data)

    def answer(self, rows: list[list[float]]) -> list[dict[str, Any]]:
        probabilities = self.model.predict_proba(np.array(rows))
        predictions = self.model.classes_[probabilities.argmax(axis=1)].tolist()
        confidences = probabilities.max(axis=1).tolist()
        return [
            {"prediction": prediction, "confidence": sure}
            for prediction, sure in zip(predictions, confidences, strict=True)
        ]

    def forward(self, data: Any) -> Any:
        if "features" in data:
            return self.answer([data["features"]])[0]
        return {"predictions": self.answer(data["instances"])}


class BatchedModel(Model):
    def forward(self, data: list[Any]) -> list[Any]:
        answers = iter(
            self.answer(
                [row for body in data for row in (body["instances"] if "instances" in body else [body["features"]])]
            )
        )
        return [
            {"predictions": [next(answers) for _ in body["instances"]]} if "instances" in body else next(answers)
            for body in data
        ]


if __name__ == "__main__":
    server = Server()
    batch = int(os.environ.get("BENCH_BATCH", "1"))
    server.append_worker(
        BatchedModel if batch > 1 else Model,
        num=WORKERS,
        max_batch_size=batch,
        max_wait_time=MAX_WAIT,
        route=["/predict", "/predict-many"],
    )
    server.run()

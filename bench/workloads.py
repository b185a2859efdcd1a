"""What is asked: two models, one row and many in a request, and the answers that scikit-learn gives."""

import json
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import joblib

from slipway.model.formats.registry import MODEL_FILE
from slipway.packing.example_models import EXAMPLES, train_and_pack

MODELS = {"iris": "iris", "forest": "breast-cancer"}  # by the name of the packed example
TITLES = {"iris": "iris: scaler + logistic regression", "forest": "forest: 100 trees, 30 features"}
BODIES = 16  # different ones in turn: a branch predictor must not learn a row by heart

Answer = tuple[Any, float]  # prediction and confidence


@dataclass(frozen=True)
class Workload:
    """Bodies to send in turn, each with the answers expected of its rows."""

    model: str
    rows: int
    bodies: tuple[str, ...]
    expected: tuple[tuple[Answer, ...], ...]


@dataclass(frozen=True)
class PackedModel:
    """`models`: the folder that Slipway serves; `artifact`: the joblib file in it, which the others load; `form`:
    None if not compiled.
    """

    name: str
    models: Path
    artifact: Path
    form: str | None
    data: tuple[list[float], ...]
    answers: tuple[Answer, ...]

    def workload(self, rows: int) -> Workload:
        places = [[(start + i) % len(self.data) for i in range(rows)] for start in self._starts(rows)]
        return Workload(
            self.name,
            rows,
            tuple(json.dumps(self._body([self.data[i] for i in body])) for body in places),
            tuple(tuple(self.answers[i] for i in body) for body in places),
        )

    def _starts(self, rows: int) -> list[int]:
        """From all over the data, so that every class occurs."""
        step = max(1, len(self.data) // BODIES)
        return list(islice(range(0, len(self.data), step), BODIES if rows == 1 else BODIES // 4))

    @staticmethod
    def _body(rows: list[list[float]]) -> dict[str, Any]:
        return {"features": rows[0]} if len(rows) == 1 else {"instances": rows}


def pack(name: str, scratch: Path) -> PackedModel:
    """The model with the answers of scikit-learn itself, whatever form Slipway answers with."""
    example = MODELS[name]
    packed = train_and_pack(example, scratch / name)
    artifact = packed.directory / MODEL_FILE
    estimator = joblib.load(artifact)
    data = EXAMPLES[example]().data.to_numpy()
    answers = zip(estimator.predict(data).tolist(), estimator.predict_proba(data).max(axis=1).tolist(), strict=True)
    return PackedModel(name, scratch / name, artifact, packed.artifact.form, tuple(data.tolist()), tuple(answers))

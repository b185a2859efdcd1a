"""A contender that answers wrongly is not measured: its answers are compared with scikit-learn's own first."""

import json
from typing import Any

from .server import Server
from .workloads import Answer, Workload

TOLERANCE = 1e-5  # of a probability; the class must be the same


def validate(server: Server, workload: Workload) -> None:
    """Sends every body of the workload. Raises ServerFailed."""
    path = server.contender.path(workload.rows)
    assert path is not None
    for body, expected in zip(workload.bodies, workload.expected, strict=True):
        status, content = server.post(path, body)
        if status != 200:
            raise server.failure(f"{path} answered {status}: {content[:200]!r}")
        if server.contender.computes and not _agree(_answers(content, workload.rows), expected):
            raise server.failure(f"{path} does not answer as the estimator does: {content[:200]!r} for {body[:200]}")


def _answers(content: bytes, rows: int) -> list[Any]:
    answer = json.loads(content)
    return [answer] if rows == 1 else list(answer["predictions"])


def _agree(answers: list[Any], expected: tuple[Answer, ...]) -> bool:
    return len(answers) == len(expected) and all(
        answer["prediction"] == prediction and abs(answer["confidence"] - confidence) <= TOLERANCE
        for answer, (prediction, confidence) in zip(answers, expected, strict=True)
    )

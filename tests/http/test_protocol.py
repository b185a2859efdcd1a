"""A protocol is one file and one line of wiring: it has limits, metrics, problems, keys and a place in OpenAPI
without another change.
"""

from pathlib import Path

import pytest
from pydantic import BaseModel

from slipway import app
from slipway.engine.call import Call
from slipway.http.body import Exchange
from slipway.http.decoding import decode
from slipway.http.operation import Operation, Reply, reply
from slipway.prediction.predictor import Predictor
from slipway.settings import Settings


class Sum(BaseModel):
    answers: list[int]


def operations(predictor: Predictor, exchange: Exchange, _: Settings) -> list[Operation]:
    """What a file of `protocols/` has: `{"lines": ["5.1 3.5 1.4 0.2"]}`."""

    async def lines(call: Call) -> Reply:
        entry = exchange.entry(call)
        rows = [[float(value) for value in line.split()] for line in decode(await exchange.read(call))["lines"]]
        prediction = await predictor.predict(entry, lambda validator: validator.instances(rows), call)
        return reply({"answers": prediction.answers.predictions}, prediction)

    body = {"type": "object", "properties": {"lines": {"type": "array", "items": {"type": "string"}}}}
    example = {"one line": {"value": {"lines": ["1 2 3 4"]}}}
    return [Operation("/lines", lines, Sum, "Lines of numbers", "lines", body=body, examples=lambda: example)]


@pytest.mark.anyio
async def test_a_protocol_is_one_file_and_one_line_of_wiring(
    serve, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "PROTOCOLS", (*app.PROTOCOLS, operations))
    async with serve(models, max_rows=2, max_body_bytes=200) as client:
        answer = await client.post("/lines", json={"lines": ["5.1 3.5 1.4 0.2", "6.3 3.3 6.0 2.5"]})
        assert (answer.status_code, answer.json()) == (200, {"answers": [0, 2]})
        assert answer.headers["x-model"] == "iris"
        refused = await client.post("/lines", json={"lines": ["5.1 3.5 1.4 0.2"] * 3})
        assert (refused.status_code, refused.headers["content-type"]) == (413, "application/problem+json")
        assert (await client.post("/lines", content=b"x" * 201)).status_code == 413
        assert (await client.post("/lines", json={"lines": ["5.1"]})).json()["errors"][0]["field"] == "instances[0]"
        described = (await client.get("/openapi.json")).json()["paths"]["/lines"]["post"]
        assert described["tags"] == ["lines"]
        assert described["requestBody"]["content"]["application/json"]["schema"]["properties"].keys() == {"lines"}
        assert "413" in described["responses"]
        assert 'route="/lines"' in (await client.get("/metrics")).text

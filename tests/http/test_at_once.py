"""A request that is answered at once, and the same request by way of ASGI: nobody can tell the answers apart."""

from pathlib import Path

import httpx
import pytest

from slipway.app import create_app
from slipway.settings import Settings
from tests.support import estimators

ROW = b'{"features": [5.1, 3.5, 1.4, 0.2]}'
CASES = {
    "a row": ("/predict", {}, ROW),
    "rows": ("/predict", {}, b'{"instances": [[5.1, 3.5, 1.4, 0.2], [6, 3, 5, 2]]}'),
    "rows as objects": (
        "/predict",
        {},
        b'{"instances": [{"sepal_length": 5, "sepal_width": 3, "petal_length": 1, "petal_width": 0}]}',
    ),
    "another model": ("/predict", {"X-Model": "iris", "X-Model-Version": "1"}, ROW),
    "an unknown model": ("/predict", {"X-Model": "nobody"}, ROW),
    "a short row": ("/predict", {}, b'{"features": [5.1]}'),
    "no number": ("/predict", {}, b'{"features": [5.1, "3.5", 1.4, 0.2]}'),
    "NaN": ("/predict", {}, b'{"features": [5.1, NaN, 1.4, 0.2]}'),
    "beyond a bound": ("/predict", {}, b'{"features": [11, 3.5, 1.4, 0.2]}'),
    "no JSON": ("/predict", {}, b"{"),
    "nothing": ("/predict", {}, b""),
    "no UTF-8": ("/predict", {}, b'{"features": ["\xff"]}'),
    "another content type": ("/predict", {"Content-Type": "text/csv"}, ROW),
    "compressed": ("/predict", {"Content-Encoding": "gzip"}, ROW),
    "a timeout that is none": ("/predict", {"X-Request-Timeout": "soon"}, ROW),
    "by name": (
        "/models/iris/predict",
        {},
        b'{"sepal_length": 5, "sepal_width": 3, "petal_length": 1, "petal_width": 0}',
    ),
    "by version": ("/models/iris/versions/1/predict", {}, b'{"sepal_length": 5, "sepal_width": 3, "petal_length": 1}'),
    "an estimator that raises": ("/models/raising/predict", {}, b'{"instances": [[1, 2, 3, 4]]}'),
    "in a thread": ("/models/slow/predict", {}, b'{"instances": [[1, 2, 3, 4]]}'),
    "that failed to load": ("/models/broken/predict", {}, b'{"instances": [[1, 2, 3, 4]]}'),
    "safe": ("/predict-safe", {}, ROW),
    "cached": ("/predict-cached", {}, ROW),
    "iris": ("/predict-iris", {}, b'{"sepal_length": 5, "sepal_width": 3, "petal_length": 1, "petal_width": 0}'),
}
WAITS = {"in a thread", "that failed to load", "cached"}


@pytest.mark.anyio
async def test_both_ways_answer_alike(models: Path) -> None:
    estimators.Gated.gate.set()
    envelope = create_app(Settings(models=models, cache_size=1))
    lifespan = envelope.fastapi.router.lifespan_context(envelope.fastapi)
    async with (
        lifespan,
        httpx.AsyncClient(transport=httpx.ASGITransport(envelope), base_url="http://slipway") as client,
    ):
        for case, (path, given, body) in CASES.items():
            headers = {"content-type": "application/json", "x-request-id": "the-same"} | {
                name.lower(): value for name, value in given.items()
            }
            hot = envelope.hot_path(path.encode())
            assert hot is not None, case
            raw = {name.encode(): value.encode() for name, value in headers.items()}
            at_once = envelope.answer_at_once(hot, path.encode(), raw, body)
            asgi = await client.post(path, headers=headers, content=body)
            assert (at_once is None) == (case in WAITS), case
            if at_once is not None:
                assert (at_once.status, at_once.body) == (asgi.status_code, asgi.content), case
                assert sorted(at_once.headers) == sorted(asgi.headers.raw), case

"""Every kind of bad input has its status and its sentence; none is a 500, none reaches the model, none is echoed."""

import httpx
import pytest

pytestmark = pytest.mark.anyio

GOOD = "[5.1, 3.5, 1.4, 0.2]"

BODIES = [
    # status, body, what the problem says
    (400, b'{"features": [5.1, 3.5, 1.4]}', "Expected 4 features, got 3"),
    (400, b'{"features": [5.1, 3.5, 1.4, 0.2, 1.0]}', "Expected 4 features, got 5"),
    (400, b'{"features": []}', "Expected 4 features, got 0"),
    (400, b'{"instances": [[5.1, 3.5, 1.4, 0.2], [1, 2]]}', "Expected 4 features, got 2"),
    (400, b'{"features": [NaN, 3.5, 1.4, 0.2]}', "Features contain NaN or infinity"),
    (400, b'{"features": [Infinity, 3.5, 1.4, 0.2]}', "Features contain NaN or infinity"),
    (400, b'{"features": [-Infinity, 3.5, 1.4, 0.2]}', "Features contain NaN or infinity"),
    (400, b'{"features": [1e999, 3.5, 1.4, 0.2]}', "Features contain NaN or infinity"),
    (400, b'{"features": [' + b"9" * 400 + b", 3.5, 1.4, 0.2]}", "Features contain NaN or infinity"),
    (
        400,
        b'{"instances": [{"sepal_length": NaN, "sepal_width": 1, "petal_length": 1, "petal_width": 1}]}',
        "Features contain NaN or infinity",
    ),
    (422, b'{"features": ["1.5", 3.5, 1.4, 0.2]}', "features[0]"),
    (422, b'{"features": [true, 3.5, 1.4, 0.2]}', "features[0]"),
    (422, b'{"features": [5.1, null, 1.4, 0.2]}', "features[1]"),
    (422, b'{"features": [5.1, [3.5], 1.4, 0.2]}', "features[1]"),
    (422, b'{"features": [5.1, {"a": 1}, 1.4, 0.2]}', "features[1]"),
    (422, b'{"features": [5.1, 3.5, 9.0, 0.2]}', "features[2]"),  # a petal of 9 cm
    (422, b'{"features": [0, 3.5, 1.4, 0.2]}', "features[0]"),  # exclusive: a sepal of nothing
    (422, b'{"instances": [[5.1, 3.5, 1.4, 0.2], [5.1, 3.5, 9.0, 0.2]]}', "instances[1]"),
    (422, b'{"instances": []}', "instances"),
    (422, b'{"instances": {}}', "instances"),
    (422, b'{"instances": [1]}', "instances"),
    (422, b'{"instances": [[5.1, 3.5, 1.4, 0.2], {"sepal_length": 1}]}', "instances"),
    (422, b'{"instances": [{"sepal_length": 5.1}]}', "sepal_width"),
    (
        422,
        b'{"instances": [{"sepal_length": 1, "sepal_width": 1, "petal_length": 1, "petal_width": 1, "color": 1}]}',
        "color",
    ),
    (422, b'{"features": 5.1}', "features"),
    (422, b'{"features": "5.1"}', "features"),
    (422, b'{"features": null}', "features"),
    (422, b'{"features": {"sepal_length": 1}}', "features"),
    (422, b'{"feature": [5.1, 3.5, 1.4, 0.2]}', "feature"),
    (422, b'{"features": ' + GOOD.encode() + b', "more": 1}', "more"),
    (422, b'{"features": ' + GOOD.encode() + b', "instances": []}', "exactly one"),
    (422, b"{}", "exactly one"),
    (422, b"[]", "JSON object"),
    (422, b"[5.1, 3.5, 1.4, 0.2]", "JSON object"),
    (422, b"null", "JSON object"),
    (422, b"1", "JSON object"),
    (422, b"", "empty"),
    (422, b"features", "not valid JSON"),
    (422, b'{"features": [5.1, 3.5, 1.4, 0.2]', "not valid JSON"),
    (422, b'{"features": [5.1, 3.5, 1.4, 0.2]}}', "not valid JSON"),
    (422, b'{"features": [01, 3.5, 1.4, 0.2]}', "not valid JSON"),
    (422, b'{"features": [5.1 3.5]}', "not valid JSON"),
    (422, b'{"features": ["\xff", 3.5, 1.4, 0.2]}', "not valid JSON"),  # invalid UTF-8
    (422, b'\xff\xfe{\x00"\x00', "not valid JSON"),  # UTF-16
    (422, b'{"features": ["\\ud800", 3.5, 1.4, 0.2]}', "not valid JSON"),  # a lone surrogate
    (422, b'{"\\udc00": 1}', "not valid JSON"),
    (422, b"[" * 100_000, "not valid JSON"),
    (422, b'{"features": ' + b"[" * 5000 + b"]" * 5000 + b"}", "not valid JSON"),
    (422, b'{"a": ' * 5000 + b"1" + b"}" * 5000, "not valid JSON"),
]


@pytest.mark.parametrize(("status", "body", "says"), BODIES, ids=[repr(body[:60]) for _, body, _ in BODIES])
async def test_a_bad_body_has_its_status_and_says_what_is_wrong(
    client: httpx.AsyncClient, status: int, body: bytes, says: str
) -> None:
    response = await client.post("/predict", content=body, headers={"Content-Type": "application/json"})
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert says in response.text
    problem = response.json()
    assert {"type", "title", "status", "detail"} <= set(problem)
    assert problem["status"] == status


NAMED = [
    (422, b'{"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4}', "petal_width"),
    (
        422,
        b'{"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2, "color": "red"}',
        "color",
    ),
    (422, b'{"sepal_length": "5.1", "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2}', "sepal_length"),
    (422, b'{"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 9, "petal_width": 0.2}', "petal_length"),
    (400, b'{"sepal_length": NaN, "sepal_width": 3.5, "petal_length": 1, "petal_width": 0.2}', "NaN or infinity"),
    (422, b'{"features": [5.1, 3.5, 1.4, 0.2]}', "features"),
    (422, b"[5.1, 3.5, 1.4, 0.2]", "JSON object"),
]


@pytest.mark.parametrize("path", ["/models/iris/predict", "/predict-iris"])
@pytest.mark.parametrize(("status", "body", "says"), NAMED)
async def test_bad_named_features_are_named(
    client: httpx.AsyncClient, path: str, status: int, body: bytes, says: str
) -> None:
    response = await client.post(path, content=body, headers={"Content-Type": "application/json"})
    assert response.status_code == status, response.text
    assert says in response.text


@pytest.mark.parametrize("value", ["1e300", "1e308", "-1e308"])
async def test_finite_values_too_large_for_the_model_are_the_client_s_400(
    client: httpx.AsyncClient, value: str
) -> None:
    row = ", ".join([value] * 30)
    response = await client.post("/predict?model=breast-cancer", content=f'{{"features": [{row}]}}')
    assert response.status_code == 400, response.text


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/json", 200),
        ("application/json; charset=utf-8", 200),
        ("application/vnd.example+json", 200),
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
        ("application/jsonx", 415),
        ("json", 415),
    ],
)
async def test_a_content_type_that_is_named_must_be_json(
    client: httpx.AsyncClient, content_type: str, status: int
) -> None:
    response = await client.post("/predict", content=f'{{"features": {GOOD}}}', headers={"Content-Type": content_type})
    assert response.status_code == status


@pytest.mark.parametrize(("encoding", "status"), [("identity", 200), ("gzip", 415), ("br", 415)])
async def test_a_compressed_body_is_refused_and_not_misread(
    client: httpx.AsyncClient, encoding: str, status: int
) -> None:
    response = await client.post("/predict", content=f'{{"features": {GOOD}}}', headers={"Content-Encoding": encoding})
    assert response.status_code == status
    assert status == 200 or "without Content-Encoding" in response.json()["detail"]


async def test_a_value_is_never_echoed(client: httpx.AsyncClient) -> None:
    response = await client.post("/predict", json={"features": ["confidential", 3.5, 1.4, 0.2]})
    assert response.status_code == 422
    assert "confidential" not in response.text


@pytest.mark.parametrize("timeout", ["0", "-1", "1e-9", "soon", "nan", "inf"])
async def test_a_deadline_that_is_no_number_of_seconds_is_422(client: httpx.AsyncClient, timeout: str) -> None:
    response = await client.post("/predict", content=f'{{"features": {GOOD}}}', headers={"X-Request-Timeout": timeout})
    assert response.status_code == 422
    assert response.json()["errors"][0]["field"] == "X-Request-Timeout"


async def test_a_body_over_the_limit_is_413_whether_its_length_is_declared_or_not(serve, models) -> None:
    async def chunks():
        for _ in range(30):
            yield b" " * 100

    async with serve(models, max_body_bytes=2000) as client:
        for content in (b" " * 2001, chunks()):
            response = await client.post("/predict", content=content)
            assert response.status_code == 413
            assert "2000 bytes" in response.json()["detail"]
        assert (await client.post("/predict", content=f'{{"features": {GOOD}}}'.ljust(2000))).status_code == 200


async def test_more_rows_than_the_limit_are_413(serve, models) -> None:
    async with serve(models, max_rows=3) as client:
        row = [5.1, 3.5, 1.4, 0.2]
        assert (await client.post("/predict", json={"instances": [row] * 3})).status_code == 200
        response = await client.post("/predict", json={"instances": [row] * 4})
        assert response.status_code == 413
        assert response.json()["title"] == "Too many rows"

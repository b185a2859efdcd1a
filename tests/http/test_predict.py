"""POST /predict and /models/{name}/predict: who answers, with what."""

import httpx
import pytest

pytestmark = pytest.mark.anyio

SETOSA = [5.1, 3.5, 1.4, 0.2]
VIRGINICA = [6.3, 3.3, 6.0, 2.5]
NAMES = ("sepal_length", "sepal_width", "petal_length", "petal_width")


async def test_one_row_is_answered_with_its_class_and_confidence(client: httpx.AsyncClient) -> None:
    response = await client.post("/predict", json={"features": SETOSA})
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    answer = response.json()
    assert set(answer) == {"prediction", "confidence"}
    assert answer["prediction"] == 0
    assert 0.9 < answer["confidence"] <= 1


async def test_many_rows_are_answered_in_their_order_as_lists_or_as_objects(client: httpx.AsyncClient) -> None:
    rows = [VIRGINICA, SETOSA, VIRGINICA]
    as_lists = await client.post("/predict", json={"instances": rows})
    as_objects = await client.post("/predict", json={"instances": [dict(zip(NAMES, row, strict=True)) for row in rows]})
    assert [row["prediction"] for row in as_lists.json()["predictions"]] == [2, 0, 2]
    assert as_objects.json() == as_lists.json()


async def test_a_list_of_one_row_is_answered_with_a_list(client: httpx.AsyncClient) -> None:
    response = await client.post("/predict", json={"instances": [SETOSA]})
    assert [row["prediction"] for row in response.json()["predictions"]] == [0]


async def test_named_features_are_answered_with_label_and_probabilities(client: httpx.AsyncClient) -> None:
    response = await client.post("/models/iris/predict", json=dict(zip(NAMES, SETOSA, strict=True)))
    answer = response.json()
    assert (answer["prediction"], answer["label"]) == (0, "setosa")
    assert list(answer["probabilities"]) == ["setosa", "versicolor", "virginica"]
    assert answer["confidence"] == answer["probabilities"]["setosa"]
    assert sum(answer["probabilities"].values()) == pytest.approx(1)


async def test_named_rows_come_back_as_a_list(client: httpx.AsyncClient) -> None:
    rows = [dict(zip(NAMES, row, strict=True)) for row in (SETOSA, VIRGINICA)]
    response = await client.post("/models/iris/versions/1/predict", json={"instances": rows})
    assert [row["label"] for row in response.json()["predictions"]] == ["setosa", "virginica"]


async def test_a_missing_value_is_null_or_left_out_where_the_column_may_be_missing(client: httpx.AsyncClient) -> None:
    described = (await client.get("/models/passengers")).json()["versions"][0]["signature"]["columns"]
    example = {column["name"]: 1 if column["type"] == "number" else "x" for column in described}
    nullable = next(column["name"] for column in described if column.get("nullable"))
    with_null = await client.post("/models/passengers/predict", json=example | {nullable: None})
    del example[nullable]
    left_out = await client.post("/models/passengers/predict", json=example)
    assert with_null.status_code == 200
    assert left_out.json() == with_null.json()


async def test_every_answer_says_who_answered(client: httpx.AsyncClient) -> None:
    response = await client.post("/predict", json={"features": SETOSA})
    assert (response.headers["x-model"], response.headers["x-model-version"]) == ("iris", "2")


@pytest.mark.parametrize(
    ("path", "headers", "who"),
    [
        ("/predict", {}, ("iris", "2")),  # the highest version of the default model
        ("/predict?version=1", {}, ("iris", "1")),
        ("/predict?model=stub", {}, ("stub", "10")),  # 10 is higher than 9
        ("/predict?model=stub&version=9", {}, ("stub", "9")),
        ("/predict", {"X-Model": "stub", "X-Model-Version": "9"}, ("stub", "9")),
        ("/predict?model=stub", {"X-Model": "iris"}, ("stub", "10")),  # the query goes before the headers
        ("/models/stub/predict", {}, ("stub", "10")),
        ("/models/stub/predict?model=iris", {}, ("stub", "10")),  # the path goes before the query
        ("/models/stub/versions/9/predict?version=10", {"X-Model-Version": "10"}, ("stub", "9")),
    ],
)
async def test_the_model_is_the_path_s_else_the_query_s_else_the_headers_else_the_default(
    client: httpx.AsyncClient, path: str, headers: dict[str, str], who: tuple[str, str]
) -> None:
    body = {"x0": 0, "x1": 0} if path.startswith("/models") else {"features": [0, 0] if who[0] == "stub" else SETOSA}
    response = await client.post(path, json=body, headers=headers)
    assert response.status_code == 200, response.text
    assert (response.headers["x-model"], response.headers["x-model-version"]) == who


@pytest.mark.parametrize(
    "path",
    [
        "/predict?model=nobody",
        "/predict?version=7",
        "/models/nobody/predict",
        "/models/iris/versions/7/predict",
        "/models/nobody",
    ],
)
async def test_an_unknown_model_or_version_is_404(client: httpx.AsyncClient, path: str) -> None:
    response = await (client.get(path) if path == "/models/nobody" else client.post(path, json={"features": SETOSA}))
    assert response.status_code == 404
    version_is_asked_for = "7" in path
    assert response.json()["title"] == ("Model version not found" if version_is_asked_for else "Model not found")


@pytest.mark.parametrize(
    "path", ["/predict?model={}", "/predict?version={}", "/models/{}/predict", "/models/iris/versions/{}/predict"]
)
async def test_a_name_that_a_client_made_up_is_cut(client: httpx.AsyncClient, path: str) -> None:
    response = await client.post(path.format("k" * 3000), json={"features": SETOSA})
    assert response.status_code == 404
    assert len(response.text) < 600


@pytest.mark.parametrize("path", ["/models%2firis%2fpredict", "/models/iris%2Fpredict", "/models%2Firis/predict"])
async def test_a_path_has_one_spelling(client: httpx.AsyncClient, path: str) -> None:
    response = await client.post(path, json={"features": SETOSA})
    assert response.status_code == 404


async def test_a_body_without_a_content_type_is_taken_as_json(client: httpx.AsyncClient) -> None:
    response = await client.post("/predict", content=b'{"features": [5.1, 3.5, 1.4, 0.2]}')
    assert response.status_code == 200
    assert response.json()["prediction"] == 0


async def test_without_a_default_model_the_answer_names_the_models(serve, two_models) -> None:
    async with serve(two_models) as client:
        response = await client.post("/predict", json={"features": [0, 0]})
        assert response.status_code == 404
        assert "one, two" in response.json()["detail"]

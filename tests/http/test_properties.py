"""Properties that hold for all rows: an answer is the estimator's own and depends on nothing but the row and the
model that was asked.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import joblib
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LinearRegression

from slipway.packing.example_models import EXAMPLES, Trained, train_and_pack

pytestmark = pytest.mark.anyio

reproducible = settings(derandomize=True, database=None, deadline=None)


def numbers(low: int, high: int) -> st.SearchStrategy[Any]:
    return st.floats(low, high, exclude_min=True) | st.integers(low + 1, high)


ROWS: dict[str, st.SearchStrategy[Any]] = {
    "iris": st.tuples(numbers(0, 10), numbers(0, 10), numbers(0, 7), numbers(0, 3)),
    "breast-cancer": st.lists(numbers(0, 2000), min_size=30, max_size=30),
    "diabetes": st.lists(numbers(0, 300), min_size=10, max_size=10),
    "passengers": st.tuples(
        st.integers(1, 3),
        st.sampled_from(["female", "male"]),
        st.none() | numbers(0, 120),
        numbers(0, 500),
        st.none() | st.sampled_from(["Cherbourg", "Queenstown", "Southampton", "Atlantis", ""]),
        st.booleans(),
    ),
}


def of_each_example(questions: Callable[[st.SearchStrategy[Any]], st.SearchStrategy[Any]]) -> st.SearchStrategy[Any]:
    """A model's name and a question made of its rows."""
    return st.one_of([st.tuples(st.just(name), questions(row)) for name, row in ROWS.items()])


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("examples")
    for name in EXAMPLES:
        train_and_pack(name, folder)
    return folder


@pytest.fixture(scope="module")
def trained() -> dict[str, Trained]:
    """The same estimators, never served."""
    return {name: train() for name, train in EXAMPLES.items()}


@pytest.fixture(scope="module")
async def served(serve, examples: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with serve(examples) as client:
        yield client


async def ask(client: httpx.AsyncClient, path: str, body: Any) -> Any:
    response = await client.post(path, json=body)
    assert response.status_code == 200, response.text
    return response.json()


def about(row: dict[str, Any]) -> dict[str, Any]:
    """The same class; numbers to 1e-9, for a row and the same row in a batch may be summed in another order."""
    return {
        key: pytest.approx(value, rel=1e-9, abs=1e-9) if isinstance(value, float) else value
        for key, value in row.items()
    }


@given(asked=of_each_example(lambda row: st.tuples(st.lists(row, max_size=4), row, st.lists(row, max_size=4))))
@settings(reproducible, max_examples=150)
async def test_a_row_is_answered_alike_alone_and_at_any_place_of_a_batch(served: httpx.AsyncClient, asked: Any) -> None:
    name, (before, row, after) = asked
    alone = await ask(served, f"/predict?model={name}", {"features": row})
    batch = await ask(served, f"/predict?model={name}", {"instances": [*before, row, *after]})
    assert len(batch["predictions"]) == len(before) + 1 + len(after)
    assert batch["predictions"][len(before)] == about(alone)


@given(asked=of_each_example(lambda row: st.lists(row, min_size=1, max_size=8)))
@settings(reproducible, max_examples=150)
async def test_the_answer_is_what_the_estimator_itself_predicts(
    served: httpx.AsyncClient, trained: dict[str, Trained], asked: Any
) -> None:
    name, rows = asked
    estimator, trained_on = trained[name].estimator, trained[name].data
    X = pd.DataFrame(rows, columns=trained_on.columns).astype(trained_on.dtypes)
    if not hasattr(estimator, "feature_names_in_"):
        X = X.to_numpy()
    expected = [{"prediction": value, "confidence": None} for value in estimator.predict(X).tolist()]
    if hasattr(estimator, "predict_proba"):
        places = {value: place for place, value in enumerate(estimator.classes_)}
        for row, probabilities in zip(expected, estimator.predict_proba(X).tolist(), strict=True):
            row["confidence"] = probabilities[places[row["prediction"]]]
    answer = await ask(served, f"/predict?model={name}", {"instances": rows})
    assert answer["predictions"] == [about(row) for row in expected]


OFFSETS = {("alpha", "1"): 1000, ("alpha", "2"): 2000, ("beta", "1"): 3000, ("beta", "2"): 4000}


@pytest.fixture(scope="module")
def adders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models that answer the first of two features plus a number of their own: each answer tells its row and its
    model.
    """
    folder = tmp_path_factory.mktemp("adders")
    for (name, version), offset in OFFSETS.items():
        estimator = LinearRegression()
        estimator.coef_, estimator.intercept_, estimator.n_features_in_ = np.array([1.0, 0.0]), float(offset), 2
        path = folder / name / version / "model.joblib"
        path.parent.mkdir(parents=True)
        joblib.dump(estimator, path)
    return folder


async def ask_adder(
    client: httpx.AsyncClient, path: str, model: tuple[str, str], values: list[int]
) -> list[dict[str, Any]]:
    body = {"instances": [[value, 0] for value in values]}
    return (await ask(client, f"{path}?model={model[0]}&version={model[1]}", body))["predictions"]


@pytest.mark.parametrize("mode", ["inline", "thread", "process"])
async def test_under_concurrency_every_request_gets_the_answers_to_its_own_rows_in_their_order(
    serve, adders: Path, mode: str
) -> None:
    questions = [
        # They overlap: in the cache some rows are another request's.
        (path, model, list(range(start, start + 1 + start % 7)))
        for start in range(10)
        for path in ("/predict", "/predict-threaded", "/predict-cached")
        for model in OFFSETS
    ]
    async with serve(adders, execution=mode) as client:
        answered = await asyncio.gather(*(ask_adder(client, *question) for question in questions))
    for (_, model, values), rows in zip(questions, answered, strict=True):
        assert [row["prediction"] for row in rows] == [value + OFFSETS[model] for value in values]


@pytest.fixture(scope="module")
async def adding(serve, adders: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with serve(adders) as client:
        yield client


@pytest.fixture(scope="module")
def known() -> set[tuple[tuple[str, str], int]]:
    """What the cache of `adding` holds."""
    return set()


@given(
    questions=st.lists(
        st.tuples(st.sampled_from(list(OFFSETS)), st.lists(st.integers(0, 20), min_size=1, max_size=4)), max_size=8
    )
)
@settings(reproducible, max_examples=60)
async def test_the_cache_never_swaps_answers_and_tells_truly_which_it_had(
    adding: httpx.AsyncClient, known: set[Any], questions: Any
) -> None:
    for model, values in questions:
        rows = await ask_adder(adding, "/predict-cached", model, values)
        had = [(model, value) in known for value in values]
        assert rows == [
            {"prediction": value + OFFSETS[model], "cached": cached} for value, cached in zip(values, had, strict=True)
        ]
        known.update((model, value) for value in values)

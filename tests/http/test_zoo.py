"""The zoo over HTTP: every estimator answers exactly as scikit-learn itself does, in every execution mode."""

import importlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NoReturn

import httpx
import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.base import is_regressor

from slipway.model.manifest import read_manifest
from slipway.packing.compiling import compilation
from slipway.packing.pack import pack
from tests.support.forms import GRAPH, LINEAR
from tests.support.zoo import ZOO, Specimen

pytestmark = pytest.mark.anyio

MODES = ("inline", "thread", "process")
VERSIONS = ("packed", "bare")  # with a manifest, and without
TOLERANCE = 1e-9


def importable(package: str | None) -> bool:
    try:
        return package is None or importlib.import_module(package) is not None
    except (ImportError, OSError):  # LightGBM's shared library wants the system's libgomp
        return False


PRESENT = [specimen for specimen in ZOO if importable(specimen.requires)]
every_specimen = pytest.mark.parametrize(
    "specimen",
    [
        pytest.param(
            specimen,
            marks=() if specimen in PRESENT else pytest.mark.skip(reason=f"{specimen.requires} cannot be imported"),
        )
        for specimen in ZOO
    ],
    ids=lambda specimen: specimen.name,
)


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("zoo")
    for specimen in PRESENT:
        source = folder / specimen.name / "bare" / "model.joblib"
        source.parent.mkdir(parents=True)
        joblib.dump(specimen.estimator, source)
        pack(
            source,
            name=specimen.name,
            version="packed",
            output=folder,
            data=pd.DataFrame(specimen.data, columns=columns(specimen)),
        )
    return folder


@pytest.fixture(scope="module", params=MODES)
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
async def served(serve, zoo: Path, mode: str) -> AsyncIterator[httpx.AsyncClient]:
    async with serve(zoo, execution=mode) as client:
        yield client


def columns(specimen: Specimen) -> list[str]:
    if isinstance(specimen.data, pd.DataFrame):
        return list(specimen.data)
    return ["text"] if isinstance(specimen.data, list) else [f"x{i}" for i in range(specimen.data.shape[1])]


def by_scikit_learn(specimen: Specimen, data: Any) -> list[dict[str, Any]]:
    """Per row what `predict` and `predict_proba` say: {"prediction", "label", "confidence", "probabilities" by label
    or None}.
    """
    estimator = specimen.estimator
    predictions = np.asarray(estimator.predict(data))
    if predictions.ndim == 2 and predictions.shape[1] == 1:
        predictions = predictions[:, 0]
    several = predictions.ndim == 2
    tables = probabilities(estimator, data, several)
    found = []
    for i, prediction in enumerate(predictions.tolist()):
        values = prediction if several else [prediction]
        labels = [label(value) for value in values] if hasattr(estimator, "classes_") else None
        sure: list[float | None] = [None] * len(values)
        named = None
        if tables is not None:
            named = [{label(value): probability for value, probability in output.items()} for output in tables[i]]
            sure = [output[value] for output, value in zip(tables[i], values, strict=True)]
            # The labels are those of the classes: a chain answers 0.0 for the class 0.
            labels = [
                next(label(known) for known in output if known == value)
                for output, value in zip(tables[i], values, strict=True)
            ]
        row = {"label": labels, "confidence": sure, "probabilities": named}
        found.append(
            {"prediction": prediction}
            | {key: value if several or value is None else value[0] for key, value in row.items()}
        )
    return found


def probabilities(estimator: Any, data: Any, several: bool) -> list[list[dict[Any, float]]] | None:
    """Per row, per output, each class with its probability; None where the estimator has none."""
    if not hasattr(estimator, "predict_proba"):
        return None
    answered = estimator.predict_proba(data)
    if isinstance(answered, list):  # an array per output
        outputs = zip(estimator.classes_, answered, strict=True)
        by_class = [
            [dict(zip(classes.tolist(), row, strict=True)) for row in rows.tolist()] for classes, rows in outputs
        ]
        return [list(row) for row in zip(*by_class, strict=True)]
    if several:  # the probability of 1 per output; that of 0 in the estimator's own precision
        return [[{0: zero, 1: one} for zero, one in row] for row in np.stack([1 - answered, answered], axis=2).tolist()]
    classes = getattr(estimator, "classes_", np.arange(answered.shape[1])).tolist()
    return [[dict(zip(classes, row, strict=True))] for row in answered.tolist()]


def label(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def require_equal(got: Any, expected: Any, tolerance: float) -> None:
    """The same types and values, floats within the tolerance (relative to 1 or to their size)."""
    if isinstance(expected, dict):
        assert list(got) == list(expected)
        got, expected = list(got.values()), list(expected.values())
    if isinstance(expected, list):
        assert isinstance(got, list)
        assert len(got) == len(expected)
        for one, other in zip(got, expected, strict=True):
            require_equal(one, other, tolerance)
    elif isinstance(expected, float):
        assert type(got) is float
        assert abs(got - expected) <= tolerance * max(1.0, abs(expected)), (got, expected)
    else:
        assert type(got) is type(expected)
        assert got == expected


def require_agreement(
    specimen: Specimen, got: list[dict[str, Any]], expected: list[dict[str, Any]], *keys: str
) -> None:
    """Classes are exactly the same; what a regressor predicts and probabilities are within the tolerance."""
    require_equal(
        [row["prediction"] for row in got],
        [row["prediction"] for row in expected],
        TOLERANCE * is_regressor(specimen.estimator),
    )
    for key in keys:
        require_equal([row[key] for row in got], [row[key] for row in expected], TOLERANCE)


async def ask(client: httpx.AsyncClient, path: str, body: Any) -> Any:
    response = await client.post(path, json=body)
    assert response.status_code == 200, response.text
    return json.loads(response.content, parse_constant=refuse)


def refuse(constant: str) -> NoReturn:
    raise AssertionError(f"{constant} is not JSON")


def test_the_zoo_is_as_large_as_promised() -> None:
    assert len(PRESENT) >= 25


@every_specimen
async def test_rows_are_answered_as_predict_answers_them(
    served: httpx.AsyncClient, mode: str, specimen: Specimen
) -> None:
    expected = by_scikit_learn(specimen, specimen.data)
    for version in VERSIONS:
        path = f"/predict?model={specimen.name}&version={version}"
        answer = await ask(served, path, {"instances": specimen.rows})
        require_agreement(specimen, answer["predictions"], expected, "confidence")
        for i in (0, len(specimen.rows) - 1):
            one = await ask(served, path, {"features": specimen.rows[i]})
            require_agreement(specimen, [one], by_scikit_learn(specimen, specimen.data[i:][:1]), "confidence")
    described = (await served.get(f"/models/{specimen.name}")).json()["versions"]
    assert [version["execution"] for version in described] == [mode, mode]


@every_specimen
async def test_named_rows_are_answered_with_the_label_and_the_probability_of_every_class(
    served: httpx.AsyncClient, specimen: Specimen
) -> None:
    expected = by_scikit_learn(specimen, specimen.data)
    objects = [dict(zip(columns(specimen), row, strict=True)) for row in specimen.rows]
    for version in VERSIONS:
        # A bare estimator that does not tell its number of features cannot tell their names either.
        rows = specimen.rows if (specimen.name, version) == ("custom", "bare") else objects
        answer = await ask(served, f"/models/{specimen.name}/versions/{version}/predict", {"instances": rows})
        require_agreement(specimen, answer["predictions"], expected, "label", "confidence", "probabilities")


@every_specimen
async def test_the_pool_and_the_cache_change_no_answer(served: httpx.AsyncClient, specimen: Specimen) -> None:
    expected = by_scikit_learn(specimen, specimen.data)
    body = {"instances": specimen.rows}
    threaded = await ask(served, f"/predict-threaded?model={specimen.name}", body)
    require_agreement(specimen, threaded["predictions"], expected, "confidence")
    for cached in (False, True):
        answer = await ask(served, f"/predict-cached?model={specimen.name}", body)
        require_agreement(specimen, answer["predictions"], expected)
        assert {row["cached"] for row in answer["predictions"]} == {cached}


STRANGE: dict[str, list[Any]] = {
    "number": [1e300, -1e300, 3.5e38, 1e39, 5e-324, -0.0, 1e6, None],
    "boolean": [True, False, None],
    "string": ["", "never seen", "nan", None],
}


@pytest.mark.parametrize(
    "specimen",
    [specimen for specimen in PRESENT if specimen.name in LINEAR | GRAPH],
    ids=lambda specimen: specimen.name,
)
async def test_a_compiled_form_answers_and_refuses_as_its_estimator_does(
    serve: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, specimen: Specimen
) -> None:
    monkeypatch.setattr(compilation, "SECONDS", 0.005)
    monkeypatch.setattr(compilation, "QUICKER", 0.0)  # whether it is worth having is not the question here
    monkeypatch.setattr(compilation, "NO_SLOWER", 0.0)
    joblib.dump(specimen.estimator, tmp_path / "model.joblib")
    data = pd.DataFrame(specimen.data, columns=columns(specimen))
    for version in ("compiled", "estimator"):
        packed = pack(
            tmp_path / "model.joblib",
            name="m",
            version=version,
            output=tmp_path,
            data=data,
            compiled=version == "compiled",
        )
    compiled = read_manifest(tmp_path / "m" / "compiled").compiled
    assert compiled is not None
    signed = packed.artifact.signature.columns
    rows = [
        [*row[:i], value, *row[i + 1 :]]
        for i, column in enumerate(signed)
        for value in STRANGE[column.type]
        for row in specimen.rows[:2]
    ]
    (tmp_path / "model.joblib").unlink()  # it would be a model of its own
    async with serve(tmp_path, execution="inline") as client:
        described = (await client.get("/models/m")).json()["versions"]
        assert [version["compiled"] for version in described] == [compiled.form, None]
        usable = specimen.rows
        for row in rows:
            answers = [
                await client.post(f"/models/m/versions/{version}/predict", json={"instances": [row]})
                for version in ("compiled", "estimator")
            ]
            form, estimator = answers
            assert form.status_code in (200, 400, 422), form.text
            assert form.status_code == estimator.status_code, (row, form.text, estimator.text)
            if form.status_code == 200:
                require_equal(form.json()["predictions"], estimator.json()["predictions"], compiled.bound)
                usable = [*usable, row]
        form, estimator = [
            await ask(client, f"/models/m/versions/{version}/predict", {"instances": usable})
            for version in ("compiled", "estimator")
        ]
        require_equal(form["predictions"], estimator["predictions"], compiled.bound)

"""What a worker counts: of every kind of model, whatever else it does, and no more than it has time for."""

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from prometheus_client.parser import text_string_to_metric_families
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.multioutput import MultiOutputClassifier
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import make_pipeline

from slipway.drift import counting
from slipway.drift.counting import DriftCounter
from slipway.engine.loaded_model import LoadedModel
from slipway.model.answers import Answers
from slipway.packing.example_models import train_and_pack
from slipway.packing.pack import pack
from slipway.prediction.repository import Repository
from slipway.settings import Settings
from slipway.telemetry.metrics import Metrics


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Examples, and models of several outputs, of text, and with too few rows."""
    folder = tmp_path_factory.mktemp("models")
    for name in ("iris", "passengers", "diabetes"):
        train_and_pack(name, folder)
    random = np.random.default_rng(0)
    x = pd.DataFrame(random.normal(size=(200, 2)), columns=["a", "b"])
    joblib.dump(
        MultiOutputClassifier(LogisticRegression()).fit(x.to_numpy(), (x > 0).to_numpy().astype(int)),
        folder / "several.joblib",
    )
    pack(folder / "several.joblib", name="several", output=folder, data=x)
    texts = pd.DataFrame({"text": ["good " * (1 + i % 30) + f"word{i}" for i in range(200)]})
    classifier = make_pipeline(CountVectorizer(), MultinomialNB()).fit(texts["text"], [i % 2 for i in range(200)])
    joblib.dump(classifier, folder / "text.joblib")
    pack(folder / "text.joblib", name="text", output=folder, data=texts)
    pack(folder / "several.joblib", name="few", output=folder, data=x[:50])
    return folder


def shown(metrics: Metrics, series: str, /, **labels: str) -> float | None:
    """The value of a series in /metrics, None where there is none."""
    for family in text_string_to_metric_families(metrics.render().decode()):
        for each in family.samples:
            if each.name == series and each.labels == labels:
                return float(each.value)
    return None


class Worker:
    """A counter and the models, as a worker has them."""

    def __init__(self, models: Path, **settings: Any) -> None:
        self.metrics = Metrics(None, None)
        self.repository = Repository(Settings(models=models, **settings), self.metrics)
        self.repository.load_eager()
        self.drift = DriftCounter(self.metrics.drift)

    def model(self, name: str) -> LoadedModel:
        model = self.repository.find(name).model
        assert model is not None
        return model

    def answer(self, name: str, rows: list[list[Any]]) -> None:
        model = self.model(name)
        batch = model.validator.instances(rows)
        self.drift.observe(model, batch, model.artifact.model.infer(batch.data))

    def count(self, model: str, part: str, name: str, bin: str) -> float | None:
        return shown(
            self.metrics, "slipway_drift_values_total", model=model, version="1", part=part, name=name, bin=bin
        )

    def total(self, model: str, part: str, name: str) -> float:
        variables = self.model(model).distribution.parts[part]  # type: ignore[union-attr]
        (variable,) = [each for each in variables if each.name == name]
        return sum(self.count(model, part, name, bin) or 0 for bin in variable.bins)


@pytest.fixture(params=[True, False], ids=["compiled", "estimator"])
def worker(models: Path, request: pytest.FixtureRequest) -> Iterator[Worker]:
    return Worker(models, compiled=request.param)


def test_values_classes_and_confidences_are_counted_by_bin(worker: Worker) -> None:
    worker.answer("iris", [[5.1, 3.5, 1.4, 0.2], [7.7, 3.0, 6.1, 2.3]])
    worker.answer("iris", [[5.1, 3.5, 1.4, 0.2]])
    worker.drift.close()
    variable = next(each for each in worker.model("iris").distribution.features if each.name == "sepal_length")
    assert worker.count("iris", "feature", "sepal_length", variable.bins[-2]) == 1
    assert worker.total("iris", "feature", "petal_length") == 3
    assert worker.count("iris", "prediction", "prediction", "setosa") == 2
    assert worker.total("iris", "confidence", "confidence") == 3


def test_strings_booleans_missing_values_and_new_categories_are_counted(worker: Worker) -> None:
    rows = [example.features for example in worker.model("passengers").artifact.manifest.examples]
    columns = list(worker.model("passengers").artifact.signature.names or ())
    row = list(rows[0])
    row[columns.index("age")] = None
    row[columns.index("port")] = "Bremen"
    row[columns.index("alone")] = True
    worker.answer("passengers", [row])
    worker.drift.close()
    assert worker.count("passengers", "feature", "age", "(missing)") == 1
    assert worker.count("passengers", "feature", "port", "(other)") == 1
    assert worker.count("passengers", "feature", "alone", "true") == 1


def test_a_regressions_answers_have_bins_and_no_confidence(worker: Worker) -> None:
    worker.answer("diabetes", [worker.model("diabetes").artifact.manifest.examples[0].features] * 3)
    worker.drift.close()
    assert worker.total("diabetes", "prediction", "prediction") == 3
    assert not worker.model("diabetes").distribution.confidences  # type: ignore[union-attr]


def test_each_output_is_counted_by_itself(worker: Worker) -> None:
    worker.answer("several", [[3.0, -3.0], [3.0, 3.0]])
    worker.drift.close()
    assert worker.count("several", "prediction", "prediction_0", "1") == 2
    assert worker.count("several", "prediction", "prediction_1", "1") == 1
    assert worker.total("several", "confidence", "confidence_1") == 2


def test_of_texts_the_length_is_counted(worker: Worker) -> None:
    worker.answer("text", [["good"], ["good " * 1000]])
    worker.drift.close()
    bins = worker.model("text").distribution.features[0].bins  # type: ignore[union-attr]
    assert [worker.count("text", "feature", "text", bins[place]) for place in (0, -2)] == [1, 1]


def test_a_model_packed_with_few_rows_has_no_distribution(worker: Worker) -> None:
    assert worker.model("few").distribution is None
    worker.drift.start([worker.model("few")])
    assert b"slipway_drift_values_total{" not in worker.metrics.render()


def test_counters_begin_at_zero_and_the_expected_shares_are_shown(worker: Worker) -> None:
    worker.drift.start([worker.model("iris")])
    assert worker.count("iris", "prediction", "prediction", "setosa") == 0
    assert worker.count("passengers", "prediction", "prediction", "yes") is None
    labels = {"model": "iris", "version": "1", "part": "prediction", "name": "prediction", "bin": "setosa"}
    assert shown(worker.metrics, "slipway_drift_expected_share", **labels) == pytest.approx(1 / 3, abs=1e-6)


def test_a_large_batch_is_counted_in_slices_and_completely(worker: Worker) -> None:
    worker.answer("iris", [[5.1, 3.5, 1.4, 0.2]] * 1_900)
    worker.drift._count_slice()
    assert worker.drift._waiting, "the event loop has its turn"
    worker.drift.close()
    assert worker.total("iris", "feature", "petal_width") == worker.total("iris", "prediction", "prediction") == 1_900


def test_beyond_what_may_wait_rows_are_left_out_and_counted_as_such(worker: Worker) -> None:
    for _ in range(3):
        worker.answer("iris", [[5.1, 3.5, 1.4, 0.2]] * (counting.MOST_ROWS // 2))
    worker.drift.close()
    assert worker.total("iris", "feature", "petal_width") == counting.MOST_ROWS
    assert shown(worker.metrics, "slipway_drift_skipped_rows_total") == counting.MOST_ROWS // 2
    worker.answer("iris", [[5.1, 3.5, 1.4, 0.2]])
    worker.drift.close()
    assert worker.total("iris", "feature", "petal_width") == counting.MOST_ROWS + 1


def test_answers_that_cannot_be_counted_stop_nothing(worker: Worker, caplog: pytest.LogCaptureFixture) -> None:
    model = worker.model("iris")
    batch = model.validator.instances([[5.1, 3.5, 1.4, 0.2]])
    worker.drift.observe(model, batch, Answers([{}], [None]))
    worker.drift.close()
    assert "could not be counted" in caplog.text
    worker.answer("iris", [[5.1, 3.5, 1.4, 0.2]])
    worker.drift.close()
    assert worker.count("iris", "prediction", "prediction", "setosa") == 1


def test_the_task_counts_by_itself(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "INTERVAL", 0.01)

    async def serve() -> None:
        worker.drift.start([worker.model("iris")])
        task = asyncio.create_task(worker.drift.run())
        worker.answer("iris", [[5.1, 3.5, 1.4, 0.2]])
        async with asyncio.timeout(10):
            while worker.count("iris", "prediction", "prediction", "setosa") == 0:
                await asyncio.sleep(0.01)
        task.cancel()

    asyncio.run(serve())


def expected(worker: Worker, model: str) -> set[str]:
    """The variables whose shares are shown."""
    families = text_string_to_metric_families(worker.metrics.render().decode())
    samples = (each for family in families if family.name == "slipway_drift_expected_share" for each in family.samples)
    return {each.labels["name"] for each in samples if each.labels["model"] == model}


def test_a_model_whose_drift_is_switched_off_is_not_counted_and_the_others_are(models: Path, tmp_path: Path) -> None:
    shutil.copytree(models, tmp_path, dirs_exist_ok=True)
    (tmp_path / "models.toml").write_text("[iris]\ndrift = false\n")
    worker = Worker(tmp_path)
    assert worker.model("iris").distribution is None
    assert expected(worker, "iris") == set()
    assert worker.model("diabetes").distribution is not None
    assert expected(worker, "diabetes") != set()


def test_switched_off_for_all_it_is_counted_for_none(models: Path) -> None:
    worker = Worker(models, drift="off")
    assert b"slipway_drift_expected_share" not in worker.metrics.render()
    assert all(entry.model is None or entry.model.distribution is None for entry in worker.repository)


def test_within_a_bound_the_answers_come_first_and_the_log_says_what_is_left_out(
    models: Path, caplog: pytest.LogCaptureFixture
) -> None:
    everything = Worker(models).model("iris").distribution
    assert everything is not None
    answers = sum(len(each.bins) for part in ("prediction", "confidence") for each in everything.parts[part])
    first = everything.features[0]
    worker = Worker(models, drift_series=answers + len(first.bins))
    assert expected(worker, "iris") == {"prediction", "confidence", first.name}
    assert "model iris 1: drift of 1 of its 4 columns is counted" in caplog.text
    worker.answer("iris", [[5.1, 3.5, 1.4, 0.2]])
    worker.drift.close()
    assert worker.total("iris", "feature", first.name) == 1


def test_drifts_series_can_be_told_apart_from_all_others(models: Path) -> None:
    metrics = Worker(models).metrics
    drift, others = metrics.render("drift"), metrics.render("without drift")
    assert b"slipway_drift_expected_share{" in drift
    assert b"slipway_model_state" not in drift
    assert b"slipway_drift" not in others
    assert len(drift.splitlines()) + len(others.splitlines()) == len(metrics.render().splitlines())

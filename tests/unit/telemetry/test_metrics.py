"""What /metrics says: of one process here, of several processes and their successors in processes of their own."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from slipway import __version__
from slipway.telemetry.metrics import Metrics

ROOT = Path(__file__).resolve().parents[3]


def sample(text: str | bytes, name: str, **labels: str) -> float | None:
    """The value of a series, None where there is none."""
    decoded = text if isinstance(text, str) else text.decode()
    for family in text_string_to_metric_families(decoded):
        for each in family.samples:
            if each.name == name and each.labels == labels:
                return float(each.value)
    return None


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(None, None)


def test_many_can_be_made_in_one_process_and_share_nothing(metrics: Metrics) -> None:
    metrics.rejected("full")
    assert sample(Metrics(None, None).render(), "slipway_requests_rejected_total", reason="full") is None


def test_a_request_is_counted_by_its_duration_alone(metrics: Metrics) -> None:
    metrics.request("POST", "/predict", 200, 0.0007)
    metrics.request("POST", "/predict", 200, 0.3)
    text = metrics.render()
    labels = {"method": "POST", "route": "/predict", "status": "200"}
    assert sample(text, "slipway_http_request_duration_seconds_count", **labels) == 2
    assert sample(text, "slipway_http_request_duration_seconds_sum", **labels) == pytest.approx(0.3007)
    assert sample(text, "slipway_http_request_duration_seconds_bucket", **labels, le="0.001") == 1


def test_buckets_reach_from_a_tenth_of_a_millisecond_to_ten_seconds(metrics: Metrics) -> None:
    metrics.request("GET", "/health", 200, 0.1)
    bounds = re.findall(r'slipway_http_request_duration_seconds_bucket\{le="([^"]+)"', metrics.render().decode())
    assert (bounds[0], bounds[-2], bounds[-1]) == ("0.0001", "10.0", "+Inf")


def test_made_up_methods_make_no_series_of_their_own(metrics: Metrics) -> None:
    for method in ("BREW", "PROPFIND"):
        metrics.request(method, "unmatched", 405, 0.001)
    labels = {"method": "other", "route": "unmatched", "status": "405"}
    assert sample(metrics.render(), "slipway_http_request_duration_seconds_count", **labels) == 2


def test_rows_are_counted_by_class(metrics: Metrics) -> None:
    inference = metrics.inference("iris", "1")
    inference.predicted("setosa", 2)
    inference.predicted("virginica", 1)
    inference.predicted("setosa", 1)
    text = metrics.render()
    model = {"model": "iris", "version": "1"}
    assert sample(text, "slipway_predictions_total", **model, **{"class": "setosa"}) == 3
    assert sample(text, "slipway_predictions_total", **model, **{"class": "virginica"}) == 1


def test_the_classes_of_a_model_are_counted_apart_up_to_a_hundred(metrics: Metrics) -> None:
    for i in (*range(150), 149, 99):
        metrics.inference("words", "1").predicted(f"word {i}", 1)
    text = metrics.render()
    model = {"model": "words", "version": "1"}
    assert sample(text, "slipway_predictions_total", **model, **{"class": "word 99"}) == 2
    assert sample(text, "slipway_predictions_total", **model, **{"class": "word 149"}) is None
    assert sample(text, "slipway_predictions_total", **model, **{"class": "other"}) == 51


def test_inference_is_timed_and_its_failures_counted_per_version(metrics: Metrics) -> None:
    metrics.inference("iris", "1").observe(0.002)
    metrics.inference("iris", "2").failed()
    text = metrics.render()
    assert sample(text, "slipway_inference_duration_seconds_count", model="iris", version="1") == 1
    assert sample(text, "slipway_inference_duration_seconds_count", model="iris", version="2") == 0
    assert sample(text, "slipway_inference_errors_total", model="iris", version="1") == 0
    assert sample(text, "slipway_inference_errors_total", model="iris", version="2") == 1


def test_reasons_and_lookups_are_counted(metrics: Metrics) -> None:
    metrics.rejected("full")
    metrics.validation_failed("feature_count")
    metrics.cache(hits=2, misses=3)
    metrics.cache(hits=0, misses=1)
    text = metrics.render()
    assert sample(text, "slipway_requests_rejected_total", reason="full") == 1
    assert sample(text, "slipway_validation_failures_total", reason="feature_count") == 1
    assert sample(text, "slipway_cache_requests_total", result="hit") == 2
    assert sample(text, "slipway_cache_requests_total", result="miss") == 4


def test_what_is_in_flight_goes_up_and_down(metrics: Metrics) -> None:
    metrics.in_flight.inc()
    metrics.in_flight.inc()
    metrics.in_flight.dec()
    assert sample(metrics.render(), "slipway_http_requests_in_flight") == 1


def test_a_model_is_in_one_state_at_a_time(metrics: Metrics) -> None:
    metrics.model_state("iris", "1", "loading")
    metrics.model_state("iris", "1", "ready")
    metrics.model_loaded("iris", "1", 0.25)
    text = metrics.render()
    states = {
        state: sample(text, "slipway_model_state", model="iris", version="1", state=state)
        for state in ("unloaded", "loading", "ready", "failed")
    }
    assert states == {"unloaded": 0, "loading": 0, "ready": 1, "failed": 0}
    assert sample(text, "slipway_model_load_duration_seconds", model="iris", version="1") == 0.25


def test_the_build_and_a_single_process_are_shown(metrics: Metrics) -> None:
    text = metrics.render()
    assert sample(text, "slipway_workers") == 1
    assert f'version="{__version__}"' in text.decode()


# The value class is the library's global, so that each of these runs where nothing else does.
SEVERAL = """if True:
    import os, sys, signal
    from pathlib import Path
    from slipway.telemetry.metrics import MASTER, Metrics

    directory = Path(sys.argv[1])
    slot = MASTER
    metrics = Metrics(directory, lambda: slot)
    metrics.model_state("iris", "1", "ready")

    def worker(name, requests, *, killed=False):
        global slot
        pid = os.fork()
        if pid:
            os.waitpid(pid, 0)
            return
        slot = name
        metrics.process_started()
        for _ in range(requests):
            metrics.request("POST", "/predict", 200, 0.01)
        metrics.inference("iris", "1").predicted("setosa", requests)
        metrics.in_flight.inc()
        if killed:
            os.kill(os.getpid(), signal.SIGKILL)
        os._exit(0)
"""


def run(tmp_path: Path, code: str) -> str:
    ended = subprocess.run(
        [sys.executable, "-c", SEVERAL + code, tmp_path], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


PREDICT = {"method": "POST", "route": "/predict", "status": "200"}


def test_the_workers_are_added_up_and_the_master_counts_for_none(tmp_path: Path) -> None:
    text = run(
        tmp_path,
        """
    worker("0", 3)
    worker("1", 4)
    print(metrics.render().decode())
    """,
    )
    assert sample(text, "slipway_http_request_duration_seconds_count", **PREDICT) == 7
    assert sample(text, "slipway_predictions_total", model="iris", version="1", **{"class": "setosa"}) == 7
    assert sample(text, "slipway_workers") == 2
    assert sample(text, "slipway_model_state", model="iris", version="1", state="ready") == 2
    assert sample(text, "slipway_http_requests_in_flight") == 2


def test_a_killed_worker_leaves_its_counts_but_neither_its_gauges_nor_more_files(tmp_path: Path) -> None:
    first, later = run(
        tmp_path,
        """
    worker("0", 1)
    for generation in range(5):
        worker("1", 10, killed=True)
        metrics.worker_died("1", restart=True)
        if generation == 0:
            files = sorted(os.listdir(directory))
            print(metrics.render().decode(), end="END")
    assert sorted(os.listdir(directory)) == files
    print(metrics.render().decode())
    """,
    ).split("END")
    assert sample(first, "slipway_http_request_duration_seconds_count", **PREDICT) == 11
    assert sample(later, "slipway_http_request_duration_seconds_count", **PREDICT) == 51
    assert sample(later, "slipway_worker_restarts_total") == 5
    assert sample(later, "slipway_workers") == 1
    assert sample(later, "slipway_http_requests_in_flight") == 1


def test_a_scrape_survives_a_file_that_a_worker_has_just_made(tmp_path: Path) -> None:
    text = run(
        tmp_path,
        """
    worker("0", 1)
    (directory / "gauge_livesum_1.db").touch()
    print(metrics.render().decode())
    """,
    )
    assert sample(text, "slipway_http_request_duration_seconds_count", **PREDICT) == 1

"""Requests by model: of a bounded number of them."""

from slipway.telemetry.metrics import Metrics
from tests.unit.telemetry.test_metrics import sample

REQUESTS = "slipway_model_requests_total"
LATENCY = "slipway_model_latency_seconds"


def test_all_series_of_a_model_begin_with_0() -> None:
    metrics = Metrics(None, None)
    metrics.models.observer("iris", "1")
    text = metrics.render()
    for status in ("2xx", "4xx", "5xx"):
        assert sample(text, REQUESTS, model="iris", version="1", status=status) == 0
    assert sample(text, f"{LATENCY}_count", model="iris", version="1") == 0


def test_a_request_is_counted_by_the_class_of_its_status_and_its_time() -> None:
    metrics = Metrics(None, None)
    observe = metrics.models.observer("iris", "1")
    for status in (200, 201, 400, 422, 499, 503):
        observe(status, 0.02)
    text = metrics.render()
    counts = [sample(text, REQUESTS, model="iris", version="1", status=status) for status in ("2xx", "4xx", "5xx")]
    assert counts == [2, 3, 1]
    assert sample(text, f"{LATENCY}_bucket", model="iris", version="1", le="0.025") == 6
    assert sample(text, f"{LATENCY}_bucket", model="iris", version="1", le="0.01") == 0


def test_beyond_the_bound_models_share_the_series_of_other() -> None:
    metrics = Metrics(None, None, most_models=2)
    for version in ("1", "2", "3", "4", "1"):
        metrics.models.observer("iris", version)(200, 0.02)
    text = metrics.render()
    assert sample(text, REQUESTS, model="iris", version="1", status="2xx") == 2
    assert sample(text, REQUESTS, model="iris", version="3", status="2xx") is None
    assert sample(text, REQUESTS, model="other", version="", status="2xx") == 2


def test_a_model_has_sixteen_series() -> None:
    metrics = Metrics(None, None)
    metrics.models.observer("iris", "1")
    assert metrics.render().decode().count('version="1"') == 16

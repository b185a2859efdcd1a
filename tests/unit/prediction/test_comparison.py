"""What `slipway bench` recommends, on figures made up."""

from dataclasses import replace
from pathlib import Path

import pytest

from slipway.prediction.benchmark import ESTIMATOR
from slipway.prediction.comparison import BUSY, CACHED, LONE, PINS, RUNS, Comparison, Measurement, Way
from slipway.sources.folder import read_overrides

QUICK = Measurement(requests_per_second=1000, p50=0.0001, p99=0.0002, cpu=0.0001, loop_delay=0)


def comparison(
    *, automatic: Way = "inline", moment: float = 0.001, cached: float = 0.0001, **ways: Measurement
) -> Comparison:
    """The estimator's ways as QUICK but for those given, a compiled form only where it is given; one caller does as
    well as many.
    """
    found = {way: ways.get(way, QUICK) for way in RUNS if way in ways or way in ESTIMATOR} | {
        CACHED: replace(QUICK, p50=cached)
    }
    measurements = {(way, callers): figures for way, figures in found.items() for callers in (LONE, BUSY)}
    return Comparison(measurements, automatic, moment, packed_form="compiled" in ways)


def test_the_simplest_way_is_recommended_where_all_do_the_same() -> None:
    assert comparison().recommended == "inline"
    assert comparison(compiled=QUICK).recommended == "compiled"


def test_a_way_that_is_hardly_faster_is_not_recommended() -> None:
    assert comparison(process=replace(QUICK, requests_per_second=1150)).recommended == "inline"


def test_a_way_that_is_clearly_faster_is_recommended() -> None:
    assert comparison(process=replace(QUICK, requests_per_second=1500)).recommended == "process"


def test_a_way_that_is_faster_only_by_a_second_processor_is_not_recommended() -> None:
    assert comparison(process=replace(QUICK, requests_per_second=1500, cpu=1 / 900)).recommended == "inline"


def test_a_model_that_holds_the_event_loop_is_not_recommended_inline_however_fast() -> None:
    slow = replace(QUICK, requests_per_second=9999, p50=0.002)
    assert comparison(inline=slow).recommended == "batched"


def test_a_request_of_many_rows_may_hold_the_event_loop_for_longer() -> None:
    slow = replace(QUICK, requests_per_second=9999, p50=0.002)
    assert comparison(inline=slow, moment=0.005).recommended == "inline"


def test_the_verdict_says_how_to_pin_what_the_server_would_not_choose() -> None:
    assert comparison(automatic="batched").verdict() == (
        'Recommended: inline (on the event loop), by `execution = "inline"` in models.toml; the server itself would '
        "choose batched."
    )
    assert "which the server does by itself" in comparison(automatic="inline").verdict()


def test_the_verdict_forbids_a_compiled_form_that_is_slower() -> None:
    better = replace(QUICK, requests_per_second=1500)
    verdict = comparison(compiled=QUICK, thread=better, automatic="compiled").verdict()
    assert 'by `compiled = false, execution = "thread", batching = false` in models.toml' in verdict


@pytest.mark.parametrize("way", RUNS)
def test_what_pins_a_way_is_what_models_toml_takes(way: Way, tmp_path: Path) -> None:
    (tmp_path / "models.toml").write_text(f"[m]\n{PINS[way].replace(', ', chr(10))}\n")
    pinned = read_overrides(tmp_path)["m"]
    if way in ESTIMATOR:
        assert pinned.execution == ESTIMATOR[way][0]
        assert (pinned.batching is False) == (way == "thread")


def test_the_verdict_speaks_of_compiling_only_where_it_may_pay() -> None:
    dear = replace(QUICK, p50=0.0002)
    assert "It has no compiled form: `slipway pack --compile`" in comparison(inline=dear).verdict()
    assert "--compile" not in comparison(inline=dear, compiled=QUICK).verdict()
    assert "--compile" not in comparison().verdict()


def test_the_verdict_speaks_of_the_cache_only_where_it_saves_time() -> None:
    assert "cache" not in comparison(cached=0.0001).verdict()
    assert "10 µs from the cache (/predict-cached) instead of 100 µs" in comparison(cached=0.00001).verdict()

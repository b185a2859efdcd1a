"""What is measured, for how long and with which packages, and where the figures go; no server is started."""

import json
import re
from pathlib import Path
from typing import Any

import joblib
import pytest

from bench import docs
from bench.contenders import CONTENDERS, OURS, SLIPWAY, Contender
from bench.frameworks import FRAMEWORKS
from bench.load import Measured
from bench.results import Measurement, Run
from bench.run import Plan
from bench.server import ROOT
from bench.tests.machine import MACHINE
from bench.validate import validate
from bench.workloads import Workload, pack
from slipway.cli import main as cli
from slipway.cli.flags import settings_of
from slipway.settings import Settings


def settings(contender: Contender) -> Settings:
    """What its command makes of a Slipway."""
    places = {"port": 8000, "models": "models", "scratch": "scratch", "artifact": "unused"}
    options = cli._parser().parse_args([part.format_map(places) for part in contender.command[1:]])
    return settings_of(options)


def test_slipway_is_measured_as_it_comes_and_with_the_estimator_in_each_way() -> None:
    found = {contender.name: settings(contender) for contender in CONTENDERS if contender.group == "slipway"}
    ways = {name: (each.compiled, each.execution, each.batching) for name, each in found.items()}
    assert ways == {
        SLIPWAY: (True, "auto", True),
        "Slipway, inline": (False, "inline", True),
        "Slipway, thread": (False, "thread", False),
        "Slipway, batched": (False, "thread", True),
        "Slipway, process": (False, "process", True),
    }
    assert all(each.workers == 2 and not each.access_log for each in found.values())


def test_what_the_framework_table_shows_is_measured() -> None:
    assert {framework.contender for framework in FRAMEWORKS} <= {contender.name for contender in CONTENDERS}


def test_windows_fill_the_minutes_and_are_never_shorter_than_a_second() -> None:
    def plan(minutes: float) -> Plan:
        return Plan(CONTENDERS, ["iris", "forest"], [1, 100], [1, 16, 64], rounds=5, minutes=minutes)

    assert plan(1).seconds == 1
    assert plan(120).seconds > plan(60).seconds
    assert plan(120).expected_minutes == pytest.approx(120, rel=0.2)


def test_the_expected_answers_are_scikit_learns(tmp_path: Path) -> None:
    model = pack("iris", tmp_path)
    assert model.form == "linear"
    estimator = joblib.load(model.artifact)
    workload = model.workload(3)
    rows = json.loads(workload.bodies[0])["instances"]
    assert [answer[0] for answer in workload.expected[0]] == estimator.predict(rows).tolist()
    assert [answer[1] for answer in workload.expected[0]] == estimator.predict_proba(rows).max(axis=1).tolist()


class Answering:
    """Stands where a server would: its answer is given."""

    contender = next(contender for contender in CONTENDERS if contender.name == SLIPWAY)

    def __init__(self, prediction: Any, confidence: float) -> None:
        self._content = json.dumps({"prediction": prediction, "confidence": confidence}).encode()

    def post(self, *_: str) -> tuple[int, bytes]:
        return 200, self._content

    def failure(self, what: str) -> Exception:
        return ValueError(what)


@pytest.mark.parametrize(
    ("prediction", "confidence", "right"), [(1, 0.700009, True), (1, 0.70002, False), (2, 0.7, False)]
)
def test_the_class_must_be_equal_and_the_probability_within_the_bound(
    prediction: int, confidence: float, right: bool
) -> None:
    workload = Workload("iris", 1, ('{"features": [1.0]}',), (((1, 0.7),),))
    server: Any = Answering(prediction, confidence)
    if right:
        validate(server, workload)
    else:
        with pytest.raises(ValueError, match="does not answer as the estimator does"):
            validate(server, workload)


@pytest.fixture
def run() -> Run:
    measured = Measured(100, 1.0, 1.0, 2.0, 0, 100.0, 1.0)
    found = [Measurement(name, model, 1, 64, 0, measured) for name in OURS for model in ("iris", "forest")]
    return Run("2026-01-01 00:00", "python -m bench", MACHINE, rounds=1, seconds=1, measurements=found)


def test_the_page_has_a_place_for_every_part_and_no_other(run: Run, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(docs.PAGE.read_text(encoding="utf-8"), encoding="utf-8")
    docs.write(run, page)
    text = page.read_text(encoding="utf-8")
    assert set(re.findall(r"<!-- bench:(\w+) -->", text)) == set(docs.parts(run))
    assert all(
        f"<!-- bench:{name} -->\n{part}\n<!-- /bench:{name} -->" in text for name, part in docs.parts(run).items()
    )
    docs.write(run, page)
    assert page.read_text(encoding="utf-8") == text


def test_a_page_without_a_mark_is_refused(run: Run, tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text("# Benchmarks\n")
    with pytest.raises(ValueError, match="lacks the marks"):
        docs.write(run, tmp_path / "page.md")


def test_slipway_is_measured_with_the_packages_that_it_is_served_with() -> None:
    def pins(lock: str) -> dict[str, str]:
        return dict(re.findall(r"^([a-z0-9-]+)==(\S+)", (ROOT / lock).read_text(), re.MULTILINE))

    assert pins("requirements.lock").items() <= pins("bench/requirements.lock").items()

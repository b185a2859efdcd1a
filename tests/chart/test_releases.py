"""`helm upgrade --reuse-values` hands today's templates the values of the chart that a release was made with, and
nothing that came since. releases/ holds the values of earlier charts; a release adds its own.
"""

import shutil
from pathlib import Path

import pytest

from tests.chart.helm import CHART, render

RELEASES = sorted(Path(__file__).with_name("releases").glob("*.yaml"))
RULES_ON = {"metrics": {"prometheusRule": {"enabled": True}, "dashboard": {"enabled": True}}}


@pytest.mark.parametrize("release", RELEASES, ids=lambda path: path.stem)
def test_values_of_an_earlier_chart_are_reused(release: Path, tmp_path: Path) -> None:
    chart = tmp_path / "slipway"
    shutil.copytree(CHART, chart)
    shutil.copy(release, chart / "values.yaml")
    objects = render(RULES_ON, chart=chart)
    assert objects.pod
    assert objects.one("PrometheusRule")["spec"]["groups"][0]["rules"]


@pytest.mark.parametrize("release", RELEASES, ids=lambda path: path.stem)
def test_values_of_an_earlier_chart_are_set_on_top_of_todays(release: Path) -> None:
    assert render(release).pod

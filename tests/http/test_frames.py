"""A frame of any pandas dtypes, and any pipeline fitted on it: what is served answers as the estimator does, or is
refused by column.

FRAMES_EXAMPLES=50000 judges more than the 2,000 of every run, FRAMES_SEED=2 others; FRAMES_SHRINK=1 takes its time to
make a failure smaller.
"""

import os
import zlib

import pytest
from hypothesis import HealthCheck, Phase, assume, given, seed, settings

from tests.frames.cases import Case, cases
from tests.frames.estimators import FAMILIES
from tests.frames.verdicts import Judge
from tests.frames.ways import PACKED

EXAMPLES = int(os.environ.get("FRAMES_EXAMPLES", "2000"))
SEED = os.environ.get("FRAMES_SEED", "1")
# An ensemble costs as much as the others together.
SHARES = {"linear": 4, "tree": 4, "hist": 4, "lightgbm": 4, "xgboost": 4, "ensemble": 1}
PHASES = [Phase.generate, Phase.shrink] if os.environ.get("FRAMES_SHRINK") else [Phase.generate]
SHOWN = 3  # faults of one case


@pytest.mark.slow
@pytest.mark.timeout(max(600, EXAMPLES))
@pytest.mark.parametrize("how", PACKED)
@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_served_answers_as_its_estimator_does_or_is_refused_by_column(family: str, how: str) -> None:
    share = SHARES[family] / sum(SHARES.values()) * (1 if how == "compiled" else 6) / 25
    examples = max(1, round(EXAMPLES * share))

    @seed(zlib.crc32(f"{family} {how} {SEED}".encode()))
    @settings(
        max_examples=examples,
        database=None,
        deadline=None,
        phases=PHASES,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
        print_blob=False,
    )
    @given(case=cases(family))
    def property_of(case: Case) -> None:
        assume(case.fit())
        faults = judge.judge(case, how)
        if faults:
            pytest.fail("\n".join(map(str, faults[:SHOWN])), pytrace=False)

    with Judge() as judge:
        property_of()
    if how != "csv, undeclared":  # where less is told more is refused
        assert judge.tally["case: refused at pack"] <= examples / 2, judge.tally

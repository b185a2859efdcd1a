"""Judges many drawn cases and prints what came of them, the wrong ones by cause: `python -m tests.frames --examples
50000`.
"""

import argparse
import time
from collections import Counter

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.frames.cases import Case, cases
from tests.frames.estimators import FAMILIES
from tests.frames.verdicts import Judge
from tests.frames.ways import PACKED


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--columns", type=int, default=4, help="most columns of a frame; 1 tells causes apart")
    parser.add_argument("--family", choices=FAMILIES, action="append")
    parser.add_argument("--packed", choices=PACKED, action="append")
    parser.add_argument(
        "--all-ways", action="store_true", help="ask each case by lists and by names, from CSV and from Parquet"
    )
    options = parser.parse_args()
    faults: dict[tuple[str, str, str], list[str]] = {}
    counts: Counter[str] = Counter()
    families = st.sampled_from(options.family or FAMILIES)
    drawn = st.tuples(
        families.flatmap(lambda family: cases(family, options.columns)), st.sampled_from(options.packed or PACKED[:4])
    )

    @seed(options.seed)
    @settings(
        max_examples=options.examples,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(drawn)
    def run(drawn: tuple[Case, str]) -> None:
        case, how = drawn
        if not case.fit():
            counts["case: does not fit"] += 1
            return
        counts["case: all"] += 1
        for fault in judge.judge(case, how):
            faults.setdefault(fault.cause, []).append(str(fault))

    started = time.process_time()
    with Judge(all_ways=options.all_ways) as judge:
        run()
    seconds = time.process_time() - started
    for cause, found in sorted(faults.items(), key=lambda item: -len(item[1])):
        print(f"--- {len(found)}: {' | '.join(cause)}\n{min(found, key=len)}\n")
    counts.update(judge.tally)
    for name, count in sorted(counts.items()):
        print(f"{count:8} {name}")
    print(f"{seconds / max(1, counts['case: all']) * 1000:.0f} ms of CPU a case")


if __name__ == "__main__":
    main()

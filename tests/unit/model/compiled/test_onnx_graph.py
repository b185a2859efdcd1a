"""Bound buffers: a set for each thread, and they work in forked children."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier

from slipway.errors import RefusedByModel
from slipway.model.compiled.model import CompiledModel, read
from slipway.packing.compiling.columns import raw
from slipway.packing.compiling.forests import READERS
from slipway.packing.compiling.graph import compile_ensemble
from tests.support.signed import Rows, fitted, signed
from tests.support.zoo import iris


@pytest.fixture(scope="module")
def forest() -> tuple[CompiledModel, Rows]:
    X, y = iris()
    model, rows = signed(fitted(RandomForestClassifier(50, min_samples_leaf=2, random_state=0), X, y), X)
    columns = model.signature.columns or ()
    candidate = compile_ensemble(READERS[RandomForestClassifier](model.estimator), raw(len(columns)), columns)
    return read(candidate.form, candidate.content, model.signature), rows


def test_threads_do_not_mix_their_rows_up(forest: tuple[CompiledModel, Rows]) -> None:
    form, rows = forest
    expected = [form.infer_row(row) for row in rows]
    start = threading.Barrier(4)

    def ask(offset: int) -> None:
        start.wait()
        for i in range(4000):
            place = (offset + i) % len(rows)
            assert form.infer_row(rows[place]) == expected[place]

    with ThreadPoolExecutor(4) as pool:
        for work in [pool.submit(ask, 37 * i) for i in range(4)]:
            work.result(60)


def test_forked_children_share_a_session_that_has_run(forest: tuple[CompiledModel, Rows]) -> None:
    form, rows = forest
    expected = [form.infer_row(row) for row in rows]
    together = form.infer(rows).probabilities
    children = []
    for offset in range(3):
        child = os.fork()
        if child == 0:
            answers = [form.infer_row(rows[(offset + i) % len(rows)]) for i in range(2000)]
            right = all(answer == expected[(offset + i) % len(rows)] for i, answer in enumerate(answers))
            os._exit(0 if right and form.infer(rows).probabilities == together else 1)
        children.append(child)
    mine = [form.infer_row(row) for row in rows]
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0, 0, 0]
    assert mine == expected


def test_a_session_starts_no_threads(forest: tuple[CompiledModel, Rows]) -> None:
    before = len(os.listdir("/proc/self/task"))
    form, rows = forest
    form.infer(rows * 20)
    assert len(os.listdir("/proc/self/task")) == before


def test_numbers_beyond_float32_are_refused_wherever_they_are(forest: tuple[CompiledModel, Rows]) -> None:
    form, rows = forest
    for place in range(4):
        for huge in (1e39, -1e39, 3.4028235677973366e38):
            row = [*rows[0][:place], huge, *rows[0][place + 1 :]]
            with pytest.raises(RefusedByModel, match=f"x{place}"):
                form.infer_row(row)
            with pytest.raises(RefusedByModel):
                form.infer(np.array([rows[0], row]))
    assert form.infer_row([3.4028234663852886e38, *rows[0][1:]])[1] is not None

"""Whether a case is answered as its estimator answers it: what was asked, expected and got, and a tally of it."""

import asyncio
import json
import math
import re
import shutil
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import numpy as np
from threadpoolctl import threadpool_limits

from slipway.model.artifact import Artifact, open_model
from slipway.model.manifest import read_manifest
from tests.frames.cases import Case, Row
from tests.frames.columns import NoDate, fits, in_csv, may_be_category
from tests.frames.ways import NAME, Answer, NoSuchFile, Refused, ask, carried, offline, pack_case, served, tells

UNDECLARED = "csv, undeclared"
WRONG = "wrong"
FAILS = "fails"
LOUD = (FAILS, "packed, but not ready", "another number of answers")  # wrong whatever the packer was told
SILENT = (*LOUD, WRONG, "answered, although it must be refused")


LAST_DIGITS = 1e-15


class Expected(NamedTuple):
    """What the estimator itself answers for some rows; `probabilities` None where it has none."""

    predictions: list[Any]
    probabilities: list[list[float]] | None
    classes: list[Any]

    def answer(self, i: int) -> Answer:
        if self.probabilities is None:
            return Answer(self.predictions[i], None)
        by_class = self.probabilities[i]
        return Answer(self.predictions[i], by_class[self.classes.index(self.predictions[i])], by_class)


class Fault(NamedTuple):
    """A wrong answer, or a refusal that should not be. `way` and `what` are alike for faults of one kind, `detail`
    is this one's.
    """

    what: str
    way: str
    kinds: str
    detail: str
    case: Case

    @property
    def cause(self) -> tuple[str, str, str]:
        return self.what, self.way, self.kinds

    def __str__(self) -> str:
        return f"{self.what}: {self.way}\n  {self.detail}\n{self.case}"


class Judge:
    """Serves cases one after another, each in a folder of its own, and counts what came of them.

    `all_ways`: each case by lists and by names, from CSV and from Parquet; otherwise half of them, by turns.
    """

    def __init__(self, *, all_ways: bool = False) -> None:
        self.tally: Counter[str] = Counter()
        self._all_ways = all_ways

    def __enter__(self) -> "Judge":
        self._runner = asyncio.Runner()
        self._one_thread = threadpool_limits(1)  # tiny estimators gain nothing by more, and wait for each other's
        return self

    def __exit__(self, *_: object) -> None:
        self._one_thread.restore_original_limits()
        self._runner.close()

    def judge(self, case: Case, how: str) -> list[Fault]:
        """What is wrong; nothing, if all is right or refused in good words."""
        memory = Path("/dev/shm")
        folder = Path(tempfile.mkdtemp(dir=memory if memory.is_dir() else None))
        trial = _Trial(self.tally, case, how, folder, range(4) if self._all_ways else [case.turn])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the estimators': ill-conditioned, unknown categories, no convergence
            try:
                trial.run(self._runner)
            finally:
                shutil.rmtree(folder)
        self.tally["case: wrong" if trial.faults else f"case: {trial.outcome}"] += 1
        return trial.faults


class _Trial:
    """One case on all ways. `answered`: the rows outside of the training frame that were not refused."""

    def __init__(self, tally: Counter[str], case: Case, how: str, folder: Path, turns: Sequence[int]) -> None:
        self.tally, self.case, self.how, self.folder, self.turns = tally, case, how, folder, turns
        self._expected: dict[str, Expected] = {}
        self.bound = 0.0
        self.answered: list[Row] = []
        self.faults: list[Fault] = []
        self.outcome = "answered"

    def run(self, runner: asyncio.Runner) -> None:
        try:
            pack_case(self.case, self.how, self.folder)
        except NoSuchFile:
            self.outcome = "no such file"
            return
        except Refused as refusal:
            self.outcome = "refused at pack"
            self.tally[f"pack refuses: {self.reason(refusal)}"] += 1
            self.must_name(refusal, "pack")
            return
        directory = self.folder / "models" / NAME / "1"
        manifest = read_manifest(directory)
        if manifest is not None and manifest.compiled is not None:
            self.bound = manifest.compiled.bound
            self.outcome = "answered by a compiled form"
        runner.run(self.over_http())
        artifact = open_model(directory)
        rows = self.usual + [row for row in self.answered if all(map(fits, self.case.columns, row))]
        for kind in sorted({("parquet", "csv")[turn // 2] for turn in self.turns}):
            told = carried(self.case, rows, kind)
            self.offline(artifact, told, kind)
            if kind == "csv":
                self.ambiguous(artifact, self.with_empty_cells(rows)[:1], "csv")
            elif len(told) < len(rows):  # together, for it is what stands beside an integer that makes a float of it
                self.ambiguous(artifact, rows, "parquet")

    @property
    def usual(self) -> list[Row]:
        """The rows of the training frame, but for values of a kind that the packer has never seen."""
        return [row for row in self.case.rows if not self.case.lacks(row)]

    async def over_http(self) -> None:
        async with served(self.folder) as client:
            if (await client.get("/ready")).status_code != 200:
                self.fault("packed, but not ready", "HTTP", (await client.get(f"/models/{NAME}")).text)
                return
            for by_name in sorted({bool(turn % 2) for turn in self.turns}):
                await self.inside(client, self.usual, by_name=by_name)
                await self.inside(client, self.usual[-1:], by_name=not by_name, one=True)
            for i, (place, row) in enumerate(self.case.outside):
                await self.outside(client, row, place, by_name=i % 2 == 0)
            if len(self.answered) > 1:
                own = [row for row in self.usual[:3] + self.answered if all(map(fits, self.case.columns, row))]
                await self.inside(client, own, by_name=True)
            for row in [row for row in self.case.rows if self.case.lacks(row)][:1]:
                await self.lacking(client, row)

    async def inside(self, client: httpx.AsyncClient, rows: list[Row], *, by_name: bool, one: bool = False) -> None:
        way = f"HTTP {'by names' if by_name else 'by lists'}, {'one row' if one else 'many rows'}"
        try:
            got = await ask(client, self.case, rows, by_name=by_name, one=one)
        except Refused as refusal:
            self.fault("a row of the training frame is refused", way, str(refusal))
        else:
            self.compare(way, rows, got)

    async def outside(self, client: httpx.AsyncClient, row: Row, place: int, *, by_name: bool) -> None:
        """A row with a value that the training frame lacks: answered as the estimator does, or refused where it
        raises.
        """
        column, value = self.case.columns[place], row[place]
        way, told = f"HTTP {'by names' if by_name else 'by lists'}, a strange value", f"{value!r} in {column.name}: "
        expected, reason = None, "it is no date"
        if not isinstance(value, NoDate):
            try:
                expected = self.expected([row])
            except Exception as error:  # an estimator may raise anything
                reason = f"the estimator raises {type(error).__name__}: {error}"
        try:
            got = await ask(client, self.case, [row], by_name=by_name, one=True)
        except Refused as refusal:
            self.tally[f"strange row refused: {self.reason(refusal)}"] += 1
            if refusal.status < 500 and (expected is None or not _finite(expected)):
                return
            if refusal.status < 500 and fits(column, value) and not self.case.lacks(row):
                self.fault("refused, although the estimator answers", way, told + str(refusal), column.name)
            self.must_name(refusal, way, column.name)
            return
        if expected is None:
            self.fault("answered, although it must be refused", way, f"{told}{got}, but {reason}", column.name)
        else:
            self.compare(way, [row], got, column.name)
            self.answered.append(row)

    async def lacking(self, client: httpx.AsyncClient, row: Row) -> None:
        """A row with a value of a kind that the packer's rows lack: refused by name, unless it is answered right."""
        way = "HTTP by names, a kind of value that the sample lacks"
        try:
            got = await ask(client, self.case, [row], by_name=True, one=True)
        except Refused as refusal:
            self.tally["kind of value refused that the sample lacks"] += 1
            self.must_name(refusal, way, *self.case.lacks(row))
        else:
            self.compare(way, [row], got)

    def offline(self, artifact: Artifact, rows: list[Row], kind: str) -> None:
        way = f"offline from {kind}"
        try:
            got = offline(artifact, self.case, rows, self.folder, kind) if rows else None
        except Refused as refusal:
            self.fault("a row of the training frame is refused", way, str(refusal))
        else:
            if got is not None:
                self.compare(way, rows, got, as_text=True)

    def with_empty_cells(self, rows: list[Row]) -> list[Row]:
        """Those whose empty cell, in a CSV, may be a missing value or a category, and whose other cells are told."""

        def may_be_either(row: Row) -> bool:
            cells = list(zip(self.case.columns, row, strict=True))
            told = all(in_csv(*cell) or may_be_category(*cell) for cell in cells)
            return told and any(may_be_category(*cell) for cell in cells)

        return list(filter(may_be_either, rows))

    def ambiguous(self, artifact: Artifact, rows: list[Row], kind: str) -> None:
        """Rows with a cell that a file does not tell from others: refused by name, unless they are answered right."""
        way = f"offline from {kind}, an unclear cell"
        try:
            got = offline(artifact, self.case, rows, self.folder, kind) if rows else None
        except Refused as refusal:
            self.tally[f"{way}: refused"] += 1
            self.must_name(refusal, way)
        else:
            if got is not None:
                self.compare(way, rows, got, as_text=True)

    def expected(self, rows: Sequence[Row]) -> Expected:
        known = repr(rows)
        if known not in self._expected:
            self._expected[known] = self._ask_estimator(rows)
        return self._expected[known]

    def _ask_estimator(self, rows: Sequence[Row]) -> Expected:
        estimator, frame = self.case.estimator, self.case.frame(rows)
        with np.errstate(all="ignore"):
            predictions = np.asarray(estimator.predict(frame)).ravel().tolist()
            has_probabilities = hasattr(estimator, "predict_proba")
            probabilities = np.asarray(estimator.predict_proba(frame)).tolist() if has_probabilities else None
        return Expected(
            predictions, probabilities, np.asarray(estimator.classes_).tolist() if has_probabilities else []
        )

    def compare(self, way: str, rows: Sequence[Row], got: list[Answer], *columns: str, as_text: bool = False) -> None:
        same, expected = self.same_text if as_text else self.same, self.expected(rows)
        if len(got) != len(rows):
            self.fault("another number of answers", way, f"{len(got)} for {len(rows)} rows")
            return
        wanted = [expected.answer(i) for i in range(len(rows))]
        wrong = [i for i, answer in enumerate(got) if not _agree(answer, wanted[i], same)]
        self.tally["answers: right"] += len(rows) - len(wrong)
        self.tally["answers: wrong"] += len(wrong)
        if wrong:
            i = wrong[0]
            shown = (
                f"row {rows[i]!r}\n  expected {wanted[i]}\n  got      {got[i]}  ({len(wrong)} of {len(rows)} rows "
                "differ)"
            )
            self.fault(WRONG, way, shown, *columns)

    def same(self, got: Any, wanted: Any) -> bool:
        if isinstance(wanted, float):
            if not math.isfinite(wanted):
                return got is None
            # A sum's last digit is left to how its addends lie in memory: scikit-learn itself answers a row otherwise
            # among others.
            return isinstance(got, float) and abs(got - wanted) <= max(self.bound, LAST_DIGITS) * max(1.0, abs(wanted))
        return type(got) is type(wanted) and bool(got == wanted)

    def same_text(self, got: str, wanted: Any) -> bool:
        if wanted is None or (isinstance(wanted, float) and not math.isfinite(wanted)):
            return got == ""
        return self.same(float(got), wanted) if isinstance(wanted, float) and got else got == str(wanted)

    def must_name(self, refusal: Refused, way: str, *columns: str) -> None:
        if refusal.status >= 500:
            self.fault(FAILS, way, str(refusal), *columns)
        elif not any(column.name in str(refusal) for column in self.case.columns):
            self.fault("refused without a column's name", way, str(refusal), *columns)

    def reason(self, refusal: Refused) -> str:
        """The refusal without what differs from case to case."""
        words = str(refusal).replace(str(self.folder), "").removeprefix("slipway: ")
        if words.startswith("{"):
            words = f"{refusal.status} {json.loads(words)['detail']}"
        words = re.sub(r"'[^']*'|\"[^\"]*\"|\bc\d\b|\d+(\.\d+)?", "…", words)
        return " ".join(words.split())[:120]

    def fault(self, what: str, way: str, detail: str, *columns: str) -> None:
        if what not in (LOUD if not tells(self.case, self.how) else SILENT if self.how == UNDECLARED else (what,)):
            self.tally[f"left out, for the packer was not told: {what}"] += 1
            return
        drawn = self.case.columns
        kinds = {column.kind for column in drawn if column.name in columns} or {column.kind for column in drawn}
        self.faults.append(Fault(what, f"packed from {self.how}, {way}", ", ".join(sorted(kinds)), detail, self.case))


def _agree(answer: Answer, wanted: Answer, same: Callable[[Any, Any], bool]) -> bool:
    if not same(answer.prediction, wanted.prediction) or not same(answer.confidence, wanted.confidence):
        return False
    return answer.by_class is None or (wanted.by_class is not None and all(map(same, answer.by_class, wanted.by_class)))


def _finite(expected: Expected) -> bool:
    every = [expected.predictions, *(expected.probabilities or ())]
    return all(math.isfinite(value) for values in every for value in values if isinstance(value, float))

"""Compiling: the first form of a model that is proven to answer as the estimator does, and is quicker, is kept."""

import hashlib
import math
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, TargetEncoder
from threadpoolctl import threadpool_limits

from ...model.compiled.encoding import Row
from ...model.compiled.model import CompiledForm, CompiledModel, read
from ...model.estimator import Model, decides_by_probability
from ...model.rows import RowValidator
from . import boosters, forests
from .candidate import Candidate, CannotCompile
from .columns import Features, apply, merged, raw
from .linear import compile_linear, is_linear
from .proof import NotProven, prove

try:
    from . import converted, graph
except ModuleNotFoundError:  # an optional dependency
    converted = graph = None  # type: ignore[assignment]

MANY = 100
# What a form has to be on one row and on MANY to be worth having; times are uncertain by a third.
QUICKER, NO_SLOWER = 1.5, 0.7
SECONDS = 0.2  # for each measurement
FEWEST_CALLS = 5

_NOT_INSTALLED = "Its form would be a graph, and that needs the extra `compile`: pip install 'slipway-serve[compile]'"

# What skl2onnx would compute in float32, or cannot pick columns by name for.
_ENCODERS = (ColumnTransformer, OneHotEncoder, OrdinalEncoder, SimpleImputer, TargetEncoder)


@dataclass(frozen=True)
class Compilation:
    """What came of it: a form and its file's content, or the reason why there is none. The speeds: the estimator's
    time over the form's.
    """

    form: CompiledForm | None = None
    content: bytes = b""
    reason: str = ""
    speed_one: float = 1.0
    speed_many: float = 1.0

    @property
    def won(self) -> str:
        """What the form is worth, in words."""
        proven = "" if self.form is None else f"; proven within {self.form.bound:g} on {self.form.rows:,} rows"
        return f"{self.speed_one:.3g} times as quick on one row, {self.speed_many:.3g} times on {MANY}{proven}"


def compile_model(model: Model, rows: Sequence[Row]) -> Compilation:
    """`rows`: the data as JSON rows that the signature accepts; all of them are part of the proof. Never raises for
    a model's sake.
    """
    with threadpool_limits(1), warnings.catch_warnings():  # as it is served
        # An estimator that was fitted on a data frame warns of every array, others of less.
        warnings.simplefilter("ignore")
        return _compiled(model, rows)


def _compiled(model: Model, rows: Sequence[Row]) -> Compilation:
    reasons = []
    for attempt in _attempts(model):
        try:
            candidate, form = _made(attempt, model)
            proof = prove(model, form, rows, candidate.thresholds)
            one, many = _speeds(model, form, rows)
            if one < QUICKER or many < NO_SLOWER:
                raise CannotCompile(
                    f"Its {candidate.form} form is not worth it: {one:.2g} times as quick on one row, {many:.2g} times "
                    f"on {MANY}"
                )
        except CannotCompile as error:
            reasons.append(str(error))
        except NotProven as error:
            reasons.append(f"Its {candidate.form} form is not proven: {error}")
        else:
            digest = "sha256:" + hashlib.sha256(candidate.content).hexdigest()
            part = CompiledForm(form=candidate.form, digest=digest, bound=proof.bound, rows=proof.rows)
            return Compilation(part, candidate.content, "", one, many)
    return Compilation(reason="; ".join(dict.fromkeys(reasons)))


def _attempts(model: Model) -> Iterator[Callable[[], Candidate]]:
    """Ways to compile a model, the best one first; each raises CannotCompile where it is none."""
    columns = model.signature.columns
    *before, final = _steps(model.estimator)
    read_trees = forests.READERS.get(type(final)) or boosters.reader(final)

    def encoded(steps: Sequence[Any]) -> Features:
        if columns is None or any(column.type == "any" for column in columns):
            raise CannotCompile("The types of its columns are not known: pack it with its data")
        if any(column.type == "datetime" for column in columns):
            raise CannotCompile("Columns of dates are not compiled")
        if model.signature.input == "text":
            raise CannotCompile("Only scikit-learn's own code splits texts into the same words")
        features = raw(len(columns))
        for step in steps:
            features = apply(step, features)
        return merged(features)

    def linear() -> Candidate:
        return compile_linear(final, encoded(before), len(columns or ()), model.signature.classes)

    def trees() -> Candidate:
        assert read_trees is not None
        own = getattr(final, "_preprocessor", None)  # HistGradientBoosting's, for its categories
        features = encoded([*before, own])
        if graph is None:
            raise CannotCompile(_NOT_INSTALLED)
        return graph.compile_ensemble(read_trees(final), features, columns or ())

    def generic() -> Candidate:
        count = max((i + 1 for i, step in enumerate(before) if isinstance(step, _ENCODERS)), default=0)
        rest = (
            Pipeline([(str(i), step) for i, step in enumerate([*before[count:], final])]) if before[count:] else final
        )
        by_probability = decides_by_probability(final)
        features = encoded(before[:count])
        if converted is None:
            raise CannotCompile(_NOT_INSTALLED)
        return converted.compile_generic(
            rest, features, model.kind, model.signature.classes, by_probability=by_probability
        )

    if is_linear(final):
        yield linear
    yield trees if read_trees is not None else generic


def _made(attempt: Callable[[], Candidate], model: Model) -> tuple[Candidate, CompiledModel]:
    try:
        candidate = attempt()
        return candidate, read(candidate.form, candidate.content, model.signature)
    except CannotCompile:
        raise
    except Exception as error:
        # Other versions of an estimator have other attributes, and the runtime does not run everything.
        raise CannotCompile(
            f"It cannot be compiled: {type(error).__name__}: {' '.join(str(error).split())[:200]}"
        ) from error


def _steps(estimator: Any) -> list[Any]:
    """The transformers and the estimator that answers, out of all the pipelines around them."""
    estimator = getattr(estimator, "best_estimator_", estimator)
    if not isinstance(estimator, Pipeline):
        return [estimator]
    return [
        inner for _, step in estimator.steps if not (step is None or isinstance(step, str)) for inner in _steps(step)
    ]


def _speeds(model: Model, form: CompiledModel, rows: Sequence[Row]) -> tuple[float, float]:
    """How many times as quick as the estimator the form is, on one row and on MANY."""
    validator = RowValidator(model.signature, MANY)
    many = [rows[i % len(rows)] for i in range(MANY)]
    one_batch, many_batch = validator.instances([list(many[0])]), validator.instances([list(row) for row in many])
    # Neither is timed while it makes an array of rows.
    alike: Any = many_batch.data if isinstance(many_batch.data, np.ndarray) else many
    one = _seconds(lambda: model.infer(one_batch.data)) / _seconds(lambda: form.infer_row(many[0]))
    return one, _seconds(lambda: model.infer(many_batch.data)) / _seconds(lambda: form.infer(alike))


def _seconds(call: Callable[[], Any]) -> float:
    """The shortest of many calls, which other work on the machine disturbs least."""
    best, calls, end = math.inf, 0, time.perf_counter() + SECONDS
    while (started := time.perf_counter()) < end or calls < FEWEST_CALLS:
        call()
        best = min(best, time.perf_counter() - started)
        calls += 1
    return best

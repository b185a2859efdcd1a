"""Where an estimator fails on the packer's own rows, the message names the cell, or the columns and what to declare
of them.
"""

from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.cluster import MiniBatchKMeans
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.tree import DecisionTreeClassifier

from slipway.errors import ArtifactError
from slipway.packing.columns import Declaration
from slipway.packing.pack import Packed, pack
from tests.support.estimators import codes, months

FRAME = pd.DataFrame(np.random.default_rng(0).normal(size=(60, 2)).round(2), columns=["a", "b"])
Y = (FRAME["a"] > 0).astype(int)
NUMBERS = {
    "by name": LogisticRegression().fit(FRAME, Y),
    "by place": LogisticRegression().fit(FRAME.to_numpy(), Y),
    "by column": make_pipeline(make_column_transformer((StandardScaler(), ["a", "b"])), LogisticRegression()).fit(
        FRAME, Y
    ),
}


def packed(tmp_path: Path, estimator: Any, data: Any, **options: Any) -> Packed:
    joblib.dump(estimator, tmp_path / "model.joblib")
    return pack(tmp_path / "model.joblib", name="m", output=tmp_path / "models", data=data, **options)


def refused(tmp_path: Path, estimator: Any, frame: pd.DataFrame, **options: Any) -> str:
    frame.to_csv(tmp_path / "data.csv", index=False, date_format=options.pop("date_format", None))
    with pytest.raises(ArtifactError) as error:
        packed(tmp_path, estimator, tmp_path / "data.csv", **options)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("cell", ["#DIV/0!", "12%", "1,5", "k.A.", "-", " "])
@pytest.mark.parametrize("estimator", NUMBERS.values(), ids=NUMBERS)
def test_a_cell_that_is_no_number_is_named_with_its_row(tmp_path: Path, estimator: Any, cell: str) -> None:
    frame = FRAME.assign(t=Y).astype({"a": object})
    frame.loc[6, "a"] = cell
    frame.loc[9, "a"] = cell
    frame.loc[3, "a"] = None
    told = refused(tmp_path, estimator, frame, target="t")
    assert (
        f"column 'a' holds {cell!r} in row 7 of the data, beside numbers: write a number there, or leave the cell empty"
    ) in told
    assert "--target" not in told
    assert "category" not in told
    assert (f"--missing {cell!r}" in told) == (cell not in ("1,5", " "))


def test_a_column_of_words_may_be_the_target_unless_that_was_given(tmp_path: Path) -> None:
    words = FRAME.assign(t=np.where(Y, "yes", "no"))
    told = refused(tmp_path, NUMBERS["by place"], words[["a", "t"]])
    assert told.endswith(
        "'t' holds strings, but the estimator was fitted on numbers: is it the target? Then name it with --target"
    )
    told = refused(tmp_path, NUMBERS["by place"], words.assign(b=words["t"]), target="t")
    assert told.endswith("'b' holds strings, but the estimator was fitted on numbers: leave it out, or give numbers")


def seconds(frame: pd.DataFrame) -> Any:
    return frame.apply(lambda column: column.dt.total_seconds())


DAYS = pd.Series(pd.date_range("2024-03-30", periods=60, freq="7h"))
OWN = {
    "category": (
        codes,
        pd.Series(pd.Categorical(["S", "M", "L"] * 20)),
        None,
        "if it was a category, list the categories .* categories = ",
    ),
    "duration": (
        seconds,
        DAYS - DAYS[0],
        None,
        r"if it was a Timedelta, JSON rows cannot carry it: make seconds of it "
        r"with \.dt\.total",
    ),
    "german date": (months, DAYS, "%d.%m.%Y %H:%M", "if it was a date, write it in ISO 8601, such as 2026-11-30"),
    "american date": (months, DAYS, "%m/%d/%Y", "if it was a date, write it in ISO 8601, such as 2026-11-30"),
}


@pytest.mark.parametrize("kind", OWN)
def test_a_column_that_own_code_sees_is_named_with_what_a_csv_does_not_tell(tmp_path: Path, kind: str) -> None:
    step, values, date_format, sentence = OWN[kind]
    frame = pd.DataFrame({"k": values, "z": np.arange(60.0)})
    columns = make_column_transformer((FunctionTransformer(step), ["k"]), remainder="passthrough")
    estimator = make_pipeline(columns, DecisionTreeClassifier()).fit(frame, [0, 1, 1] * 20)
    told = refused(tmp_path, estimator, frame, date_format=date_format)
    assert told.startswith("Pipeline cannot predict its data: AttributeError: Can only use .")
    assert pd.Series([told]).str.contains(f"; code of your own sees 'k': {sentence}")[0], told


def test_the_estimator_that_takes_short_floats_alone_is_asked(tmp_path: Path) -> None:
    estimator = MiniBatchKMeans(3, n_init=2).fit(FRAME.astype("float32"))
    told = refused(tmp_path, estimator, FRAME)
    assert (
        'it answers float32: declare in a columns file (--columns) [a] dtype = "float32", [b] dtype = "float32"' in told
    )
    declared = {name: Declaration(dtype="float32") for name in FRAME}
    assert packed(tmp_path, estimator, tmp_path / "data.csv", declarations=declared).artifact.manifest.examples

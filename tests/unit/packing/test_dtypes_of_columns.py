"""A row is answered alike whatever rows are beside it: the dtype of a column is decided once, where the user's own
code could see it.
"""

from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.tree import DecisionTreeClassifier

from slipway.errors import ArtifactError, InvalidInput
from slipway.packing.columns import read_declarations
from slipway.packing.pack import pack

FRAME = pd.DataFrame({"n": [1.0, 2.0, 10.0, 20.0] * 20, "x": np.arange(80.0)})


def as_text(frame: pd.DataFrame) -> Any:
    return np.column_stack([frame["n"].astype(str).str.len(), frame["x"]])


def doubled(frame: pd.DataFrame) -> Any:
    return np.column_stack([frame["n"] * 2, frame["x"]])


def has_many_digits(frame: pd.DataFrame) -> Any:
    return (frame[["n"]].astype(str) == "9007199254740993").to_numpy()


def packed(
    tmp_path: Path, step: Any, data: pd.DataFrame, suffix: str = "csv", declared: str = "", version: str = "1"
) -> Any:
    estimator = make_pipeline(FunctionTransformer(step), DecisionTreeClassifier()).fit(
        data, data["n"].astype(str).str.len()
    )
    joblib.dump(estimator, tmp_path / "model.joblib")
    path = tmp_path / f"data.{suffix}"
    data.astype({"n": "int64"}).to_csv(path, index=False) if suffix == "csv" else data.to_parquet(path)
    (tmp_path / "columns.toml").write_text(declared)
    declarations = read_declarations(tmp_path / "columns.toml")
    models = tmp_path / "models"
    source = tmp_path / "model.joblib"
    return pack(source, name="m", version=version, output=models, data=path, declarations=declarations).artifact


def answers(artifact: Any, rows: list[list[Any]]) -> Any:
    return artifact.model.infer(artifact.validator(10).instances(rows).data).predictions


def test_whole_numbers_that_own_code_answers_by_their_dtype_are_asked_for(tmp_path: Path) -> None:
    with pytest.raises(
        ArtifactError,
        match="'n' holds whole numbers, and the estimator answers them otherwise as integers or as floats",
    ):
        packed(tmp_path, as_text, FRAME)


def test_a_declared_dtype_of_floats_holds_for_each_row(tmp_path: Path) -> None:
    artifact = packed(tmp_path, as_text, FRAME, declared='[n]\ndtype = "float64"\n')
    assert answers(artifact, [[10, 0.0]]) == answers(artifact, [[10, 0.0], [1.5, 0.0]])[:1] == [4]


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_dtype_of_integers_takes_no_fraction(tmp_path: Path, suffix: str) -> None:
    declared = '[n]\ndtype = "int64"\n' if suffix == "csv" else ""
    artifact = packed(tmp_path, as_text, FRAME.astype({"n": "int64"}), suffix, declared)
    assert answers(artifact, [[10, 0.0]]) == answers(artifact, [[10.0, 0.0], [1, 0.0]])[:1] == [2]
    with pytest.raises(InvalidInput):
        artifact.validator(10).instances([[10, 0.0], [1.5, 0.0]])


def test_a_dtype_of_integers_cannot_be_missing(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="int64 holds no missing value"):
        packed(tmp_path, as_text, FRAME.astype({"n": "int64"}), declared='[n]\ndtype = "int64"\nnullable = true\n')


@pytest.mark.parametrize("least", [1, -(2**63)])
def test_integers_of_a_file_that_tells_them_stay_integers_whatever_a_sample_shows(tmp_path: Path, least: int) -> None:
    """`doubled` answers this data alike as floats, and would not answer so every other value."""
    artifact = packed(tmp_path, doubled, FRAME.assign(n=np.array([least, 2, 10, 20] * 20)), "parquet")
    assert (artifact.signature.columns[0].type, artifact.signature.columns[0].dtype) == ("integer", "int64")


def test_whole_numbers_of_a_csv_stay_integers_where_the_data_tell_no_difference(tmp_path: Path) -> None:
    found = packed(tmp_path, doubled, FRAME.astype({"n": "int64"}))
    assert found.signature.columns[0].type == "integer"
    with pytest.raises(InvalidInput):
        found.validator(10).instances([[10, 0.0], [1.5, 0.0]])
    declared = packed(tmp_path, doubled, FRAME, declared='[n]\ndtype = "float64"\n', version="2")
    assert answers(declared, [[10, 0.0]]) == answers(declared, [[10, 0.0], [1.5, 0.0]])[:1]


def test_what_the_data_lack_is_answered_as_the_integer_that_it_was(tmp_path: Path) -> None:
    """The text of a float is another one, also where no row of the data tells."""
    frame = pd.DataFrame({"n": [2**53 + 1, 9, 2] * 20, "x": np.arange(60.0)})
    estimator = make_pipeline(FunctionTransformer(has_many_digits), DecisionTreeClassifier()).fit(frame, [1, 0, 0] * 20)
    joblib.dump(estimator, tmp_path / "model.joblib")
    frame[frame["n"] < 10].to_csv(tmp_path / "data.csv", index=False)
    found = pack(tmp_path / "model.joblib", name="m", output=tmp_path / "models", data=tmp_path / "data.csv")
    assert [note for note in found.notes if note.startswith("Read as integers: 'n', for code of your own sees them")]
    assert answers(found.artifact, [[2**53 + 1, 0.0], [9, 0.0]]) == estimator.predict(frame[:2]).tolist() == [1, 0]

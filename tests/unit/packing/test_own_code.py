"""Cells of a CSV whose text a number does not give back, where the packer's own code sees them: text is not taken
for numbers silently.
"""

from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, OrdinalEncoder
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from slipway.errors import ArtifactError
from slipway.packing.columns import Declaration
from slipway.packing.pack import Packed, pack
from slipway.packing.predict_file import predict_file

ZIPS = [f"{place:05d}" for place in np.random.default_rng(0).integers(0, 100_000, 80)]
FRAME = pd.DataFrame({"zip": ZIPS, "n": np.arange(80.0)})


def packed(tmp_path: Path, estimator: Any, data: pd.DataFrame | None, **options: Any) -> Packed:
    joblib.dump(estimator, tmp_path / "model.joblib")
    if data is not None:
        data.to_csv(tmp_path / "data.csv", index=False)
    source = None if data is None else tmp_path / "data.csv"
    return pack(tmp_path / "model.joblib", name="m", output=tmp_path / "models", data=source, force=True, **options)


def predicted(tmp_path: Path, found: Packed, data: pd.DataFrame, **options: Any) -> list[Any]:
    data.to_csv(tmp_path / "asked.csv", index=False)
    predict_file(found.artifact, tmp_path / "asked.csv", tmp_path / "answers.csv", **options)
    return pd.read_csv(tmp_path / "answers.csv")["prediction"].tolist()


def first_letters(frame: pd.DataFrame) -> Any:
    return frame["zip"].astype(str).str[:1].map({str(digit): digit for digit in range(10)}).astype(float).to_frame()


def letters(frame: pd.DataFrame) -> Any:
    return frame["zip"].str[:1].map({str(digit): digit for digit in range(10)}).astype(float).to_frame()


def logarithms(frame: pd.DataFrame) -> Any:
    return np.log1p(frame)


def fitted(step: Any) -> Any:
    return make_pipeline(FunctionTransformer(step), DecisionTreeClassifier()).fit(
        FRAME, FRAME["zip"].str[0].astype(int) // 3
    )


def test_zeros_in_front_are_asked_for_where_they_change_the_answer(tmp_path: Path) -> None:
    estimator = fitted(first_letters)
    with pytest.raises(
        ArtifactError,
        match=r"'zip' holds '0\d+', and code of your own sees it.*: \[zip\] type = \"string\", or type "
        r"= \"number",
    ):
        packed(tmp_path, estimator, FRAME)
    found = packed(tmp_path, estimator, FRAME, declarations={"zip": Declaration(type="string")})
    assert predicted(tmp_path, found, FRAME) == estimator.predict(FRAME).tolist()


def test_zeros_in_front_are_text_where_the_estimator_takes_nothing_else(tmp_path: Path) -> None:
    estimator = fitted(letters)
    found = packed(tmp_path, estimator, FRAME)
    assert "Column 'zip' is read as text, for the estimator takes nothing else there" in found.notes
    assert predicted(tmp_path, found, FRAME) == estimator.predict(FRAME).tolist()


def test_zeros_in_front_are_numbers_where_the_estimator_takes_no_text(tmp_path: Path) -> None:
    numbers = FRAME.astype({"zip": int})
    estimator = make_pipeline(FunctionTransformer(logarithms), LogisticRegression()).fit(numbers, [0, 1] * 40)
    found = packed(tmp_path, estimator, FRAME)
    assert found.artifact.signature.columns[0].type == "integer"
    assert predicted(tmp_path, found, FRAME) == estimator.predict(numbers).tolist()


def test_codes_that_numbers_give_back_are_text_where_the_estimator_takes_nothing_else(tmp_path: Path) -> None:
    codes = FRAME[FRAME["zip"].str[0] != "0"]
    found = packed(tmp_path, fitted(letters), codes)
    assert "Column 'zip' is read as text, for the estimator takes nothing else there" in found.notes
    assert predicted(tmp_path, found, FRAME) == fitted(letters).predict(FRAME).tolist()


def mapped(frame: pd.DataFrame) -> Any:
    return frame["zip"].map({code: place for place, code in enumerate(sorted(ZIPS))}).fillna(-1).to_frame()


def test_codes_that_are_answered_otherwise_as_text_are_told(tmp_path: Path) -> None:
    codes = FRAME[FRAME["zip"].str[0] != "0"]
    estimator = fitted(mapped)
    found = packed(tmp_path, estimator, codes)
    [note] = [note for note in found.notes if note.startswith("Read as numbers: ")]
    assert note.startswith("Read as numbers: 'zip', which code of your own answers otherwise as text")
    found = packed(tmp_path, estimator, codes, declarations={"zip": Declaration(type="string")})
    assert not [note for note in found.notes if note.startswith("Read as numbers: ")]
    assert predicted(tmp_path, found, FRAME) == estimator.predict(FRAME).tolist()


def test_predict_refuses_zeros_in_front_that_the_data_at_packing_did_not_have(tmp_path: Path) -> None:
    found = packed(tmp_path, fitted(first_letters), FRAME[FRAME["zip"].str[0] != "0"])
    with pytest.raises(
        ArtifactError,
        match=r"Row \d+ of the data is refused: zip holds '0\d+'.* type = \"string\" in "
        r"its columns file",
    ):
        predicted(tmp_path, found, FRAME)


def lengths(frame: pd.DataFrame) -> Any:
    return frame["flag"].map(lambda value: len(value) if isinstance(value, str) else 0).to_frame()


@pytest.mark.parametrize(
    ("cell", "other", "kind"),
    [
        ("True", "False", "boolean"),
        ("+1", "2", "number"),
        ("1e5", "100000", "number"),
        ("3.10", "3.1", "number"),
        ("1", "1.5", "number"),
    ],
)
def test_other_cells_that_do_not_come_back_are_asked_for(tmp_path: Path, cell: str, other: str, kind: str) -> None:
    frame = pd.DataFrame({"flag": [cell, other] * 20})
    estimator = make_pipeline(OneHotEncoder(handle_unknown="ignore"), LogisticRegression()).fit(frame, [0, 1] * 20)
    own = make_pipeline(FunctionTransformer(lengths), DecisionTreeClassifier()).fit(frame, [0, 1] * 20)
    assert predicted(tmp_path, packed(tmp_path, estimator, frame), frame) == [0, 1] * 20
    with pytest.raises(ArtifactError, match=rf'type = "string", or type = "{kind}"'):
        packed(tmp_path, own, frame)
    found = packed(tmp_path, own, frame, declarations={"flag": Declaration(type="string")})
    assert predicted(tmp_path, found, frame) == [0, 1] * 20


@pytest.mark.parametrize("named", [True, False])
def test_without_data_the_estimator_tells_what_is_text(tmp_path: Path, named: bool) -> None:
    frame = pd.DataFrame({"c": ["01", "02", "10", "20"] * 20})
    asked: Any = frame if named else frame.to_numpy()
    estimator = make_pipeline(OneHotEncoder(handle_unknown="ignore"), DecisionTreeClassifier()).fit(
        asked, (frame["c"] < "05").astype(int)
    )
    found = packed(tmp_path, estimator, None)
    assert predicted(tmp_path, found, frame) == estimator.predict(asked).tolist()


def as_text(frame: pd.DataFrame) -> Any:
    return frame.astype(str).astype(object)


def of_text(frame: pd.DataFrame, classes: Any) -> Any:
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    return make_pipeline(FunctionTransformer(as_text), encoder, DecisionTreeClassifier()).fit(frame, classes)


DAYS = pd.to_datetime(["2024-03-31", "2024-10-27 01:07:42", "2003-01-14"] * 20, format="ISO8601")
CODES = pd.Categorical([6, 9, 6, None] * 15, categories=[6, 9])


@pytest.mark.parametrize(("column", "categories"), [(DAYS, None), (CODES, [6, 9])], ids=["dates", "categories"])
def test_a_column_whose_text_depends_on_other_rows_is_named(tmp_path: Path, column: Any, categories: Any) -> None:
    frame = pd.DataFrame({"n": np.arange(60.0), "mark": column})
    estimator = of_text(frame, pd.factorize(frame["mark"])[0])
    joblib.dump(estimator, tmp_path / "model.joblib")
    declarations = {"mark": Declaration(categories=categories)}
    with pytest.raises(
        ArtifactError, match="otherwise when other rows are asked with it, because of 'mark': make what"
    ):
        pack(tmp_path / "model.joblib", name="m", output=tmp_path, data=frame, declarations=declarations)


def last_digits(frame: pd.DataFrame) -> Any:
    return (frame % 97).astype(float)


@pytest.mark.parametrize("value", [9, 2**53 + 1])
def test_whole_numbers_beside_missing_cells_are_asked_for_where_they_count(tmp_path: Path, value: int) -> None:
    frame = pd.DataFrame({"n": np.arange(60.0), "mark": pd.Categorical([6, value, None] * 20, categories=[6, value])})
    estimator = of_text(frame, [0, 1, 2] * 20)
    with pytest.raises(ArtifactError, match=r"'mark' holds whole numbers.*: \[mark\] dtype = \"Int64\" or"):
        packed(tmp_path, estimator, frame)


def test_integers_beside_missing_cells_keep_their_digits_or_are_asked_for(tmp_path: Path) -> None:
    values = [value for place in range(20) for value in (2**53 + 1 + 2 * place, None, 7 * place)]
    frame = pd.DataFrame({"n": np.arange(60.0), "mark": pd.array(values, dtype="Int64")})
    estimator = make_pipeline(FunctionTransformer(last_digits), DecisionTreeRegressor())
    estimator.fit(frame, (frame["mark"] % 97).fillna(-1))
    with pytest.raises(ArtifactError, match="'mark' holds whole numbers"):
        packed(tmp_path, estimator, frame)
    found = packed(tmp_path, estimator, frame, declarations={"mark": Declaration(dtype="Int64")})
    assert predicted(tmp_path, found, frame) == estimator.predict(frame).tolist()


def test_whole_numbers_beside_missing_cells_are_floats_where_that_changes_nothing(tmp_path: Path) -> None:
    frame = pd.DataFrame({"n": np.arange(60.0), "mark": pd.array([6, 9, None] * 20, dtype="Int64")})
    estimator = make_pipeline(FunctionTransformer(last_digits), DecisionTreeClassifier()).fit(frame, [0, 1, 2] * 20)
    assert predicted(tmp_path, packed(tmp_path, estimator, frame), frame) == estimator.predict(frame).tolist()


@pytest.mark.parametrize("values", [[-2, -1, 34.0, None], [-2, -1, 34.0, "a"]], ids=["numbers", "beside text"])
def test_integers_beside_floats_among_objects_are_asked_for_of_parquet(tmp_path: Path, values: list[Any]) -> None:
    frame = pd.DataFrame({"n": np.arange(60.0), "mark": pd.Series(values * 15, dtype=object)})
    estimator = of_text(frame, [0, 1, 2, 3] * 15)
    joblib.dump(estimator, tmp_path / "model.joblib")
    found = pack(tmp_path / "model.joblib", name="m", output=tmp_path, data=frame)
    asked = frame[frame["mark"].map(lambda value: isinstance(value, int | float))]
    assert predicted(tmp_path, found, asked) == estimator.predict(asked).tolist()
    asked.to_parquet(tmp_path / "asked.parquet")
    with pytest.raises(ArtifactError, match=r"Row 1 of the data is refused: mark holds -2.0, which was -2, perhaps"):
        predict_file(found.artifact, tmp_path / "asked.parquet", tmp_path / "answers.csv")
    asked[:2].to_parquet(tmp_path / "asked.parquet")
    predict_file(found.artifact, tmp_path / "asked.parquet", tmp_path / "answers.csv")
    assert pd.read_csv(tmp_path / "answers.csv")["prediction"].tolist() == [0, 1]


def ticks(frame: pd.DataFrame) -> Any:
    return frame.astype("int64").astype(float)


def test_dates_of_a_csv_are_in_the_unit_that_an_encoder_beside_own_code_knows(tmp_path: Path) -> None:
    frame = pd.DataFrame({"day": pd.Series(DAYS).astype("datetime64[ms]")})
    both = make_union(FunctionTransformer(ticks), OneHotEncoder(handle_unknown="ignore", sparse_output=False))
    estimator = make_pipeline(both, DecisionTreeRegressor(random_state=0)).fit(frame, np.arange(60) % 3)
    assert predicted(tmp_path, packed(tmp_path, estimator, frame), frame) == estimator.predict(frame).tolist()

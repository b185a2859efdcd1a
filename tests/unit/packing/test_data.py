"""The data of `slipway pack`: which cells are missing, integers, dates, headers, and what an earlier manifest got
wrong.
"""

import json
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder
from sklearn.tree import DecisionTreeClassifier

from slipway.errors import ArtifactError, InvalidInput
from slipway.model.artifact import load
from slipway.model.rows import RowValidator
from slipway.packing.check import check
from slipway.packing.columns import Declaration
from slipway.packing.pack import Packed, pack
from slipway.packing.predict_file import predict_file

COUNTRIES = ["NA", "null", "None", "nan", "DE", ""]
WORLD = pd.DataFrame({"country": [*(COUNTRIES * 20)[:-1], "DE"], "age": np.arange(120.0)})
BIG = 5733018224205767597


def world() -> Any:
    columns = make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ["country"]), remainder="passthrough")
    return make_pipeline(columns, LogisticRegression(max_iter=500)).fit(
        WORLD, (WORLD["country"].isin(["NA", "null"])).astype(int)
    )


def packed(tmp_path: Path, estimator: Any, data: Any, **options: Any) -> Packed:
    joblib.dump(estimator, tmp_path / "model.joblib")
    return pack(tmp_path / "model.joblib", name="m", output=tmp_path / "models", data=data, **options)


def csv(tmp_path: Path, frame: pd.DataFrame, **options: Any) -> Path:
    frame.to_csv(tmp_path / "data.csv", index=False, **options)
    return tmp_path / "data.csv"


def test_na_is_a_value_in_text_for_pack_and_predict_alike(tmp_path: Path) -> None:
    estimator = world()
    rows = WORLD[WORLD["country"] != ""].reset_index(drop=True)
    found = packed(tmp_path, estimator, csv(tmp_path, rows))
    predict_file(found.artifact, tmp_path / "data.csv", tmp_path / "answers.csv")
    assert pd.read_csv(tmp_path / "answers.csv")["prediction"].tolist() == estimator.predict(rows).tolist()
    [note] = [note for note in found.notes if note.startswith("Kept as text in 'country'")]
    assert "'NA' 20 times" in note
    assert "say --missing" in note


def test_words_that_are_said_to_mean_a_missing_value_do_so_unless_the_estimator_knows_them(tmp_path: Path) -> None:
    frame = pd.DataFrame({"town": ["Bonn", "Kiel", "-"] * 10, "age": np.arange(30.0)})
    fitted = frame.assign(town=frame["town"].replace("-", np.nan))
    columns = make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ["town"]), remainder="passthrough")
    estimator = make_pipeline(columns, LogisticRegression(max_iter=500)).fit(fitted, [0, 1, 1] * 10)
    found = packed(tmp_path, estimator, csv(tmp_path, frame), missing=["-", "Bonn"])
    assert found.artifact.signature.columns[0].missing_words == ("", "-")
    assert "Read as missing: 10 cells of 'town'" in found.notes
    predict_file(found.artifact, tmp_path / "data.csv", tmp_path / "answers.csv")
    assert pd.read_csv(tmp_path / "answers.csv")["prediction"].tolist() == estimator.predict(fitted).tolist()


def last_digits(frame: pd.DataFrame) -> Any:
    return (frame.to_numpy() % 10).astype(float)


def test_integers_keep_all_digits_from_json_to_the_estimator(tmp_path: Path) -> None:
    ids = pd.DataFrame({"customer_id": [BIG + i for i in range(40)]})
    estimator = make_pipeline(FunctionTransformer(last_digits), LogisticRegression(max_iter=500)).fit(
        ids, [i % 2 for i in range(40)]
    )
    found = packed(tmp_path, estimator, csv(tmp_path, ids))
    validator = found.artifact.validator(100)
    batch = validator.instances([[BIG], [BIG + 1]])
    assert batch.rows == [[BIG], [BIG + 1]]
    assert found.artifact.model.infer(batch.data).predictions == estimator.predict(ids.head(2)).tolist()
    at_once = validator.rows_of_json(json.dumps({"features": [BIG]}).encode())
    assert at_once is not None
    assert at_once[0].data["customer_id"].tolist() == [BIG]
    # It would make floats of the ids beside it.
    with pytest.raises(InvalidInput, match="customer_id: Expected an integer"):
        validator.features([1.5])
    assert found.artifact.manifest is not None
    assert type(found.artifact.manifest.examples[0].features[0]) is int


def test_a_column_that_is_declared_one_of_integers_refuses_a_fraction(tmp_path: Path) -> None:
    frame = pd.DataFrame({"tenure": range(40)})
    estimator = LogisticRegression().fit(frame, [i % 2 for i in range(40)])
    found = packed(tmp_path, estimator, csv(tmp_path, frame), declarations={"tenure": Declaration(type="integer")})
    validator = RowValidator(found.artifact.signature, 10)
    assert validator.features([11]).rows == [[11]]
    assert validator.features([11.0]).rows == [[11]]
    for wrong in (1.5, True, "1"):
        with pytest.raises(InvalidInput, match="tenure: Expected an integer"):
            validator.features([wrong])


def hours(frame: pd.DataFrame) -> Any:
    return np.column_stack([frame[name].dt.hour for name in frame]).astype(float)


@pytest.mark.parametrize("dtype", ["datetime64[ns]", "datetime64[s]", "datetime64[ms, Europe/Berlin]"])
def test_dates_are_served_in_the_unit_and_zone_of_the_training_frame(tmp_path: Path, dtype: str) -> None:
    times = pd.date_range("2026-03-28", periods=60, freq="h", tz="UTC" if "," in dtype else None).astype(dtype)
    frame = pd.DataFrame({"at": times})
    estimator = make_pipeline(FunctionTransformer(hours), LogisticRegression(max_iter=500)).fit(
        frame, frame["at"].dt.hour % 2
    )
    found = packed(tmp_path, estimator, frame)
    validator = found.artifact.validator(100)
    batch = validator.instances([[time.isoformat()] for time in frame["at"]])
    assert str(batch.data["at"].dtype) == dtype
    assert found.artifact.model.infer(batch.data).predictions == estimator.predict(frame).tolist()
    offset = "+01:00" if "," not in dtype else ""
    for wrong in ("yesterday", "2026-02-30", f"2026-03-28T10:00:00{offset}", 20260328):
        with pytest.raises(InvalidInput, match="at: Expected a date"):
            validator.features([wrong])


def test_text_in_a_csv_is_dates_where_the_estimator_takes_no_text(tmp_path: Path) -> None:
    frame = pd.DataFrame({"at": pd.date_range("2026-01-01", periods=60, freq="h")})
    estimator = make_pipeline(FunctionTransformer(hours), LogisticRegression(max_iter=500)).fit(
        frame, frame["at"].dt.hour % 2
    )
    found = packed(tmp_path, estimator, csv(tmp_path, frame))
    assert "Column 'at' is read as dates, for the estimator takes no text there" in found.notes
    predict_file(found.artifact, tmp_path / "data.csv", tmp_path / "answers.csv")
    assert pd.read_csv(tmp_path / "answers.csv")["prediction"].tolist() == estimator.predict(frame).tolist()


def epochs(frame: pd.DataFrame) -> Any:
    return frame.astype("datetime64[us]").astype("int64") if frame.dtypes.iloc[0].kind == "O" else frame.astype("int64")


def test_dates_whose_unit_counts_are_asked_for(tmp_path: Path) -> None:
    frame = pd.DataFrame({"at": pd.date_range("2026-01-01", periods=60, freq="h").astype("datetime64[ns]")})
    estimator = make_pipeline(FunctionTransformer(epochs), DecisionTreeClassifier()).fit(frame, [0, 1, 1] * 20)
    with pytest.raises(
        ArtifactError,
        match=r"'at' holds dates, and the estimator answers them otherwise .* declare "
        r"what the training",
    ):
        packed(tmp_path, estimator, csv(tmp_path, frame))
    declared = {"at": Declaration(dtype="datetime64[ns]")}
    assert (
        packed(tmp_path, estimator, tmp_path / "data.csv", declarations=declared).artifact.signature.columns[0].type
        == "datetime"
    )


def as_numbers(frame: pd.DataFrame) -> Any:
    return np.column_stack([frame["at"].astype("int64") / 1e18, frame["n"]])


@pytest.mark.parametrize("declared", [{}, {"at": Declaration(type="datetime")}])
def test_dates_whose_unit_counts_in_probabilities_alone_are_asked_for(
    tmp_path: Path, declared: dict[str, Declaration]
) -> None:
    number = np.random.default_rng(0).normal(size=60)
    frame = pd.DataFrame(
        {"at": pd.date_range("2026-01-01", periods=60, freq="h").astype("datetime64[ns]"), "n": number}
    )
    estimator = make_pipeline(FunctionTransformer(as_numbers), LogisticRegression(C=100)).fit(
        frame, (frame["n"] > 0).astype(int)
    )
    in_seconds = frame.astype({"at": "datetime64[s]"})
    assert estimator.predict(frame).tolist() == estimator.predict(in_seconds).tolist()
    with pytest.raises(
        ArtifactError,
        match=r"'at' holds dates, and the estimator answers them otherwise .* declare "
        r"what the training",
    ):
        packed(tmp_path, estimator, csv(tmp_path, frame), declarations=declared)
    found = packed(tmp_path, estimator, csv(tmp_path, frame), declarations={"at": Declaration(dtype="datetime64[ns]")})
    assert str(found.artifact.signature.columns[0].dtype) == "datetime64[ns]"


CELLS = pd.DataFrame(np.random.default_rng(0).random((40, 3)) * 20)
NUMBERS = LogisticRegression().fit(CELLS.to_numpy(), [0, 1] * 20)


def test_a_csv_without_a_header_is_refused_and_taken_with_no_header(tmp_path: Path) -> None:
    data = csv(tmp_path, CELLS, header=False)
    with pytest.raises(
        ArtifactError,
        match=r"taken for the names of its columns, but holds numbers .*: say "
        r"--no-header",
    ):
        packed(tmp_path, NUMBERS, data)
    found = packed(tmp_path, NUMBERS, data, header=False)
    assert found.artifact.signature.names == ("x0", "x1", "x2")
    predict_file(found.artifact, data, tmp_path / "answers.csv", header=False)
    assert pd.read_csv(tmp_path / "answers.csv")["prediction"].tolist() == NUMBERS.predict(CELLS.to_numpy()).tolist()


def test_the_numbers_that_pandas_gives_to_columns_are_names(tmp_path: Path) -> None:
    assert packed(tmp_path, NUMBERS, csv(tmp_path, CELLS)).artifact.signature.names == ("0", "1", "2")


def test_an_index_column_is_named(tmp_path: Path) -> None:
    CELLS.rename(columns=lambda place: f"c{place}").to_csv(tmp_path / "data.csv")
    with pytest.raises(
        ArtifactError,
        match=r"takes 3 features, the data has 4 columns; the first one \('Unnamed: 0'\) looks like an "
        r"index",
    ):
        packed(tmp_path, NUMBERS, tmp_path / "data.csv")


def lengths(frame: pd.DataFrame) -> Any:
    return np.column_stack([frame["word"].str.len().fillna(-1.0), frame["age"]])


def test_a_csv_that_changes_answers_is_noted_by_column(tmp_path: Path) -> None:
    frame = pd.DataFrame({"word": pd.Series(["a", "", None, "bb"] * 20, dtype="str"), "age": np.arange(80.0)})
    estimator = make_pipeline(FunctionTransformer(lengths), DecisionTreeClassifier()).fit(frame, [0, 1, 0, 1] * 20)
    [note] = [note for note in packed(tmp_path, estimator, frame).notes if note.startswith("From a CSV")]
    assert "20 of 80 rows would be answered otherwise or refused, because of 'word'" in note


def test_the_empty_cell_is_a_value_where_the_estimator_knows_the_empty_string(tmp_path: Path) -> None:
    estimator = world()
    found = packed(tmp_path, estimator, csv(tmp_path, WORLD))
    assert not [note for note in found.notes if note.startswith("From a CSV")]
    predict_file(found.artifact, tmp_path / "data.csv", tmp_path / "answers.csv")
    assert pd.read_csv(tmp_path / "answers.csv")["prediction"].tolist() == estimator.predict(WORLD).tolist()


def test_less_than_the_estimator_knows_is_said(tmp_path: Path) -> None:
    found = packed(tmp_path, NUMBERS, CELLS.iloc[:1])
    assert any(
        note.startswith("No row of the data is answered with") and note.endswith("of the 2 classes")
        for note in found.notes
    )


def as_format_one(found: Packed, **column: Any) -> None:
    """The manifest as earlier versions wrote it: with the categories of its data alone."""
    path = found.directory / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["format_version"] = 1
    manifest["examples"] = []
    for each in manifest["signature"]["columns"]:
        each.pop("categories", None)
        each.pop("ordered", None)
        each.update(column)
    path.write_text(json.dumps(manifest))


def test_a_manifest_of_format_1_that_lacks_categories_is_refused(tmp_path: Path) -> None:
    from lightgbm import LGBMClassifier

    frame = pd.DataFrame({"city": pd.Categorical(["a", "b", "c", "d"] * 20)})
    found = packed(
        tmp_path, LGBMClassifier(n_estimators=2, verbose=-1, min_data_per_group=1).fit(frame, [0, 1] * 40), frame
    )
    as_format_one(found, observed_categories=["a", "b"])
    with pytest.raises(
        ArtifactError,
        match=r"packed it with 2 categories of 'city', but the estimator knows 4.*: pack "
        r"it again",
    ):
        load(found.directory, name="m", version="1")


def test_what_a_manifest_of_format_1_may_get_wrong_is_said(tmp_path: Path) -> None:
    found = packed(tmp_path, world(), WORLD)
    as_format_one(found, nullable=True, observed_maximum=2.0**60)
    said = [verdict.sentence for verdict in check(found.directory)]
    assert any("took NA, null and their like for missing in 'country'" in sentence for sentence in said)
    assert any("made floats of the integers in 'age', beyond 2^53: pack it again" in sentence for sentence in said)


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "Europe/Berlin"])
def test_dates_of_parquet_keep_the_unit_of_the_frame_that_was_written(
    tmp_path: Path, unit: str, zone: str | None
) -> None:
    pytest.importorskip("pyarrow")
    dates = pd.Series(pd.date_range("2026-01-01", periods=60, freq="h", tz=zone)).dt.as_unit(unit)
    frame = pd.DataFrame({"at": dates})
    estimator = make_pipeline(FunctionTransformer(counted), DecisionTreeClassifier()).fit(frame, np.arange(60) // 4)
    frame.to_parquet(tmp_path / "data.parquet")
    artifact = packed(tmp_path, estimator, tmp_path / "data.parquet").artifact
    assert artifact.signature.columns[0].dtype == str(dates.dtype)
    predict_file(artifact, tmp_path / "data.parquet", tmp_path / "answers.csv")
    assert pd.read_csv(tmp_path / "answers.csv")["prediction"].tolist() == (np.arange(60) // 4).tolist()


def counted(frame: pd.DataFrame) -> Any:
    return frame.apply(lambda column: column.astype("int64"))

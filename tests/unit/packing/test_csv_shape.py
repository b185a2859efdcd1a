"""No column of a CSV shifts or vanishes and no row is lost without a word, in `slipway pack` and in `slipway
predict`.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from slipway.errors import ArtifactError
from slipway.model.artifact import Artifact
from slipway.model.estimator import Model
from slipway.model.signature import Signature
from slipway.packing.pack import pack
from slipway.packing.predict_file import predict_file

FRAME = pd.DataFrame(np.random.default_rng(0).normal(size=(60, 4)).round(3), columns=list("abcd"))
GAPS = FRAME.mask(np.random.default_rng(1).random(FRAME.shape) < 0.1)
Y = (FRAME["a"] + FRAME["b"] > 0).astype(int)
LINES = FRAME.to_csv(index=False).splitlines()


def packed(tmp_path: Path, estimator: Any, data: Any, **options: Any) -> Artifact:
    joblib.dump(estimator, tmp_path / "model.joblib")
    return pack(
        tmp_path / "model.joblib", name="m", output=tmp_path / "models", data=data, force=True, **options
    ).artifact


def predicted(tmp_path: Path, artifact: Artifact, content: str | bytes, **options: Any) -> tuple[list[Any], list[str]]:
    """The predictions and the notes."""
    data = tmp_path / "asked.csv"
    data.write_bytes(content if isinstance(content, bytes) else content.encode())
    done = predict_file(artifact, data, tmp_path / "answers.csv", **options)
    return pd.read_csv(tmp_path / "answers.csv")["prediction"].tolist(), done.notes


def refused(tmp_path: Path, artifact: Artifact, content: str | bytes, sentence: str, **options: Any) -> None:
    with pytest.raises(ArtifactError, match=sentence) as error:
        predicted(tmp_path, artifact, content, **options)
    assert "\n" not in str(error.value)


@pytest.fixture
def gaps(tmp_path: Path) -> Artifact:
    """All of its columns may be missing."""
    return packed(tmp_path, HistGradientBoostingClassifier(max_iter=5).fit(GAPS, Y), GAPS)


@pytest.fixture
def whole(tmp_path: Path) -> Artifact:
    return packed(tmp_path, LogisticRegression().fit(FRAME, Y), FRAME)


def test_names_that_the_model_does_not_know_are_no_missing_values(tmp_path: Path, gaps: Artifact) -> None:
    refused(
        tmp_path,
        gaps,
        GAPS.rename(columns=str.upper).to_csv(index=False),
        "a, b, c, d; .*names must be the same to the letter",
    )
    refused(
        tmp_path, gaps, GAPS.to_csv(index=False, sep=";"), "its header is separated by semicolons: save it with commas"
    )
    refused(
        tmp_path,
        gaps,
        "\n".join(["a, b, c, d", *LINES[1:]]),
        r"have blanks around them, take them out: ' b', ' "
        r"c', ' d'",
    )
    refused(
        tmp_path,
        gaps,
        GAPS.rename(columns={"d": "e"}).to_csv(index=False),
        "these columns of the model: d; it has others, e",
    )


def test_a_column_that_may_be_missing_may_be_left_out_as_in_a_request_and_is_noted(
    tmp_path: Path, gaps: Artifact
) -> None:
    found, notes = predicted(tmp_path, gaps, GAPS[list("abc")].to_csv(index=False))
    assert found == gaps.model.infer(GAPS.assign(d=np.nan)).predictions
    assert notes == ["The data does not have these columns of the model, all their values were taken for missing: d"]


def test_rows_of_another_length_than_the_header_are_refused(tmp_path: Path, gaps: Artifact, whole: Artifact) -> None:
    commas = "\n".join([LINES[0], *(f"{line}," for line in LINES[1:])])
    for artifact in (gaps, whole):
        refused(
            tmp_path, artifact, commas, "Line 2 of .* has 5 cells, but its header has 4 names: .* it ends with a comma"
        )
    refused(tmp_path, gaps, "\n".join([*LINES, "1,2,3"]), "Line 62 of .* has 3 cells, but its header has 4 names")
    (tmp_path / "data.csv").write_text(commas)
    with pytest.raises(ArtifactError, match=r"Line 2 of .* has 5 cells"):
        packed(tmp_path, LogisticRegression().fit(FRAME, Y), tmp_path / "data.csv")


def test_rows_that_are_empty_or_quoted_are_no_others(tmp_path: Path, whole: Artifact) -> None:
    quoted = [",".join(f'"{cell}"' for cell in line.split(",")) for line in LINES[1:]]
    expected = whole.model.infer(FRAME).predictions
    for ending in ("\n", "\r\n", "\r"):
        assert predicted(tmp_path, whole, ending.join([LINES[0], "", *quoted, "", " "]))[0] == expected
    notes = FRAME.assign(note='two\nlines, and "quotes"')
    assert predicted(tmp_path, whole, notes.to_csv(index=False))[0] == expected


def test_without_a_header_rows_have_the_models_columns_and_no_others(
    tmp_path: Path, gaps: Artifact, whole: Artifact
) -> None:
    assert predicted(tmp_path, whole, "\n".join(LINES[1:]), header=False)[0] == whole.model.infer(FRAME).predictions
    for artifact in (gaps, whole):
        more = FRAME.assign(y=Y).to_csv(index=False, header=False)
        refused(
            tmp_path,
            artifact,
            more,
            "Line 1 of .* has 5 cells, but without a header each row must have the 4",
            header=False,
        )
        fewer = FRAME[list("abc")].to_csv(index=False, header=False)
        refused(tmp_path, artifact, fewer, "Line 1 of .* has 3 cells, but without a header", header=False)


def test_the_first_row_of_values_is_not_lost_as_a_header(tmp_path: Path) -> None:
    artifact = packed(tmp_path, LogisticRegression().fit(FRAME.to_numpy(), Y), None)
    headless = "\n".join(LINES[1:])
    refused(tmp_path, artifact, headless, r"The first row of .* holds numbers \(.*\): say --no-header")
    assert len(predicted(tmp_path, artifact, headless, header=False)[0]) == 60
    assert len(predicted(tmp_path, artifact, "\n".join(LINES))[0]) == 60
    refused(tmp_path, artifact, "male,3,female,x\n1,2,3,4", r"holds numbers \(3\)")
    refused(tmp_path, artifact, "\n1,2,3,4", "The first line of .* is empty")
    refused(tmp_path, artifact, "", "The first line of .* is empty")


def test_a_model_that_does_not_tell_its_columns_loses_no_row_without_a_header(tmp_path: Path, whole: Artifact) -> None:
    signature = Signature(classes=whole.signature.classes, labels=whole.signature.labels)
    bare = replace(whole, signature=signature, model=Model(LogisticRegression().fit(FRAME.to_numpy(), Y), signature))
    assert len(predicted(tmp_path, bare, "\n".join(LINES[1:]), header=False)[0]) == 60


def test_a_name_that_stands_twice_is_refused(tmp_path: Path, whole: Artifact) -> None:
    refused(tmp_path, whole, "a,b,c,d,a\n1,2,3,4,5", "has these names twice: a")


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_another_encoding_than_utf_8_is_named(tmp_path: Path, whole: Artifact, encoding: str) -> None:
    content = FRAME.assign(ort="Köln").to_csv(index=False).encode(encoding)
    refused(tmp_path, whole, content, "is no text in UTF-8, save it in that encoding")
    (tmp_path / "data.csv").write_bytes(content)
    with pytest.raises(ArtifactError, match="is no text in UTF-8"):
        packed(tmp_path, LogisticRegression().fit(FRAME, Y), tmp_path / "data.csv")
    assert len(predicted(tmp_path, whole, content.decode(encoding).encode("utf-8-sig"))[0]) == 60


def test_one_column_of_text_may_have_empty_cells_and_long_ones(tmp_path: Path) -> None:
    texts = pd.Series(["good", "bad"] * 20)
    artifact = packed(
        tmp_path,
        make_pipeline(CountVectorizer(), LogisticRegression()).fit(texts, [1, 0] * 20),
        pd.DataFrame({"t": texts}),
    )
    assert predicted(tmp_path, artifact, "t\ngood\n" + "bad " * 50_000)[0] == [1, 0]


def test_the_integers_that_name_columns_of_parquet_are_names(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    numbered = pd.DataFrame(FRAME.to_numpy())
    numbered.to_parquet(tmp_path / "data.parquet")
    estimator = LogisticRegression().fit(FRAME.to_numpy(), Y)
    artifact = packed(tmp_path, estimator, tmp_path / "data.parquet")
    predict_file(artifact, tmp_path / "data.parquet", tmp_path / "answers.csv")
    assert pd.read_csv(tmp_path / "answers.csv")["prediction"].tolist() == estimator.predict(FRAME.to_numpy()).tolist()

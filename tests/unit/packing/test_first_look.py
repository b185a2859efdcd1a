"""What is no CSV with commas, or no Parquet, is named by its first bytes and lines, by `slipway pack` and `slipway
predict` alike.
"""

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from slipway.errors import ArtifactError
from slipway.packing.pack import Packed, pack
from slipway.packing.predict_file import predict_file

FRAME = pd.DataFrame(np.random.default_rng(0).normal(size=(60, 3)).round(2), columns=list("abc"))
T = (FRAME["a"] > 0).astype(int)
DATA = FRAME.assign(t=T)
ESTIMATORS = {"by name": LogisticRegression().fit(FRAME, T), "by place": LogisticRegression().fit(FRAME.to_numpy(), T)}


def packed(tmp_path: Path, estimator: Any, data: Any, **options: Any) -> Packed:
    joblib.dump(estimator, tmp_path / "model.joblib")
    return pack(tmp_path / "model.joblib", name="m", output=tmp_path / "models", data=data, force=True, **options)


def workbook(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("xl/workbook.xml", "<workbook/>")


def parquet(path: Path) -> None:
    pytest.importorskip("pyarrow")
    DATA.to_parquet(path)


def excel(path: Path) -> None:
    path.write_text("sep=,\n" + DATA.to_csv(index=False))


def german_excel(path: Path) -> None:
    path.write_text("sep=;\n" + DATA.to_csv(index=False, sep=";", decimal=","))


OTHERS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "workbook.xlsx": (workbook, 'it is a workbook of Excel: save it there as "CSV UTF-8'),
    "workbook.csv": (workbook, 'it is a workbook of Excel: save it there as "CSV UTF-8'),
    "old.xls": (lambda path: path.write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" * 99), "it is a workbook of Excel"),
    "parquet.csv": (parquet, "it is a table of Parquet: name it .parquet"),
    "json.csv": (lambda path: DATA.to_json(path, orient="records"), r"it is JSON: write the frame with to_parquet\(\)"),
    "lines.csv": (lambda path: DATA.to_json(path, orient="records", lines=True), "it is JSON"),
    "pickle.csv": (lambda path: joblib.dump(DATA, path), "it is a pickle: write the frame in it"),
    "zipped.csv": (lambda path: DATA.to_csv(path, compression="gzip"), "it is compressed by gzip: name it .csv.gz"),
    "page.csv": (lambda path: path.write_text("<!DOCTYPE html>\n<html>"), "it is a page of HTML"),
    "semicolons.csv": (
        lambda path: DATA.to_csv(path, index=False, sep=";"),
        "its header is separated by semicolons: save it with commas$",
    ),
    "tabs.csv": (
        lambda path: DATA.to_csv(path, index=False, sep="\t"),
        "its header is separated by tabs: save it with commas$",
    ),
    "german.csv": (
        lambda path: DATA.to_csv(path, index=False, sep=";", decimal=","),
        "separated by semicolons: save it with commas, and its numbers with points",
    ),
    "excel.csv": (excel, "its first line, sep=,, speaks to Excel alone: take it out$"),
    "german_excel.csv": (
        german_excel,
        "its first line, sep=;, speaks to Excel alone: take it out, and save the others with commas",
    ),
}


@pytest.mark.parametrize("name", OTHERS)
def test_another_file_than_a_csv_with_commas_is_named_whatever_else_is_said(tmp_path: Path, name: str) -> None:
    write, sentence = OTHERS[name]
    write(tmp_path / name)
    for estimator in ESTIMATORS.values():
        for target in ("t", None):
            with pytest.raises(ArtifactError, match=f"{name} cannot be read as CSV: .*{sentence}"):
                packed(tmp_path, estimator, tmp_path / name, target=target)
        found = packed(tmp_path, estimator, FRAME)
        with pytest.raises(ArtifactError, match=f"{name} cannot be read as CSV: .*{sentence}"):
            predict_file(found.artifact, tmp_path / name, tmp_path / "answers.csv")


def test_rows_without_a_header_are_looked_at_too(tmp_path: Path) -> None:
    data = tmp_path / "data.csv"
    FRAME.to_csv(data, index=False, header=False, sep=";", decimal=",")
    with pytest.raises(
        ArtifactError,
        match="its first row is separated by semicolons: save it with commas, and its numbers with points",
    ):
        packed(tmp_path, ESTIMATORS["by name"], data, header=False)


def test_what_is_no_parquet_is_told_by_what_it_is(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    for write, sentence in (
        (workbook, "it is a workbook of Excel"),
        (DATA.to_csv, "it is no such file, name it .csv if it is a CSV"),
    ):
        write(tmp_path / "data.parquet")
        with pytest.raises(ArtifactError, match=f"cannot be read as Parquet: {sentence}"):
            packed(tmp_path, ESTIMATORS["by name"], tmp_path / "data.parquet")


def test_text_and_names_with_other_separators_in_them_are_a_csv(tmp_path: Path) -> None:
    data = tmp_path / "data.csv"
    texts = pd.DataFrame({"text": ["good; nice", "bad; poor"] * 20})
    estimator = make_pipeline(CountVectorizer(), LogisticRegression()).fit(texts["text"], [0, 1] * 20)
    for header in (True, False):
        texts.to_csv(data, index=False, header=header)
        assert packed(tmp_path, estimator, data, header=header).artifact.signature.columns
    for name in ("a;b", "PAR1", "ARROW1", "BZh9"):
        named = FRAME[["a"]].rename(columns={"a": name})
        named.to_csv(data, index=False)
        assert packed(tmp_path, LogisticRegression().fit(named, T), data).artifact.signature.names == (name,)


@pytest.mark.parametrize(("said", "column"), [("t", " t"), ("t", "T"), ("tt", "t")])
def test_the_target_that_was_meant_is_named(tmp_path: Path, said: str, column: str) -> None:
    FRAME.assign(**{column: T}).to_csv(tmp_path / "data.csv", index=False)
    with pytest.raises(
        ArtifactError, match=f"no column '{said}' to be the target: it has a, b, c, {column}: did you mean '{column}'"
    ):
        packed(tmp_path, ESTIMATORS["by name"], tmp_path / "data.csv", target=said)

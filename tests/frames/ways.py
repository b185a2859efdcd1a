"""The ways from a frame to an answer: packed from a frame, a Parquet or a CSV file, asked over HTTP or offline."""

import contextlib
import csv
import io
import json
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import httpx
import joblib
import pandas as pd

from slipway.cli import main as cli
from slipway.engine import engine
from slipway.errors import ArtifactError
from slipway.model.artifact import Artifact
from slipway.packing.columns import Declaration
from slipway.packing.compiling import compilation
from slipway.packing.pack import pack
from slipway.packing.predict_file import predict_file
from tests.frames.cases import Case, Row
from tests.frames.columns import Column, as_json, declaration, in_csv, in_parquet
from tests.http.conftest import serving

PACKED = ("frame", "parquet", "csv", "csv, undeclared", "compiled")
NAME = "m"


class Answer(NamedTuple):
    """As JSON or a CSV holds it; `by_class`: the probability of each class, where the way tells them."""

    prediction: Any
    confidence: Any
    by_class: list[Any] | None = None


class Refused(Exception):
    """By the packer, a request or `slipway predict`. `status`: of HTTP; 500 for whatever was not meant to be raised."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class NoSuchFile(Exception):
    """Neither the packer nor anybody else can be given this frame as such a file."""


def pack_case(case: Case, how: str, folder: Path) -> None:
    """Raises Refused in the packer's words, and NoSuchFile."""
    source = folder / "model.joblib"
    joblib.dump(case.estimator, source)
    sample = case.training.iloc[: case.sample]
    try:
        if how in ("frame", "compiled"):
            with _hastily_compiled():
                pack(
                    source,
                    name=NAME,
                    output=folder / "models",
                    data=sample,
                    declarations=_nullable(case),
                    compiled=how == "compiled",
                )
            return
    except ArtifactError as error:
        raise Refused(str(error)) from None
    except Exception as error:
        raise Refused(f"{type(error).__name__}: {error}", 500) from error
    data, declared = folder / f"sample.{how[:3]}", folder / "columns.toml"
    if how == "parquet":
        data = data.with_suffix(".parquet")
        try:
            sample.to_parquet(data)
        except Exception as error:  # of a column that Parquet has no type for
            raise NoSuchFile from error
    else:
        sample.to_csv(data, index=False)
    arguments = ["pack", str(source), "--name", NAME, "--data", str(data), "--output", str(folder / "models")]
    if how == "csv":
        declared.write_text(columns_file(case), encoding="utf-8")
        arguments += ["--columns", str(declared)]
    _run(arguments)


def _nullable(case: Case) -> dict[str, Declaration]:
    """What the packer's rows do not show: which values may be missing."""
    return {column.name: Declaration(nullable=True) for column in case.columns if column.has_missing}


def columns_file(case: Case) -> str:
    tables = []
    for column in case.columns:
        lines = [f"{key} = {_toml(value)}" for key, value in (declaration(column) or {}).items()]
        tables.append("\n".join([f"[{column.name}]", *lines]))
    return "\n\n".join(tables) + "\n"


def _toml(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _run(arguments: list[str]) -> None:
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
        try:
            cli.main(arguments)
        except SystemExit as ended:
            code = ended.code
        except Exception as error:
            raise Refused(f"{type(error).__name__}: {error}", 500) from error
    if code != 0:
        raise Refused(said.getvalue())


@contextlib.contextmanager
def _hastily_compiled() -> Iterator[None]:
    """Whether a compiled form is worth having is not the question here."""
    with mock.patch.multiple(compilation, SECONDS=0.001, QUICKER=0.0, NO_SLOWER=0.0):
        yield


@contextlib.asynccontextmanager
async def served(folder: Path) -> AsyncIterator[httpx.AsyncClient]:
    """Inline, so that what can be answered at once is; where a model runs best is not the question here."""
    with mock.patch.object(engine, "place", return_value=engine.Placement("inline", float("inf"))):
        async with serving(folder / "models", execution="inline") as client:
            yield client


async def ask(
    client: httpx.AsyncClient, case: Case, rows: Sequence[Row], *, by_name: bool, one: bool = False
) -> list[Answer]:
    """Raises Refused for whatever is not 200."""
    sent: list[Any] = [[as_json(value) for value in row] for row in rows]
    if by_name:
        names = [column.name for column in case.columns]
        sent = [dict(zip(names, row, strict=True)) for row in sent]
    body: Any = {"instances": sent} if not one else sent[0] if by_name else {"features": sent[0]}
    path = f"/models/{NAME}/predict" if by_name else "/predict"
    content = json.dumps(body, ensure_ascii=False, allow_nan=False).encode()
    response = await client.post(path, content=content, headers={"Content-Type": "application/json"})
    if response.status_code != 200:
        raise Refused(response.text, response.status_code)
    answered = response.json()
    found = [answered] if one else answered["predictions"]
    return [Answer(row["prediction"], row["confidence"], _values(row.get("probabilities"))) for row in found]


def _values(probabilities: Any) -> list[Any] | None:
    return None if probabilities is None else list(probabilities.values())


def offline(artifact: Artifact, case: Case, rows: Sequence[Row], folder: Path, kind: str) -> list[Answer] | None:
    """What `slipway predict` writes of a file with these rows, as text; None where no such file can be written.
    Raises Refused.
    """
    data, output = folder / f"asked.{kind}", folder / "answers.csv"
    frame = case.frame(rows)
    if kind == "csv":
        frame.to_csv(data, index=False)
    else:
        try:
            frame.to_parquet(data)
        except Exception:  # of a column that Parquet has no type for
            return None
    try:
        predict_file(artifact, data, output)
    except ArtifactError as error:
        raise Refused(str(error)) from None
    except Exception as error:
        raise Refused(f"{type(error).__name__}: {error}", 500) from error
    with output.open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    return [
        Answer(
            line["prediction"],
            line["confidence"],
            [line[name] for name in line if name.startswith("probability_")] or None,
        )
        for line in lines
    ]


def carried(case: Case, rows: Sequence[Row], kind: str) -> list[Row]:
    """The rows that such a file can hold."""
    told = in_csv if kind == "csv" else in_parquet
    return [row for row in rows if all(told(column, value) for column, value in zip(case.columns, row, strict=True))]


def tells(case: Case, how: str) -> bool:
    """Whether what the packer is given shows every column as the frame has it; it need not show categories, which an
    estimator knows.
    """
    if how in ("frame", "compiled"):
        return True
    columns, sample = [column for column in case.columns if not column.of_category], case.training.iloc[: case.sample]
    if how == "csv":
        return all(declaration(column) is not None for column in case.columns)
    if how == "parquet":
        file = io.BytesIO()
        sample.to_parquet(file)
        read = pd.read_parquet(file)
        same = [read[column.name].dtype == sample[column.name].dtype for column in columns]
        return all(same) and not any(
            column.dtype == "object" and column.has_missing and column.null is not None for column in columns
        )
    text = io.StringIO(sample.to_csv(index=False))
    read = pd.read_csv(text, keep_default_na=False, na_values=[""])
    return all(_is_told(column, read[column.name].dtype) for column in columns)


def _is_told(column: Column, dtype: Any) -> bool:
    if column.kind == "str":
        return isinstance(dtype, pd.StringDtype)
    if column.has_missing and column.kind != "float64":  # None, NaN or NA: a file does not say which
        return False
    match column.kind:
        case "string" | "object":
            return isinstance(dtype, pd.StringDtype)
        case "float64" | "Float64":
            return bool(dtype == "float64")
        case "bool" | "boolean" | "object, bool":
            return bool(dtype == "bool")
    return "int" in column.kind.lower() and dtype.kind in "iu"

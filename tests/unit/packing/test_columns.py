"""Columns: what the data shows, what is declared, and that both reach the rows."""

import re
import tomllib
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from slipway.errors import ArtifactError
from slipway.model.rows import RowValidator
from slipway.model.signature import Column
from slipway.packing.columns import Declaration, declared, observed, read_declarations
from slipway.packing.pack import pack
from slipway.packing.tables import Cells, read_table
from slipway.sources.folder import Overrides

DOCUMENT = (Path(__file__).resolve().parents[3] / "docs/models.md").read_text()


def shown(values: Any, dtype: Any = None, *, numbers_only: bool = False, in_frame: bool = True) -> Column:
    return observed(pd.Series(values, dtype=dtype, name="a"), numbers_only=numbers_only, in_frame=in_frame)


@pytest.mark.parametrize(
    ("values", "dtype", "expected"),
    [
        ([1.5, 2.5], None, Column(name="a", observed_minimum=1.5, observed_maximum=2.5)),
        ([1, 2], None, Column(name="a", dtype="int64", observed_minimum=1, observed_maximum=2)),
        ([1, None], "Int64", Column(name="a", dtype="Int64", nullable=True, observed_minimum=1, observed_maximum=1)),
        ([1.5, np.nan], None, Column(name="a", nullable=True, observed_minimum=1.5, observed_maximum=1.5)),
        ([1.5, np.inf], None, Column(name="a")),
        ([True, False], None, Column(name="a", type="boolean")),
        ([True, None], object, Column(name="a", type="boolean", dtype="object", nullable=True, missing="None")),
        ([True, np.nan], object, Column(name="a", type="boolean", dtype="object", nullable=True)),
        ([True, None], "boolean", Column(name="a", type="boolean", dtype="boolean", nullable=True)),
        (["y", "x", "x"], "str", Column(name="a", type="string", dtype="str", observed_categories=("x", "y"))),
        (
            ["x", None],
            object,
            Column(name="a", type="string", dtype="object", nullable=True, missing="None", observed_categories=("x",)),
        ),
        ([f"free text {i}" for i in range(60)], "str", Column(name="a", type="string", dtype="str")),
        ([1, "x", True, None], object, Column(name="a", type="any", dtype="object", nullable=True, missing="None")),
        (
            [None, None],
            object,
            Column(name="a", type="string", dtype="object", nullable=True, missing="None", observed_categories=()),
        ),
        ([1.5, 2.5], "float32", Column(name="a", dtype="float32", observed_minimum=1.5, observed_maximum=2.5)),
        ([1, 2], "uint8", Column(name="a", dtype="uint8", observed_minimum=1, observed_maximum=2)),
        (["2026-01-01"], "datetime64[s]", Column(name="a", type="datetime", dtype="datetime64[s]")),
        (["2026-01-01"], "datetime64[ns, UTC]", Column(name="a", type="datetime", dtype="datetime64[ns, UTC]")),
        ([np.nan, np.nan], None, Column(name="a", nullable=True)),
    ],
)
def test_a_column_is_what_its_values_are(values: Any, dtype: Any, expected: Column) -> None:
    assert shown(values, dtype) == expected


def test_categories_keep_their_order_and_those_that_do_not_occur() -> None:
    column = shown(pd.Categorical(["low", None], categories=["low", "high"]))
    assert (column.type, column.dtype, column.nullable, column.categories) == (
        "string",
        "category",
        True,
        ("low", "high"),
    )
    assert column.observed_categories == ("low",)


def test_a_dtype_is_recorded_only_where_it_can_change_an_answer() -> None:
    assert shown([1.5, 2.5], "float32", in_frame=False).dtype is None
    assert shown([1.5, 2.5]).dtype is None
    assert shown([1, 2], in_frame=False).dtype == "int64"  # by which its rows are kept as integers


@pytest.mark.parametrize("values", [[pd.Timedelta("1s")], [1j], [[1]], [{}], [b"x"], [Decimal(1)], [date(2026, 1, 1)]])
def test_what_json_cannot_carry_is_refused(values: Any) -> None:
    with pytest.raises(
        ArtifactError,
        match=r"Column 'a' holds .*, which JSON rows cannot carry: (numbers, strings, booleans and dates can|make .* "
        r"pack that)",
    ):
        shown(values)


def test_a_declaration_goes_over_what_was_observed_and_leaves_the_rest() -> None:
    column = Column(name="a", observed_minimum=1, observed_maximum=2, nullable=True)
    assert declared(column, None) == column
    merged = declared(column, Declaration(maximum=3.0, nullable=False, description="In cm"))
    assert merged == Column(name="a", observed_minimum=1, observed_maximum=2, maximum=3, description="In cm")


def test_a_declaration_tells_the_type_of_a_column_of_which_nothing_is_known() -> None:
    unknown = Column(name="a", type="any", nullable=True)
    assert declared(unknown, Declaration(minimum=0.0)).type == "number"
    assert declared(unknown, Declaration(allowed=["x"])).type == "string"
    assert declared(unknown, Declaration(description="?")).type == "any"


def test_digits_that_are_no_number_stay_a_string(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("zip,price\n" + "01010,1\n02020,2\n" * 10)
    (tmp_path / "columns.toml").write_text('[zip]\ntype = "string"\n')
    data = read_table(tmp_path / "data.csv", Cells(text=["zip"]))
    estimator = make_pipeline(
        make_column_transformer((OneHotEncoder(), ["zip"]), remainder="passthrough"), LogisticRegression()
    )
    joblib.dump(estimator.fit(data, [0, 1] * 10), tmp_path / "model.joblib")
    declarations = read_declarations(tmp_path / "columns.toml")
    artifact = pack(
        tmp_path / "model.joblib", name="zip", output=tmp_path, data=data, declarations=declarations
    ).artifact
    assert artifact.model.infer(RowValidator(artifact.signature, 1).features(["01010", 1]).data).predictions == [0]


def test_zeros_and_ones_that_mean_false_and_true_become_booleans(tmp_path: Path) -> None:
    data = pd.DataFrame({"age": [20.0, 60.0] * 10, "smoker": [0, 1] * 10})
    joblib.dump(LogisticRegression(max_iter=500).fit(data.to_numpy(), [0, 1] * 10), tmp_path / "model.joblib")
    declarations = {"smoker": Declaration(type="boolean")}
    artifact = pack(
        tmp_path / "model.joblib", name="risk", output=tmp_path, data=data, declarations=declarations
    ).artifact
    read = RowValidator(artifact.signature, 1)
    assert read.row({"age": 30, "smoker": True}).data.tolist() == [[30.0, 1.0]]
    assert artifact.example_batch() is not None


def test_the_document_names_every_key_and_its_files_are_valid() -> None:
    columns, models = (tomllib.loads(text) for text in re.findall(r"```toml\n(.*?)```", DOCUMENT, re.DOTALL))
    for table in columns.values():
        Declaration.model_validate(table)
    for table in models.values():
        Overrides.model_validate(table)
    for key in [*Declaration.model_fields, *Overrides.model_fields]:
        assert re.search(rf"^\| .*`{key}`.* \|", DOCUMENT, re.MULTILINE), key

"""Fitted estimators with the signature that their data gives them, as packing makes it, and their rows as JSON."""

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from slipway.model import inspection
from slipway.model.estimator import Model
from slipway.model.signature import Signature
from slipway.packing.columns import observed
from slipway.packing.tables import json_rows

Rows = list[list[Any]]


def signed(estimator: Any, data: Any, **declared: Mapping[str, Any]) -> tuple[Model, Rows]:
    """`declared`: by column, what a packer declares of it."""
    told = Signature.of(estimator)
    if told.input == "text":
        return Model(estimator, told), [[text] for text in data]
    if told.columns is None:
        return Model(estimator, told), np.asarray(data).tolist()
    frame = (
        data if isinstance(data, pd.DataFrame) else pd.DataFrame(data, columns=[column.name for column in told.columns])
    )
    numbers_only = inspection.numbers_only(estimator)
    columns = [observed(frame[name], numbers_only=numbers_only, in_frame=told.input == "frame") for name in frame]
    columns = [column.model_copy(update=dict(declared.get(column.name, {}))) for column in columns]
    signature = told.model_copy(update={"columns": tuple(columns), "named": True})
    return Model(estimator, signature), json_rows(frame)


def fitted(estimator: Any, X: Any, y: Any = None) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # convergence on so few rows
        return estimator.fit(X) if y is None else estimator.fit(X, y)

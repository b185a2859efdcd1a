"""What is used of libraries that they do not promise: one list, each with its reason, and each still there."""

import _ssl
import ast
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import prometheus_client
import pytest
import sklearn.ensemble._iforest
from prometheus_client.mmap_dict import MmapedDict
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier, IsolationForest
from sklearn.linear_model import PoissonRegressor
from sklearn.preprocessing import StandardScaler
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

PACKAGE = Path(__file__).resolve().parents[2] / "service/slipway"
X, Y = np.array([[0.0], [1.0], [2.0], [3.0]] * 10), np.array([0, 0, 1, 1] * 10)
OUR_OWN = {
    "_told",
    "_memory",
    "_prepare",
    "_children",
    "_deaths",
    "_ended",
    "_exit",
}  # of another instance of the class itself; os._exit is public


class Private(NamedTuple):
    holder: Callable[[], Any]
    reason: str


def fitted(estimator: Any) -> Callable[[], Any]:
    return lambda: estimator.fit(X, Y)


HISTOGRAM = prometheus_client.Histogram("h", "h", registry=None)
GRADIENT = fitted(HistGradientBoostingClassifier(max_iter=2))
FOREST = fitted(IsolationForest(n_estimators=2))
VALUES = "a value is counted up where it lies: the public way verifies it again, five times a request"
TERMS = "scores that are the estimator's own to the last bit need its own terms"
PRIVATES = {
    "_preprocessor": Private(GRADIENT, "tells the categories that a histogram gradient booster was fitted with"),
    "_transformer_to_input_indices": Private(
        fitted(ColumnTransformer([("s", StandardScaler(), [0])])),
        "columns may be given as names, slices or masks: this has the places",
    ),
    "_average_path_length": Private(lambda: sklearn.ensemble._iforest, TERMS),
    "_predictors": Private(GRADIENT, "the trees, which stand nowhere else"),
    "_baseline_prediction": Private(GRADIENT, TERMS),
    "_loss": Private(GRADIENT, "the link function"),
    "_raw_predict_init": Private(fitted(GradientBoostingClassifier(n_estimators=1)), TERMS),
    "_decision_path_lengths": Private(FOREST, TERMS),
    "_average_path_length_per_tree": Private(FOREST, TERMS),
    "_max_samples": Private(FOREST, TERMS),
    "_base_loss": Private(fitted(PoissonRegressor()), "the link function"),
    "_start_asgi_task": Private(lambda: HttpToolsProtocol, "which of several requests is being answered"),
    "_upper_bounds": Private(lambda: HISTOGRAM, VALUES),
    "_sum": Private(lambda: HISTOGRAM, VALUES),
    "_buckets": Private(lambda: HISTOGRAM, VALUES),
    "_value": Private(lambda: prometheus_client.Counter("c", "c", registry=None), VALUES),
    "_positions": Private(lambda: MmapedDict, VALUES),
    "_m": Private(lambda: MmapedDict, VALUES),
    "_test_decode_cert": Private(
        lambda: _ssl, "until when the server's own certificate is valid; the public ways tell it of others' only"
    ),
    "_init_value": Private(
        lambda: MmapedDict, "pages of the file are reserved before they are written (or a full disk ends the process)"
    ),
}


def uses() -> Iterator[str]:
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and not (
                isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
            ):
                yield node.attr
            elif isinstance(node, ast.ImportFrom) and not node.level:
                yield from (alias.name for alias in node.names)


def test_the_list_has_every_private_name_that_is_used() -> None:
    named_tuples = {"_asdict", "_replace", "_fields"}  # public in spite of their names
    private = {name for name in uses() if name.startswith("_") and not name.startswith("__")}
    assert private - OUR_OWN - named_tuples == PRIVATES.keys()


@pytest.mark.parametrize("name", PRIVATES)
def test_a_private_name_is_still_there(name: str) -> None:
    holder = PRIVATES[name].holder()
    written = (
        Path(__import__(holder.__module__, fromlist=["_"]).__file__).read_text() if isinstance(holder, type) else ""
    )
    assert hasattr(holder, name) or f"self.{name} =" in written or f"'{name}'" in written

"""Four thousand malformed requests from a seeded generator: each is refused in one shape, none is a 500, none reaches a
model.

Twice: compiled forms answer, and estimators do.
"""

import copy
import json
import logging
import re
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random
from typing import Any, NamedTuple, NoReturn, Self
from urllib.parse import quote

import httpx
import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from slipway.packing.columns import Declaration
from slipway.packing.example_models import train_and_pack
from slipway.packing.pack import pack

pytestmark = pytest.mark.anyio

PARTS, REFUSALS = 8, 500  # per part
SECONDS = 5.0  # for one answer, on a machine with much else to do
MAX_ROWS, MAX_BYTES = 64, 20_000
SECRET = "5317708642"  # is in many hostile values, as text or as digits; no problem may repeat it


class Witness(ClassifierMixin, BaseEstimator):
    """Refuses, with an error that would be a 500, whatever validation should not have let through."""

    def fit(self, X: Any, y: Any) -> Self:
        self.classes_ = np.unique(y)
        self.n_features_in_ = np.shape(X)[1]
        if isinstance(X, pd.DataFrame):
            self.feature_names_in_ = np.array(X.columns, dtype=object)
            self.dtypes_ = X.dtypes
        return self

    def predict(self, X: Any) -> Any:
        self._require_frame(X) if hasattr(self, "dtypes_") else self._require_array(X)
        return np.full(len(X), self.classes_[0])

    def _require_array(self, X: Any) -> None:
        assert type(X) is np.ndarray
        assert X.dtype == np.float64
        assert X.shape == (len(X), self.n_features_in_)
        assert 0 < len(X) <= MAX_ROWS
        assert np.isfinite(X).all()

    def _require_frame(self, X: Any) -> None:
        assert type(X) is pd.DataFrame
        assert list(X) == list(self.feature_names_in_)
        assert 0 < len(X) <= MAX_ROWS
        assert X.dtypes.equals(self.dtypes_), X.dtypes
        assert not np.isinf(X["age"]).any()
        assert X["fare"].between(0, 1000).all()
        assert X["sex"].isin(["female", "male"]).all()


class Target(NamedTuple):
    """A model with its column names and rows that it answers."""

    name: str
    columns: list[str]
    rows: list[list[Any]]


PEOPLE = pd.DataFrame(
    {
        "age": [22.5, np.nan, 30.0, 41.0],
        "fare": [7.0, 71.0, 8.5, 53.0],
        "sex": ["female", "male", "male", "female"],
        "port": ["S", "C", None, "Q"],
        "alone": [True, False, True, False],
    }
)
POSITIONAL = ("/predict", "/predict-safe", "/predict-threaded", "/predict-slow", "/predict-cached")
FLOWERS = [[5.1, 3.5, 1.4, 0.2], [6.3, 3.3, 6.0, 2.5], [5.9, 3, 5, 1.8]]
TARGETS = [
    Target("iris", ["sepal_length", "sepal_width", "petal_length", "petal_width"], FLOWERS),
    Target(
        "passengers",
        ["cabin_class", "sex", "age", "fare", "port", "alone"],
        [[1, "female", 30.5, 80.0, "Cherbourg", False], [3, "male", None, 7.25, None, True]],
    ),
    Target("forest", [f"x{i}" for i in range(4)], FLOWERS),
    Target("text", ["text"], [["good film"], ["bad plot, été"], [""]]),
    Target("array-witness", [f"x{i}" for i in range(4)], FLOWERS),
    Target("frame-witness", list(PEOPLE), [[22.5, 7.0, "female", "S", True], [None, 71.0, "male", None, False]]),
]


@pytest.fixture(scope="module")
def targets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_targets(tmp_path_factory.mktemp("targets"))


def make_targets(folder: Path) -> Path:
    for name in ("iris", "passengers"):
        train_and_pack(name, folder)
    reviews, praise = ["good film", "great actor", "bad plot", "awful scene"], ["yes", "yes", "no", "no"]
    bare = {
        "text": make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(reviews, praise),
        "array-witness": Witness().fit(FLOWERS, ["a", "b", "b"]),
    }
    for name, estimator in bare.items():
        path = folder / name / "1" / "model.joblib"
        path.parent.mkdir(parents=True)
        joblib.dump(estimator, path)
    source = folder / "forest.joblib"
    joblib.dump(RandomForestClassifier(5, random_state=0).fit(FLOWERS, [0, 1, 1]), source)
    forest = pack(
        source,
        name="forest",
        output=folder,
        data=pd.DataFrame(FLOWERS, columns=[f"x{i}" for i in range(4)]),
        compiled=True,
    )
    assert forest.artifact.form == "onnx"
    source = folder / "frame-witness.joblib"
    joblib.dump(Witness().fit(PEOPLE, [0, 1, 1, 0]), source)
    declarations = {"fare": Declaration(minimum=0, maximum=1000), "sex": Declaration(allowed=["female", "male"])}
    pack(source, name="frame-witness", output=folder, data=PEOPLE, declarations=declarations)
    (folder / "models.toml").write_text("[iris]\ndefault = true\n")
    return folder


@pytest.fixture(scope="module", params=[True, False], ids=["compiled", "estimators"])
async def served(serve, targets: Path, request: pytest.FixtureRequest) -> AsyncIterator[httpx.AsyncClient]:
    """With compiled forms of iris, passengers and forest, and without."""
    limits = {"max_rows": MAX_ROWS, "max_body_bytes": MAX_BYTES, "cache_size": 50}
    async with serve(targets, compiled=request.param, access_log=False, **limits) as client:
        yield client


class Attack(NamedTuple):
    path: str
    headers: list[tuple[bytes, bytes]]
    body: bytes


class Token(NamedTuple):
    """Text that stands in the JSON as it is, valid or not."""

    text: str


NUMBERS: list[Any] = [
    *map(
        Token,
        (
            "NaN",
            "Infinity",
            "-Infinity",
            "1e999",
            "-1e999",
            f"{SECRET}e300",
            "9" * 400,
            "9" * 5000,
            "1" * 310,
            f"0.{'0' * 400}1",
        ),
    ),
    *map(Token, ("1e308", "-1.7976931348623157e308", "3.5e38", "5e-324", "-0", "0e0")),
    *(
        int(SECRET),
        -int(SECRET),
        float(SECRET) / 1000,
        1e300,
        2**53 + 1,
        2**63,
        2**64,
        2**1023,
        10**308,
        10**309,
        -(10**400),
        0,
        1.5,
        1000,
    ),
]
STRINGS: list[Any] = [
    *(
        SECRET,
        f"{SECRET}\0",
        f"💥{SECRET}" * 20,
        f"<script>{SECRET}</script>",
        f"'; DROP TABLE x; -- {SECRET}",
        f"../../{SECRET}",
    ),
    *("", " ", "NaN", "1.5", "1e5", "null", "true", "female", "\u2028", "\ufeff", "ﬀ", "a" * 2000),
]
SCALARS = [*NUMBERS, *STRINGS, None, True, False]
HOSTILE: list[Any] = [
    *SCALARS,
    *map(
        Token,
        (
            "01",
            "+1",
            "1.",
            ".5",
            "0x1F",
            "1_000",
            "\uff11",
            "nan",
            "undefined",
            "None",
            "True",
            "'a'",
            "",
            "{",
            "]",
            ",",
            "/* */",
        ),
    ),
    *map(Token, ('"\\ud800"', '"\\udc00\\ud800"', '"\\x41"', '"\\u00"', '"\n"', '"\0"')),
    *map(Token, ("[" * 500 + "]" * 500, '{"a":' * 300 + "1" + "}" * 300, "[" * 9000, "[" * 150 + "]" * 150)),
    *([], {}, [[]], [{}], {"": []}, [None], [int(SECRET)] * 4, [1] * 1000, {"features": [1, 2, 3, 4]}, {"x0": SECRET}),
    {str(i): i for i in range(50)},
]
KEYS = [
    "features",
    "instances",
    "Features",
    "instance",
    "",
    " ",
    "x0",
    "age",
    "0",
    "__proto__",
    "a" * 500,
    "\0",
    "é",
    "💥",
    "features ",
    "data",
]
CONTENT_TYPES = [
    b"text/plain",
    b"application/xml",
    b"application/x-www-form-urlencoded",
    b"multipart/form-data; boundary=x",
    b"application/json; charset=utf-16",
    b"application/",
    b"/json",
    b";",
    b"application/json, text/plain",
    b"\xff\xfe",
    b"a" * 5000,
    b"application/+json",
    b"image/svg+json",
    b"",
]
HEADERS = [
    *(
        (b"x-request-timeout", value)
        for value in (b"0", b"-1", b"nan", b"inf", b"1e999", b"", b" ", b"soon", b"\xb2", b"9" * 5000, b"0x10")
    ),
    *((b"content-length", value) for value in (b"0", b"-5", b"abc", b"\xb2", b"9" * 20, b"9" * 5000, b"1e3", b"")),
    *((b"x-model", value) for value in (b"", b"nobody", b"../iris", b"\xff", b"a" * 5000, b"iris\t", b"%00")),
    *((b"x-model-version", value) for value in (b"", b"0", b"999", b"\xe9", b"1 ", b"latest")),
    *((b"x-request-id", value) for value in (b"", b"\xff", b"a" * 5000, b"a b", b"<x>", b"\x00")),
    *((b"content-encoding", value) for value in (b"gzip", b"br")),
    (b"authorization", b"Bearer \xff"),
    (b"expect", b"100-continue"),
    (b"accept", b"text/html"),
    (b"host", b"\xff"),
]
REASONS = [
    f"urn:slipway:{reason}"
    for reason in (
        "invalid_body",
        "feature_count",
        "not_finite",
        "refused_by_model",
        "body_too_large",
        "too_many_rows",
        "media_type",
        "unknown_model",
        "unknown_version",
        "invalid_parameter",
    )
]
STRANGE_NAMES = [
    "nobody",
    "",
    "..",
    "%00",
    "%ff",
    "iris%2F..",
    "iris/versions/999",
    "a" * 3000,
    "%ED%A0%80",
    "iris ",
    "💥",
    "{name}",
]


class Generator:
    """Makes requests that are right but for one to three mutations of the JSON, its text, its headers or its path."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)

    def attack(self) -> Attack:
        target, path, content = self.question()
        headers = [(b"content-type", b"application/json")] * self.random.randrange(2)
        kind = self.random.random()
        if kind < 0.8:
            content = self.mutated(content)
        body = written(content).encode("utf-8", "surrogatepass")
        if kind > 0.75:
            body = self.scrambled(body)
        if self.random.random() < 0.08:
            headers = [(b"content-type", self.random.choice(CONTENT_TYPES))]
        if self.random.random() < 0.15:
            headers.append(self.random.choice(HEADERS))
        if self.random.random() < 0.04:
            path = path.replace(target.name, quote(self.random.choice(STRANGE_NAMES), safe="%/"))
        return Attack(path, headers, body)

    def question(self) -> tuple[Target, str, Any]:
        """A target, a path to it, and a body that it answers."""
        target = self.random.choice(TARGETS)
        count = self.random.randint(1, 4) if self.random.random() < 0.97 else MAX_ROWS + 1
        rows = self.random.choices(target.rows, k=count)
        objects = [dict(zip(target.columns, row, strict=True)) for row in rows]
        shape = self.random.randrange(5)
        if shape == 0:
            path = f"/models/{target.name}{self.random.choice(['', '/versions/1'])}/predict"
            return (
                target,
                path,
                copy.deepcopy(self.random.choice([objects[0], {"instances": objects}, {"instances": rows}])),
            )
        if target.name == "iris" and shape == 1:
            return target, "/predict-iris", objects[0]
        path = f"{self.random.choice(POSITIONAL)}?model={target.name}"
        return (
            target,
            path,
            copy.deepcopy(self.random.choice([{"features": rows[0]}, {"instances": rows}, {"instances": objects}])),
        )

    def mutated(self, content: Any) -> Any:
        """The tree with one to three values replaced, or nodes replaced, removed, added, renamed, repeated or
        wrapped.
        """
        holder = [content]
        for _ in range(self.random.choice([1, 1, 1, 2, 3])):
            nodes = list(places(holder))
            leaves = [(parent, key) for parent, key in nodes if not isinstance(parent[key], dict | list)]
            if leaves and self.random.random() < 0.6:
                parent, key = self.random.choice(leaves)
                alike = NUMBERS if isinstance(parent[key], int | float) else STRINGS
                parent[key] = self.random.choice(self.random.choice([alike, SCALARS]))
                continue
            parent, key = self.random.choice(nodes)
            hostile = copy.deepcopy(self.random.choice(HOSTILE))
            match self.random.randrange(8):
                case 0 if parent is not holder:
                    del parent[key]
                case 1 if isinstance(parent, list) and parent is not holder:
                    parent.insert(key, hostile)
                case 2 if isinstance(parent, list) and parent is not holder:
                    parent[key:key] = [parent[key]] * self.random.choice([1, 3, MAX_ROWS + 1])
                case 3 if isinstance(parent, dict):
                    parent[self.random.choice(KEYS)] = hostile
                case 4 if isinstance(parent, dict):
                    parent[self.random.choice(KEYS)] = parent.pop(key)
                case 5:
                    parent[key] = self.random.choice([[parent[key]], {"features": parent[key]}, [parent[key], hostile]])
                case _:
                    parent[key] = hostile
        return holder[0]

    def scrambled(self, body: bytes) -> bytes:
        """The text cut, with bytes flipped, inserted, removed or repeated, in another encoding, with duplicate keys,
        or too large.
        """
        random = self.random
        at, until = sorted(random.choices(range(len(body) + 1), k=2))
        match random.randrange(12):
            case 0:
                return body[:at]
            case 1:
                return body[:at] + bytes([random.randrange(256)]) + body[at + 1 :]
            case 2:
                return (
                    body[:at]
                    + random.choice([b"\xff", b"\xed\xa0\x80", b"\xc0\x80", b"\xf5", b"\0", b"\xef\xbb\xbf", b"\\u"])
                    + body[at:]
                )
            case 3:
                return body[:at] + body[until:]
            case 4:
                return body[:until] + body[at:]
            case 5:
                return body.decode("utf-8", "replace").encode(random.choice(["utf-16", "utf-32", "utf-16-le", "utf-7"]))
            case 6:
                return b"\xef\xbb\xbf" + body
            case 7:
                return body.replace(b"{", b'{"features": ["' + SECRET.encode() + b'"], ', 1)
            case 8:
                return body.replace(b"}", b', "instances": ' + random.choice([b"[]", b"null", b"[[NaN]]"]) + b"}", 1)
            case 9:
                return body[:at] + b" " * MAX_BYTES + body[at:]
            case 10:
                return random.randbytes(random.randrange(200))
            case _:
                return body + random.choice([b"}", b",", b"null", b"\0", body, b"//", b"\xff"])


def places(node: Any) -> Any:
    """Every (container, key) in the tree."""
    if isinstance(node, dict | list):
        for key in list(node) if isinstance(node, dict) else range(len(node)):
            yield node, key
            yield from places(node[key])


def written(value: Any) -> str:
    """JSON, but for the tokens."""
    match value:
        case Token(text):
            return text
        case dict():
            return (
                "{"
                + ", ".join(f"{json.dumps(key, ensure_ascii=False)}: {written(part)}" for key, part in value.items())
                + "}"
            )
        case list():
            return "[" + ", ".join(map(written, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def refuse(constant: str) -> NoReturn:
    raise AssertionError(f"{constant} is not JSON")


def problem_of(response: httpx.Response) -> str | None:
    """The problem's type; None for a prediction. Whatever is neither of the two fails."""
    content = json.loads(response.content, parse_constant=refuse)
    assert re.fullmatch(r"[A-Za-z0-9._~+/=:@-]{1,128}", response.headers["x-request-id"])
    if response.status_code == 200:
        assert response.headers["content-type"] == "application/json"
        rows = content.get("predictions", [content])
        assert rows
        assert all("prediction" in row or "species_id" in row for row in rows)
        return None
    assert response.status_code in (400, 404, 413, 415, 422)
    assert response.headers["content-type"] == "application/problem+json"
    assert {"type", "title", "status", "detail"} <= set(content) <= {"type", "title", "status", "detail", "errors"}
    assert content["status"] == response.status_code
    assert all(set(error) == {"field", "detail"} for error in content.get("errors", []))
    assert len(content.get("errors", [])) <= 20
    assert SECRET not in response.text
    return str(content["type"])


@pytest.mark.parametrize("part", range(PARTS))
async def test_malformed_requests_are_refused_in_one_shape_in_time_and_never_reach_a_model(
    served: httpx.AsyncClient, part: int, caplog: pytest.LogCaptureFixture
) -> None:
    generator = Generator(part)
    refused: Counter[str] = Counter()  # by the problem's type
    answered: Counter[str] = Counter()  # by model
    with caplog.at_level(logging.WARNING):
        while refused.total() < REFUSALS:
            assert answered.total() < REFUSALS, "most of these should be refused"
            attack = generator.attack()
            try:
                for _ in range(2):  # a machine that stood still does so once
                    started = time.monotonic()
                    response = await served.post(attack.path, content=attack.body, headers=attack.headers)
                    if (seconds := time.monotonic() - started) < SECONDS:
                        break
                problem = problem_of(response)
            except Exception as exc:
                raise AssertionError(f"part {part}, request {refused.total() + answered.total()}: {attack}") from exc
            assert seconds < SECONDS, attack
            if problem is None:
                answered[response.headers["x-model"]] += 1
            else:
                refused[problem] += 1
    assert not caplog.records  # a client's error is never logged as ours
    assert set(REASONS) <= set(refused)
    assert set(answered) == {target.name for target in TARGETS}  # models were asked between the refusals
    answer = await served.post("/predict", json={"features": FLOWERS[0]})
    assert answer.json()["prediction"] == 0

"""What of a request may be kept: columns left out or replaced by a keyed hash, and no record beyond a size."""

import hashlib
import hmac
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from msgspec.json import Encoder
from pydantic_core import to_json

from ..model.batch import Batch
from ..model.signature import Signature

Encode = Callable[[Sequence[Any]], bytes]

_encode = Encoder().encode


class Redaction:
    """`omit` and `hashed` name columns, `age` of every model or `churn.age` of one. `most_bytes`: of a record's
    features and answer.
    """

    def __init__(self, omit: Iterable[str], hashed: Iterable[str], key: bytes, most_bytes: int) -> None:
        self._omit = frozenset(omit)
        self._hashed = frozenset(hashed)
        self._key = key
        self.most_bytes = most_bytes

    def encoder(self, model: str, signature: Signature) -> Encode:
        """Makes a row's values, in column order, the JSON text that is kept: an object where the columns have names,
        else a list.
        """
        names = signature.names or ()
        left_out = self._places(self._omit, model, names)
        hashed = self._places(self._hashed, model, names) - left_out
        if not signature.named:
            return (lambda row: json_bytes(self._values(row, left_out, hashed))) if left_out or hashed else json_bytes
        if not left_out and not hashed:
            return lambda row: json_bytes(dict(zip(names, row)))  # noqa: B905 - as validated; to check again costs
        kept = [(name, i) for i, name in enumerate(names) if i not in left_out]
        return lambda row: json_bytes({name: self._hash(row[i]) if i in hashed else row[i] for name, i in kept})

    def fitting(self, features: bytes, answer: bytes) -> tuple[bytes, bytes]:
        """The same two JSON texts, or a note in the place of the longer one, or of both, where they are too long
        together.
        """
        sizes = len(features), len(answer)
        if sum(sizes) <= self.most_bytes:
            return features, answer
        if sizes[0] >= sizes[1]:
            features = self._note("features", sizes[0])
        if sizes[0] < sizes[1] or len(features) + sizes[1] > self.most_bytes:
            answer = self._note("answer", sizes[1])
        if len(features) + len(answer) > self.most_bytes:
            features = self._note("features", sizes[0])
        return features, answer

    def unknown(self, models: Iterable[tuple[str, Signature]]) -> list[str]:
        """The names that no column of these models has: what they should protect would be kept as it is."""
        known = {
            name
            for model, signature in models
            for column in signature.names or ()
            for name in (column, f"{model}.{column}")
        }
        return sorted((self._omit | self._hashed) - known)

    def _values(self, row: Sequence[Any], left_out: frozenset[int], hashed: frozenset[int]) -> Sequence[Any]:
        """Without names the places tell what a value is, so that one that is left out becomes null."""
        return [None if i in left_out else self._hash(value) if i in hashed else value for i, value in enumerate(row)]

    def _hash(self, value: Any) -> str | None:
        """HMAC-SHA256 of the value's JSON text, in hexadecimal: equal values stay equal. A missing value stays
        missing.
        """
        if value is None or value != value:
            return None
        return hmac.digest(self._key, json_bytes(value), hashlib.sha256).hex()

    def _note(self, what: str, size: int) -> bytes:
        return json_bytes({"slipway": f"{what} of {size} bytes left out: log_record_bytes is {self.most_bytes}"})

    @staticmethod
    def _places(names: frozenset[str], model: str, columns: Sequence[str]) -> frozenset[int]:
        return frozenset(i for i, column in enumerate(columns) if column in names or f"{model}.{column}" in names)


def json_bytes(value: Any) -> bytes:
    """NaN becomes null; half of a surrogate pair, which no database takes, a question mark."""
    try:
        return _encode(value)
    except (ValueError, OverflowError):  # OverflowError: a whole number of more than 64 bits
        return to_json(_storable(value), inf_nan_mode="null")


def row_of(batch: Batch, i: int) -> Sequence[Any]:
    """The values of row i, in column order."""
    if batch.rows is not None:
        return batch.rows[i]
    data: Any = batch.data
    return [data[i]] if isinstance(data, list) else data[i].tolist()


def _storable(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode(errors="replace").decode()
    if isinstance(value, dict):
        return {_storable(name): _storable(part) for name, part in value.items()}
    return [_storable(part) for part in value] if isinstance(value, list | tuple) else value

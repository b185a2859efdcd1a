"""JSON text to Python. A body that holds more than any valid one of its size is refused before objects are made of
it.
"""

import re
from codecs import getincrementaldecoder
from collections.abc import Callable
from itertools import islice
from typing import Any, NamedTuple

from msgspec import UNSET, Raw, Struct, UnsetType
from msgspec.json import Decoder
from pydantic_core import from_json

from ..errors import FieldError, InvalidBody, TooManyRows
from ..model.rows import MOST_CHARACTERS, MOST_ERRORS, RowValidator

FREE = 4096  # bytes of a body that is decoded whatever it holds: what it can cost is less than what any request does
BEGINNING = 8192  # bytes of a long body in which its first rows are looked for

# One without an end reaches to the end of the body.
_STRING = rb'"(?:[^"\\]++|\\.)*+"?'
_strings = re.compile(_STRING, re.DOTALL)
_pieces = re.compile(rb'(?:[^"]++|%b){1,1024}+' % _STRING, re.DOTALL)  # of a body, with whole strings in each


class Shape(NamedTuple):
    """The most rows of a body, the fewest bytes of each, and the most that each has of the rest. `values` None: any
    number.
    """

    rows: int
    row_bytes: int
    containers: int
    members: int
    values: int | None

    def holds(self, body: bytes) -> bool:
        """False where there are more lists and objects, members or values in the body than rows of this shape have."""
        rows = min(self.rows, len(body) // self.row_bytes)
        containers, members = self.containers * rows + 2, self.members * rows + 1
        values = len(body) if self.values is None else self.values * rows + 1
        if body.count(b"[") + body.count(b"{") > containers or body.count(b":") > members or body.count(b",") > values:
            for piece in _pieces.finditer(body):  # what is within strings does not count
                marks = _strings.sub(b"", piece[0])
                containers -= marks.count(b"[") + marks.count(b"{")
                members -= marks.count(b":")
                values -= marks.count(b",")
                if min(containers, members, values) < 0:
                    return False
        return True


def shape_of(validator: RowValidator) -> Shape:
    """Of rows that the validator may pass, as lists or by column."""
    columns = validator.signature.columns
    if columns is None:
        return Shape(validator.max_rows, 3, 1, 0, None)
    return Shape(validator.max_rows, 2 * len(columns) + 1, 1, len(columns), len(columns))


def require_shape(
    body: bytes, shape: Shape, look: Callable[[list[Any]], object] | None = None, *errors: FieldError
) -> None:
    """Raises TooManyRows, with these errors, where a long body holds more than rows of this shape, or what `look`
    finds in the first.
    """
    if len(body) <= FREE or shape.holds(body):
        return
    if look is not None and (rows := _first_rows(body)):
        look(rows)
    detail = (
        f"The body holds more values than {shape.rows} valid rows: send fewer rows in a request, and nothing beside "
        "them"
    )
    raise TooManyRows(detail, errors)


def decode(body: bytes) -> Any:
    """JSON to Python. NaN and Infinity pass, as Python's own json lets them, for the validator to refuse by field.
    Raises InvalidBody.
    """
    if not body:
        raise InvalidBody('The body is empty: send JSON such as {"features": [5.1, 3.5, 1.4, 0.2]}')
    try:
        return from_json(body, allow_inf_nan=True)
    except ValueError as exc:
        raise _no_json(exc) from None


def rows_in(body: Any) -> dict[str, Any]:
    """The body, if it is an object of either features or instances. Raises InvalidBody."""
    if not isinstance(body, dict):
        raise InvalidBody('The body must be a JSON object such as {"features": [5.1, 3.5, 1.4, 0.2]}')
    names = (name[:MOST_CHARACTERS] for name in body if name not in ("features", "instances"))
    unknown = [
        FieldError(name, "No such field: send either features or instances") for name in islice(names, MOST_ERRORS)
    ]
    if unknown:
        raise InvalidBody(f"{unknown[0].field}: {unknown[0].detail}", unknown)
    if len(body) != 1:
        raise InvalidBody('Send exactly one of "features" (one row) and "instances" (a list of rows)')
    return body


def object_in(body: Any) -> dict[str, Any]:
    if not isinstance(body, dict):
        raise InvalidBody("The body must be a JSON object with the features by column")
    return body


class _Rows(Struct, forbid_unknown_fields=True):
    features: Raw | UnsetType = UNSET
    instances: Raw | UnsetType = UNSET


_rows = Decoder(_Rows).decode
_any = Decoder(Raw).decode


def require_rows(body: bytes) -> None:
    """As rows_in, for a model whose rows are not known yet: nothing is made of them. Raises InvalidBody."""
    try:
        rows = _rows(body)
    except (ValueError, RecursionError):
        rows = None
    if rows is not None and (rows.features is UNSET) is not (rows.instances is UNSET):
        return
    rows_in(decode(body) if len(body) <= FREE else _beginning(body))
    raise InvalidBody(
        'The body must be valid JSON, an object of exactly one of "features" (one row) and "instances" (a list of rows)'
    )


def require_json_object(body: bytes) -> None:
    """As object_in, in the same way."""
    if len(body) <= FREE:
        object_in(decode(body))
        return
    try:
        _any(body)
    except (ValueError, RecursionError) as exc:
        raise _no_json(exc) from None
    object_in({} if re.match(rb"\s*\{", body) else None)


def _first_rows(body: bytes) -> list[Any]:
    """Those under `instances` that are there in whole."""
    found = _beginning(body)
    rows = found.get("instances") if isinstance(found, dict) and len(found) == 1 else None
    return rows[:-1] if isinstance(rows, list) else []


def _beginning(body: bytes) -> Any:
    try:
        text = getincrementaldecoder("utf-8")().decode(body[:BEGINNING])  # its last character may be cut
        return from_json(text, allow_inf_nan=True, allow_partial=True)
    except ValueError as exc:
        raise _no_json(exc) from None


def _no_json(exc: Exception) -> InvalidBody:
    return InvalidBody(f"The body is not valid JSON: {exc}")

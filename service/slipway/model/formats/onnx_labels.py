"""The classes of a classifier, as they stand in an ONNX graph. ONNX Runtime does not tell them, and the package onnx is
for building graphs: of its 28 MB this needs a dozen field numbers of onnx.proto, which cannot change.
"""

import struct
from collections.abc import Iterator
from typing import Any

_LABELS = frozenset({"classlabels_int64s", "classlabels_ints", "classlabels_strings"})
_INT32, _INT64, _STRING = 6, 7, 8  # TensorProto.DataType


def classes_in(content: bytes, count: int | None) -> list[int] | list[str] | None:
    """The `count` classes, or any number of them, that the graph's nodes agree on, in the order of its probabilities;
    None where none are told, or several.
    """
    graph = next((value for number, value in _fields(content) if number == 7), b"")
    found: list[list[Any]] = []
    picked: set[str] = set()
    tensors: dict[str, bytes] = {}
    for number, value in _fields(graph):
        if number == 1:
            inputs, operator, lists = _node(value)
            found += lists
            if operator == "ArrayFeatureExtractor" and inputs:
                picked.add(inputs[0])
        elif number == 5:
            name = next((bytes(part) for each, part in _fields(value) if each == 8), b"").decode("utf-8", "replace")
            tensors[name] = value
    found += [values for name in picked & tensors.keys() if (values := _values(tensors[name]))]
    fitting = [values for values in found if count in (None, len(values))]
    distinct = {tuple(values) for values in fitting}
    plain = {
        values for values in distinct if values != tuple(range(len(values)))
    }  # inside an ensemble classes are places
    if len(plain) == 1:
        return list(plain.pop())
    return list(distinct.pop()) if len(distinct) == 1 else None


def _node(content: bytes) -> tuple[list[str], str, list[list[Any]]]:
    """Its inputs, its operator and the lists of labels among its attributes."""
    inputs, operator, lists = [], "", []
    for number, value in _fields(content):
        if number == 1:
            inputs.append(bytes(value).decode("utf-8", "replace"))
        elif number == 4:
            operator = bytes(value).decode("utf-8", "replace")
        elif number == 5:
            name = ""
            values: list[Any] = []
            for each, part in _fields(value):
                if each == 1:
                    name = bytes(part).decode("utf-8", "replace")
                elif each == 8:  # integers, packed or one by one
                    values += [_signed(part)] if isinstance(part, int) else list(map(_signed, _varints(part)))
                elif each == 9:
                    values.append(bytes(part).decode("utf-8", "replace"))
            if name in _LABELS and values:
                lists.append(values)
    return inputs, operator, lists


def _values(tensor: bytes) -> list[Any]:
    """Of a list of integers or strings."""
    kind, raw = 0, b""
    values: list[Any] = []
    for number, value in _fields(tensor):
        if number == 2:
            kind = int(value)
        elif number in (5, 7):
            values += [_signed(value)] if isinstance(value, int) else list(map(_signed, _varints(value)))
        elif number == 6:
            values.append(bytes(value).decode("utf-8", "replace"))
        elif number == 9:
            raw = bytes(value)
    if kind in (_INT32, _INT64) and raw:
        return list(struct.unpack(f"<{len(raw) // (4 if kind == _INT32 else 8)}{'i' if kind == _INT32 else 'q'}", raw))
    return values if kind in (_INT32, _INT64, _STRING) else []


def _fields(content: Any) -> Iterator[tuple[int, Any]]:
    """Field numbers and values of a message of protobuf: an int, or a view of bytes. Ends where it is malformed."""
    view, place = memoryview(content), 0
    while place < len(view):
        key, place = _varint(view, place)
        kind = key & 7
        if kind == 0:
            value, place = _varint(view, place)
            yield key >> 3, value
        elif kind == 2:
            size, place = _varint(view, place)
            yield key >> 3, view[place : place + size]
            place += size
        elif kind in (1, 5):
            place += 8 if kind == 1 else 4
        else:
            return


def _varint(view: Any, place: int) -> tuple[int, int]:
    value = shift = 0
    while place < len(view):
        byte = view[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
        shift += 7
    return value, place


def _varints(content: Any) -> Iterator[int]:
    view, place = memoryview(content), 0
    while place < len(view):
        value, place = _varint(view, place)
        yield value


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value

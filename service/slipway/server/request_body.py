"""What of a request is read at a time, and what its body may cost beside its content."""

import re

from ..errors import BodyTooLarge, MalformedRequest, Problem

SLICE = 65_536  # bytes of heads and chunks, read in one turn of the loop: each may be a header or a chunk of five bytes
_UNWANTED = 262_144  # bytes of a body that still comes when its request has been answered
_CHUNKS, _CHUNK_BYTES = 10_000, 16  # of more chunks than that, each holds so many bytes on the average
_SMALL_CHUNKS = (
    f"The body comes in more than {_CHUNKS} chunks of less than {_CHUNK_BYTES} bytes each: send larger ones, or "
    "Content-Length"
)
_HEAD_END = b"\r\n\r\n"
_LINE_ENDS = re.compile(rb"[\r\n]+")


class Body:
    """What Uvicorn has been given of a body, and what it took to read that."""

    __slots__ = ("_chunks", "size", "unwanted")

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Another one."""
        self.size = 0
        self.unwanted = 0  # bytes that came after the answer
        self._chunks = 0

    def taken(self, chunks: list[bytes]) -> bytes:
        """All of them as one: given one by one each would cost as much as all, and a chunk may be a byte."""
        body = b"".join(chunks)
        self.size += len(body)
        self._chunks += len(chunks)
        return body

    def left(self, fields: dict[bytes, bytes], chunks: list[bytes]) -> int | None:
        """Bytes that are to come, beside the chunks that have not been taken; None where they come in chunks."""
        if b"content-length" not in fields:
            return None
        return int(fields[b"content-length"]) - sum(map(len, chunks), self.size)

    def problem(self) -> Problem | None:
        """Why no more of it is read."""
        if self.unwanted > _UNWANTED:
            return BodyTooLarge("The request has been answered, and its body goes on")
        if self._chunks > _CHUNKS and self.size < self._chunks * _CHUNK_BYTES:
            return MalformedRequest(_SMALL_CHUNKS)
        return None


def comes_alone(data: bytes) -> bool:
    """Whether what came between two requests is read at once: no line ends first, one head at most, and not too much
    of it.
    """
    return data[0] > 13 and len(data) <= SLICE and data.count(_HEAD_END) < 2


def line_ends(data: bytes, at: int) -> int:
    """How many bytes of line ends there are from there on."""
    found = _LINE_ENDS.match(data, at, at + SLICE)
    return 0 if found is None else found.end() - at


def part_end(data: bytes, at: int, left: int | None) -> int:
    """Where to read to: the end of a head or of a body, of which `left` bytes are to come; None in heads and in
    chunks.
    """
    if left is not None:
        return min(at + max(left, 1), len(data))
    if ends := line_ends(data, at):  # they may end a head of which the rest has been read
        return at + ends
    found = data.find(_HEAD_END, at, at + SLICE)
    return min(at + SLICE, len(data)) if found < 0 else found + len(_HEAD_END)

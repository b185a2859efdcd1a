"""What HTTP asks of a request's head beyond what the parser sees to."""

from httptools import HttpParserError

from ..errors import HeadTooLarge, MalformedRequest, Problem, UnsupportedCoding
from ..http.operation import combined

Headers = list[tuple[bytes, bytes]]

MOST_HEAD_BYTES = 65_536  # of a request line and headers, not counting the piece that they begin in; of trailers
MOST_BETWEEN = 8  # bytes of line ends before a request; RFC 9112 wants one line end passed over

_CODING = "Send the body with Content-Length, or with Transfer-Encoding: chunked and no other coding"


def checked_fields(headers: Headers, version: str) -> dict[bytes, bytes]:
    """The headers by name; one that came twice is a list from now on, as RFC 9110 has it. Raises a Problem, which
    ends the connection.
    """
    hosts = sum(name == b"host" for name, _ in headers)
    if hosts > 1 or (hosts == 0 and version != "1.0"):
        raise MalformedRequest("A request of HTTP/1.1 has one Host header, no more and no less")
    fields = combined(headers)
    if fields.get(b"transfer-encoding", b"chunked").strip().lower() != b"chunked":
        raise UnsupportedCoding(_CODING)
    return fields


def problem_of(error: HttpParserError) -> Problem:
    """What to tell a client whose request the parser has refused, or a callback of it."""
    if isinstance(error.__context__, Problem):
        return error.__context__
    if "`Transfer-Encoding`" in str(error):
        return UnsupportedCoding(_CODING)
    return MalformedRequest("This is no HTTP request: send one as RFC 9112 has it")


def without_offer(method: bytes, url: bytes, version: str, headers: Headers) -> bytes:
    """The head of a request that offers another protocol, as if it did not."""
    lines = [b" ".join((method, url, b"HTTP/" + version.encode()))]
    lines += [name + b": " + value for name, value in headers if name != b"upgrade"]
    return b"\r\n".join(lines) + b"\r\n\r\n"


def too_large() -> Problem:
    """What to tell a client whose headers or trailers take more than that."""
    return HeadTooLarge(f"The request's headers take more than {MOST_HEAD_BYTES} bytes: send fewer, or shorter ones")


def check_trailers(trailers: Headers) -> None:
    """Raises HeadTooLarge, which ends the connection."""
    if sum(len(name) + len(value) + len(b": \r\n") for name, value in trailers) > MOST_HEAD_BYTES:
        raise too_large()

"""HTTP as bytes, for what no library would send, and answers as they come."""

import re
import socket
import ssl
from collections.abc import Iterator

from tests.support.load import Answer


def connect(port: int, timeout: float = 30.0) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout)


def connect_tls(port: int, timeout: float = 30.0) -> ssl.SSLSocket:
    """Whoever's certificate it is."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context.wrap_socket(connect(port, timeout))


def received(client: socket.socket) -> bytes:
    """All until the server closes; what came before a reset counts. Raises TimeoutError."""
    pieces = []
    while True:
        try:
            piece = client.recv(65536)
        except ConnectionError:
            break
        if not piece:
            break
        pieces.append(piece)
    return b"".join(pieces)


def answers_in(stream: bytes, without_body: bool = False) -> Iterator[Answer]:
    """Raises ValueError for what is no complete answer; `without_body`: to HEAD."""
    at = 0
    while at < len(stream):
        until = stream.index(b"\r\n\r\n", at)
        status, *lines = stream[at:until].decode("latin-1").split("\r\n")
        found = re.fullmatch(r"HTTP/1\.1 (\d{3}) .*", status)
        if found is None:
            raise ValueError(f"{status!r} is no status line")
        headers = dict(line.lower().split(": ", 1) for line in lines)
        at = until + 4
        length = 0 if without_body or found[1] == "100" else int(headers["content-length"])
        if at + length > len(stream):
            raise ValueError("an answer is not complete")
        yield Answer(int(found[1]), headers, stream[at : at + length])
        at += length


def ask(port: int, *pieces: bytes, timeout: float = 30.0) -> list[Answer]:
    """The answers until the server closes, which the request should ask for."""
    with connect(port, timeout) as client:
        for piece in pieces:
            client.sendall(piece)
        return list(answers_in(received(client)))

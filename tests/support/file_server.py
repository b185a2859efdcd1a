"""A server of files that can cut, redirect and refuse, on a port of 127.0.0.1."""

import contextlib
import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


class Files(ThreadingHTTPServer):
    """Serves `files` by path, with ETags and ranges, and remembers what it was asked."""

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.redirects: dict[str, str] = {}
        self.cuts = 0  # answers with the model's file that end in the middle
        self.knows_ranges = True
        self.asked: list[tuple[str, str, dict[str, str]]] = []
        self.status = 200

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def asked_for(self, path: str) -> list[dict[str, str]]:
        return [headers for method, asked, headers in self.asked if (method, asked) == ("GET", path)]


class Handler(BaseHTTPRequestHandler):
    server: Files
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        server, headers = self.server, dict(self.headers.items())
        server.asked.append((self.command, self.path, headers))
        if self.path in server.redirects:
            self.answer(302, b"", {"Location": server.redirects[self.path]})
            return
        if server.status != 200 or self.path not in server.files:
            self.answer(server.status if server.status != 200 else 404, b"", {})
            return
        content = server.files[self.path]
        tag = '"' + hashlib.sha256(content).hexdigest()[:16] + '"'
        start = int(headers.get("Range", "bytes=0-").removeprefix("bytes=").removesuffix("-"))
        if start and server.knows_ranges and headers.get("If-Range", tag) == tag:
            told = {"ETag": tag, "Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"}
            self.answer(206, content[start:], told)
        else:
            self.answer(200, content, {"ETag": tag})

    def answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        if self.server.cuts and self.path.endswith("model.joblib"):
            self.server.cuts -= 1
            self.wfile.write(body[: len(body) // 2])
            self.close_connection = True
            return
        with contextlib.suppress(OSError):
            self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@contextlib.contextmanager
def listening() -> Iterator[Files]:
    with Files() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def offer(server: Files, directory: Path, path: str = "/iris") -> str:
    for file in directory.iterdir():
        server.files[f"{path}/{file.name}"] = file.read_bytes()
    return server.url + path

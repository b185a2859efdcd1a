"""What one client can do to a server, and to the others: nothing."""

import json
import select
import signal
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.server.conftest import Start
from tests.server.running import Server
from tests.support.certificate import self_signed
from tests.support.load import get, post
from tests.support.raw import answers_in, ask, connect, connect_tls, received

FLOWER = {"features": [5.1, 3.5, 1.4, 0.2]}
PREDICT = post("/predict", FLOWER)
FEEDBACK = post("/feedback", {"prediction_id": "01935d4e-0000-7000-8000-000000000000", "outcome": 1})
SLOW = post("/predict?model=slow", {"features": [0.3, 0]})
LAST = b"GET /health HTTP/1.1\r\nHost: slipway\r\nConnection: close\r\n\r\n"
HEALTH = get("/health")
MEBIBYTE = 1024  # in KiB


def memory(server: Server) -> int:
    """KiB that the workers have in memory of their own."""
    total = 0
    for pid in server.workers():
        lines = (line.split() for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines())
        total += sum(int(fields[1]) for fields in lines if fields[0].startswith("Private_"))
    return total


def slowest(server: Server, times: int = 10) -> float:
    """Seconds for the slowest of some answers to /health, each on a connection of its own."""
    longest = 0.0
    for _ in range(times):
        asked = time.monotonic()
        assert server.get("/health", timeout=60).status == 200
        longest = max(longest, time.monotonic() - asked)
    return longest


@contextmanager
def flooding(port: int, connections: int, flood: bytes) -> Iterator[list[int]]:
    """Sends the flood on each connection, as far as the server takes it, and reads nothing; yields the bytes sent on
    each.
    """
    sent = [0] * connections
    stop = threading.Event()
    with ExitStack() as stack:
        clients = [stack.enter_context(connect(port)) for _ in range(connections)]
        for client in clients:
            client.setblocking(False)

        def send() -> None:
            while not stop.is_set():
                unsent = [client for client, bytes_sent in zip(clients, sent, strict=True) if bytes_sent < len(flood)]
                _, writable, _ = select.select([], unsent, [], 0.05)
                for client in writable:
                    i = clients.index(client)
                    try:
                        sent[i] += client.send(flood[sent[i] :])
                    except BlockingIOError:
                        pass
                    except OSError:
                        return

        thread = threading.Thread(target=send)
        thread.start()
        try:
            yield sent
        finally:
            stop.set()
            thread.join()


@pytest.mark.parametrize("request_", [HEALTH, PREDICT, FEEDBACK], ids=["health", "predict", "feedback"])
def test_requests_sent_ahead_without_end_take_no_memory_and_delay_nobody(start: Start, request_: bytes) -> None:
    server = start(workers=1)
    slowest(server, 100)
    quiet, before = slowest(server), memory(server)
    flood = request_ * (2**20 // len(request_))
    with flooding(server.port, 4, flood) as sent:
        server.until(lambda: min(sent) > 300_000)
        busy = slowest(server)
        assert memory(server) - before < 100 * MEBIBYTE
    assert busy < 50 * max(quiet, 0.02)
    server.until(lambda: server.board.total_connections() <= 1)
    assert server.get("/health").status == 200


def test_a_head_or_a_handshake_that_never_ends_has_a_deadline(start: Start, tmp_path: Path) -> None:
    certificate, key = self_signed(tmp_path, "IP:127.0.0.1")
    plain = start(workers=1, keep_alive=5)
    with_tls = start(workers=1, wait=False, tls_certificate=certificate, tls_key=key)
    with_tls.until(lambda: b" 200 " in asked_by_tls(with_tls.port, get("/ready")))
    with ExitStack() as stack:
        clients = {
            "silent": stack.enter_context(connect(with_tls.port)),
            # Line ends are no beginning of a request, and do not keep it.
            "blank": stack.enter_context(connect(plain.port)),
            "head": stack.enter_context(connect(plain.port)),
            "head by TLS": stack.enter_context(connect_tls(with_tls.port)),
            # Of a request that has its answer, so that nobody waits for it.
            "body": stack.enter_context(connect(plain.port)),
        }
        clients["body"].sendall(b"POST /nowhere HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n")
        for name in ("head", "head by TLS"):
            clients[name].sendall(b"GET /health HTTP/1.1\r\nHost: a\r\nX: ")
        began = time.monotonic()
        ended: dict[str, float] = {}
        while len(ended) < len(clients):
            assert time.monotonic() - began < 80, ended
            for name, text in {
                "silent": b"",
                "blank": b"\r\n",
                "head": b"x",
                "head by TLS": b"x",
                "body": b"x",
            }.items():
                if name not in ended and has_ended(clients[name], text):
                    ended[name] = time.monotonic() - began
            time.sleep(0.5)
        assert min(ended["silent"], ended["head"], ended["head by TLS"]) > 8
    assert (
        plain.metrics()['slipway_http_request_duration_seconds_count{method="other",route="unmatched",status="408"}']
        == 1
    )


def asked_by_tls(port: int, request: bytes) -> bytes:
    try:
        with connect_tls(port) as client:
            client.sendall(request)
            return client.recv(65536)
    except OSError:
        return b""


def has_ended(client: socket.socket, text: bytes) -> bool:
    """Sends a little more; whether the server has closed its side."""
    try:
        client.sendall(text)
        client.setblocking(False)
        while client.recv(1):
            pass
    except (BlockingIOError, ssl.SSLWantReadError):
        return False
    except OSError:
        return True
    finally:
        client.setblocking(True)
    return True


@pytest.mark.parametrize(
    "said", [b"", b"GET /health HTTP/1.1\r\nHo", PREDICT[:-3]], ids=["nothing", "half a head", "half a body"]
)
def test_when_descriptors_run_short_the_longest_idle_go_and_others_are_served(start: Start, said: bytes) -> None:
    server = start(workers=1, descriptors=100)
    with ExitStack() as stack:
        honest = stack.enter_context(connect(server.port))
        for _ in range(150):
            try:
                client = stack.enter_context(connect(server.port, 5))
                client.sendall(said)
            except OSError:  # it was among the longest idle
                continue
            honest.sendall(HEALTH)
            assert honest.recv(65536).startswith(b"HTTP/1.1 200 "), "a client that asks is not idle"
        for path in ("/health", "/ready", "/metrics"):
            assert server.get(path, timeout=10).status == 200
    assert len(server.logged("the longest idle are closed")) >= 1
    assert server.workers(), "nobody died of it"


@pytest.mark.parametrize("before", [PREDICT, SLOW, FEEDBACK, HEALTH], ids=["at once", "slow", "feedback", "router"])
@pytest.mark.parametrize(
    "garbage", [b"garbage\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n"]
)
def test_garbage_behind_a_request_is_refused_after_its_answer(server: Server, before: bytes, garbage: bytes) -> None:
    expected = 404 if b"/feedback" in before else 200
    alone = ask(server.port, before.replace(b"\r\n", b"\r\nConnection: close\r\n", 1))
    assert len(alone) == 1
    for pieces in ([before + garbage], [before, garbage], [before * 3 + garbage]):
        answers = ask(server.port, *pieces)
        count = pieces[0].count(before)
        assert [answer.status for answer in answers] == [alone[0].status] * count + [400], expected
        assert answers[-1].headers["connection"] == "close"


@pytest.mark.parametrize("path", ["/predict", "/predict?model=slow", "/health", "/nowhere"])
def test_a_body_that_breaks_off_gets_one_answer(server: Server, path: str) -> None:
    head = f"POST {path} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    for pieces in ([head + b'3\r\n{"fXX'], [head, b'3\r\n{"fXX'], [HEALTH + head + b"zz"], [HEALTH * 2 + head, b"zz"]):
        answers = ask(server.port, *pieces)
        before = pieces[0].count(HEALTH)
        assert [answer.status for answer in answers[:before]] == [200] * before
        assert len(answers[before:]) == 1
        assert answers[-1].status in (400, 404, 405)


HOST = b"Host: slipway\r\n"
NOWHERE = (
    b"/predict/",
    b"/models/",
    b"/models/%2e%2e%2f",
    b"/models/iris/",
    b"/health/",
    b"/docs/",
    b"/docs/assets",
    b"//evil/..",
)
CHUNKED = b"0\r\n\r\n"


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /health HTTP/1.1\r\n\r\n", 400),
        (b"GET /health HTTP/1.1\r\n" + HOST + b"host: evil\r\n\r\n", 400),
        (b"GET /health HTTP/1.1\r\n" + HOST * 2 + b"\r\n", 400),
        (b"GET /health HTTP/1.0\r\n" + HOST * 2 + b"\r\n", 400),
        (b"GET /health HTTP/1.0\r\n\r\n", 200),
        (b"POST /predict HTTP/1.1\r\nContent-Length: 0\r\n\r\n", 400),
        *(
            (b"POST /predict HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: " + coding + b"\r\n\r\n" + CHUNKED, 501)
            for coding in (
                b"gzip",
                b"gzip, chunked",
                b"identity",
                b"chunked, gzip",
                b"chunked;q=1",
                b"x\r\nTransfer-Encoding: chunked",
            )
        ),
        (b"POST /nowhere HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: gzip, chunked\r\n\r\n" + CHUNKED, 501),
        (
            b"POST /nowhere HTTP/1.1\r\nConnection: close\r\n" + HOST + b"Transfer-Encoding: Chunked\r\n\r\n" + CHUNKED,
            404,
        ),
        (
            b"POST /predict HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n" + CHUNKED,
            400,
        ),
        *(
            (b"%s %s HTTP/1.1\r\nConnection: close\r\n" % (method, path) + HOST + b"\r\n", 404)
            for method in (b"GET", b"POST", b"HEAD")
            for path in NOWHERE
        ),
    ],
)
def test_what_http_asks_of_a_server(server: Server, request_: bytes, status: int) -> None:
    with connect(server.port) as client:
        client.sendall(request_)
        [answer] = answers_in(received(client), without_body=request_.startswith(b"HEAD"))
    assert answer.status == status
    assert "location" not in answer.headers
    assert answer.headers["connection"] == "close"


def test_every_path_that_answers_get_answers_head(server: Server) -> None:
    described = server.get("/openapi.json").json()["paths"]
    paths = [path for path, operations in described.items() if "get" in operations]
    assert {"/health", "/ready", "/metrics", "/models"} < set(paths)
    paths = [path.replace("{name}", "iris") for path in paths]
    for path in [*paths, "/docs", "/openapi.json", "/docs/assets/swagger-ui.css", "/models/nobody"]:
        shown = server.get(path)
        with connect(server.port) as client:
            client.sendall(b"HEAD %s HTTP/1.1\r\nHost: slipway\r\n\r\n" % path.encode() + LAST)
            stream = received(client)
        head, _, rest = stream.partition(b"\r\n\r\n")
        [asked] = answers_in(head + b"\r\n\r\n", without_body=True)
        [after] = answers_in(rest)
        assert (asked.status, asked.headers["content-type"]) == (shown.status, shown.headers["content-type"].lower()), (
            path
        )
        assert after.status == 200, "no body of the first answer stands before the second"
        if path not in ("/metrics", "/models", "/models/iris"):  # in which figures change
            assert asked.headers["content-length"] == shown.headers["content-length"], path


def test_the_allow_header_names_head(server: Server) -> None:
    refused = server.ask("POST", "/health")
    assert (refused.status, refused.headers["allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize("pieces", [1, 2, 5])
@pytest.mark.parametrize(
    ("request_", "is_answered"), [(PREDICT, True), (HEALTH, True), (SLOW, False)], ids=["at once", "router", "slow"]
)
def test_a_client_that_closes_its_side_is_gone_in_one_piece_and_in_more(
    server: Server, request_: bytes, is_answered: bool, pieces: int
) -> None:
    for _ in range(20):
        with connect(server.port) as client:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            size = -(-len(request_) // pieces)
            for at in range(0, len(request_), size):
                client.sendall(request_[at : at + size])
            client.shutdown(socket.SHUT_WR)
            assert [answer.status for answer in answers_in(received(client))] == [200] * is_answered


def test_of_two_credentials_none_is_taken(start: Start, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.mkdir()
    (keys / "shop").write_text("right")
    server = start(workers=1, api_keys=keys)
    good, bad = b"X-API-Key: right\r\n", b"X-API-Key: wrong\r\n"
    bearer, other = b"Authorization: Bearer right\r\n", b"Authorization: Bearer wrong\r\n"
    refused = [
        good + good,
        good + bad,
        bad + good,
        bearer * 2,
        bearer + other,
        other + bearer,
        good + bearer,
        bad + bearer,
        good + other,
    ]
    for request_ in (PREDICT, b"GET /models HTTP/1.1\r\n" + HOST + b"\r\n"):
        for credentials, status in [(good, 200), (bearer, 200), *((both, 401) for both in refused)]:
            [answer] = ask(server.port, request_.replace(b"\r\n", b"\r\nConnection: close\r\n" + credentials, 1))
            assert answer.status == status, credentials
        # In one piece and kept alive: what is answered at once.
        whole = request_.replace(b"\r\n", b"\r\n" + bad + good, 1)
        assert [answer.status for answer in ask(server.port, whole + LAST)] == [401, 200]


@pytest.mark.slow
def test_a_client_that_does_not_read_its_answers_is_cut(start: Start) -> None:
    server = start(workers=1)
    with connect(server.port) as unread:
        unread.setblocking(False)
        flood = get("/openapi.json") * 1000
        sent = 0

        def is_cut() -> bool:
            nonlocal sent
            try:
                sent += unread.send(flood[sent % len(flood) :])
            except BlockingIOError:
                return False
            except OSError:
                return True
            return False

        server.until(is_cut, 90)
    assert server.get("/health").status == 200
    server.until(lambda: server.board.total_connections() <= 1)


@pytest.mark.parametrize("asks", [False, True])
def test_a_silent_client_of_tls_does_not_delay_the_end(start: Start, tmp_path: Path, asks: bool) -> None:
    certificate, key = self_signed(tmp_path, "IP:127.0.0.1")
    server = start(workers=1, wait=False, tls_certificate=certificate, tls_key=key)
    server.until(lambda: b" 200 " in asked_by_tls(server.port, get("/ready")))
    with connect_tls(server.port) as client:
        if asks:
            client.sendall(HEALTH)
            assert client.recv(65536)
        server.until(lambda: server.board.total_connections() == 1)
        stopping = time.monotonic()
        server.signal(signal.SIGTERM)
        assert server.process.wait(60) == 0
        assert time.monotonic() - stopping < 15, "it used to take as long as a request may"


def test_bodies_full_of_line_ends_cost_no_more_than_others(server: Server) -> None:
    def seconds(body: bytes, head: bytes) -> float:
        asked = time.monotonic()
        [answer] = ask(server.port, head + body)
        assert answer.status in (400, 422), json.loads(answer.body)
        return time.monotonic() - asked

    size = 4 * 2**20
    head = f"POST /predict HTTP/1.1\r\nConnection: close\r\nHost: a\r\nContent-Length: {size}\r\n\r\n".encode()
    rows = b'{"instances": [' + b"[1,2,3],"
    dense = rows + b" " * (size - len(rows))
    plain = max(seconds(dense, head) for _ in range(3))
    assert min(seconds(b"\r\n" * (size // 2), head) for _ in range(3)) < 5 * plain

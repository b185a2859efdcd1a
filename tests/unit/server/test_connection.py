"""Requests as they arrive on a connection: answered at once, or handed on to Uvicorn."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest
import uvloop
from starlette.types import Receive, Scope, Send
from uvicorn import Config
from uvicorn.server import ServerState

from slipway.app import create_app
from slipway.http.envelope import Envelope
from slipway.packing.example_models import train_and_pack
from slipway.server.connection import Connection
from slipway.server.timeouts import Timeouts
from slipway.server.transport import OneWrite
from slipway.settings import Settings
from slipway.system.board import Board, Lifecycle

BODY = b'{"features": [5.1, 3.5, 1.4, 0.2]}'
HEAD = b"POST /predict HTTP/1.1\r\nHost: slipway\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
REQUEST = HEAD % len(BODY) + BODY


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    train_and_pack("iris", folder)
    return folder


class Asked(Envelope):
    """Remembers which way its requests came."""

    ways: list[str]

    def answer_at_once(self, *args: Any) -> Any:
        self.ways.append("at once")
        return super().answer_at_once(*args)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.ways.append("asgi")
        await super().__call__(scope, receive, send)


class Client:
    """A raw connection to a server that makes our connections."""

    def __init__(
        self,
        application: Asked,
        board: Board,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        served: set[Connection],
    ) -> None:
        self.application = application
        self.served = served  # the server's side
        self.board = board
        self.reader = reader
        self.writer = writer

    @property
    def ways(self) -> list[str]:
        return self.application.ways

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode().splitlines()
        headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
        assert head[0] != "HTTP/1.1 100 Continue"
        return int(head[0].split()[1]), headers, await self.reader.readexactly(int(headers["content-length"]))

    async def send(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()
            for _ in range(20):  # turns of the loop, in which the server reads this piece by itself
                await asyncio.sleep(0)


@asynccontextmanager
async def connected(
    models: Path, keep_alive: int = 75, timeouts: dict[str, int] | None = None, **settings: Any
) -> AsyncIterator[Client]:
    board = Board(None, slots=1)
    configured = Settings(models=models, access_log=False, **settings)
    application = create_app(configured, lifecycle=Lifecycle(board))
    patience = Timeouts.of(configured)._replace(**timeouts or {})
    application.__class__ = Asked
    asked = cast(Asked, application)
    asked.ways = []
    config = Config(application, http="httptools", ws="none", log_config=None, timeout_keep_alive=keep_alive)
    config.load()
    state = ServerState()
    loop = asyncio.get_running_loop()
    async with application.fastapi.router.lifespan_context(application.fastapi):
        server = await loop.create_server(lambda: Connection(config, state, {}, application, patience), "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        try:
            yield Client(asked, board, reader, writer, cast(set[Connection], state.connections))
        finally:
            writer.close()
            server.close()


def run(test: Any) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(asyncio.wait_for(test, 20))


def test_a_request_in_one_piece_is_answered_at_once(models: Path) -> None:
    async def test() -> None:
        async with connected(models) as client:
            for _ in range(3):
                await client.send(REQUEST)
                status, headers, body = await client.answer()
                assert (status, json.loads(body)["prediction"], headers["x-model"]) == (200, 0, "iris")
                assert len(headers["x-request-id"]) == 36
                assert "connection" not in headers
            assert client.ways == ["at once"] * 3

    run(test())


@pytest.mark.parametrize("at", [10, len(HEAD % 34) - 1, len(HEAD % 34), len(REQUEST) - 1])
def test_a_request_in_two_pieces_is_answered_all_the_same(models: Path, at: int) -> None:
    async def test() -> None:
        async with connected(models) as client:
            await client.send(REQUEST[:at], REQUEST[at:], REQUEST)
            answers = [await client.answer() for _ in range(2)]
            assert [status for status, _, _ in answers] == [200, 200]
            assert client.ways[-1] == "at once"

    run(test())


def test_requests_sent_ahead_are_answered_in_order_and_hold_the_loop_for_one(models: Path) -> None:
    async def test() -> None:
        async with connected(models) as client:
            wrong = b'{"features": [1]}'
            await client.send(
                REQUEST + HEAD % len(wrong) + wrong + REQUEST + b"GET /health HTTP/1.1\r\nHost: "
                b"slipway\r\n\r\n" + REQUEST
            )
            assert [(await client.answer())[0] for _ in range(5)] == [200, 400, 200, 200, 200]
            assert client.ways == ["at once"] + ["asgi"] * 4

    run(test())


def test_a_chunked_body_is_read_whole(models: Path) -> None:
    async def test() -> None:
        async with connected(models) as client:
            chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (BODY[:9], BODY[9:])) + b"0\r\n\r\n"
            head = b"POST /predict HTTP/1.1\r\nHost: slipway\r\nTransfer-Encoding: chunked\r\n\r\n"
            await client.send(head + chunks, head, chunks)
            assert [(await client.answer())[0] for _ in range(2)] == [200, 200]
            assert client.ways == ["at once", "asgi"]

    run(test())


@pytest.mark.parametrize(
    ("request_", "closes"),
    [
        (REQUEST.replace(b"1.1", b"1.0", 1), True),
        (REQUEST.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1), True),
        (REQUEST.replace(b"/predict", b"/predict?model=iris", 1), False),
        (b"GET /health HTTP/1.1\r\nHost: slipway\r\n\r\n", False),
    ],
)
def test_what_is_not_plain_goes_by_way_of_asgi(models: Path, request_: bytes, closes: bool) -> None:
    async def test() -> None:
        async with connected(models) as client:
            await client.send(request_)
            status, headers, _ = await client.answer()
            assert (status, client.ways, headers.get("connection") == "close") == (200, ["asgi"], closes)
            if closes:
                assert await client.reader.read() == b""

    run(test())


def test_a_client_that_waits_to_be_told_to_go_on_is_told(models: Path) -> None:
    async def test() -> None:
        async with connected(models) as client:
            await client.send(REQUEST[: -len(BODY)].replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n"))
            assert await client.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            await client.send(BODY)
            assert (await client.answer())[0] == 200

    run(test())


def test_what_would_have_to_wait_goes_by_way_of_asgi(models: Path) -> None:
    async def test() -> None:
        async with connected(models, execution="thread") as client:
            await client.send(REQUEST)
            assert (await client.answer())[0] == 200
            assert client.ways == ["at once", "asgi"]
            exposition = client.application._metrics.render().decode()
            assert (
                'slipway_http_request_duration_seconds_count{method="POST",route="/predict",status="200"} 1.0'
                in exposition
            )

    run(test())


def test_while_draining_every_answer_closes_its_connection(models: Path) -> None:
    async def test() -> None:
        async with connected(models) as client:
            client.board.draining = True
            await client.send(REQUEST)
            status, headers, _ = await client.answer()
            assert (status, headers["connection"]) == (200, "close")
            assert await client.reader.read() == b""

    run(test())


def test_what_is_no_http_is_refused(models: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        async with connected(models) as client:
            await client.send(REQUEST + b"GET nonsense\r\n\r\n")
            assert [(await client.answer())[0] for _ in range(2)] == [200, 400]
            assert await client.reader.read() == b""

    with caplog.at_level(logging.ERROR):
        run(test())
    assert not caplog.records


def test_bodies_beyond_the_limit_are_refused_whichever_way_they_come(models: Path) -> None:
    async def test() -> None:
        async with connected(models, max_body_bytes=40) as client:
            long = b'{"features": [5.1000000000, 3.5, 1.4, 0.2]}'
            request = HEAD % len(long) + long
            await client.send(request)
            assert (await client.answer())[0] == 413

    run(test())


@pytest.mark.parametrize("said", [b"", REQUEST[:20], REQUEST, b"GET /health HTTP/1.1\r\nHost: slipway\r\n\r\n"])
def test_a_connection_that_says_nothing_more_is_closed(models: Path, said: bytes) -> None:
    async def test() -> None:
        async with connected(models, keep_alive=1, timeouts={"head": 1, "goodbye": 1}) as client:
            await client.send(said)
            if said:
                assert (await client.answer())[0] == (200 if said.endswith((BODY, b"\r\n\r\n")) else 408)
            assert await client.reader.read() == b""

    run(test())


def test_a_connection_stays_while_an_answer_takes_longer_than_it_may_be_idle(models: Path) -> None:
    async def test() -> None:
        async with connected(models, keep_alive=1) as client:
            arrived = asyncio.get_running_loop().time()
            await client.send(REQUEST[:-1])
            # The body is on its way: the clock has come round meanwhile.
            while asyncio.get_running_loop().time() < arrived + 1.5:
                await asyncio.sleep(0.1)
            await client.send(REQUEST[-1:])
            assert (await client.answer())[0] == 200

    run(test())


class Recorder(asyncio.Transport):
    """A transport that only remembers."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 1)})
        self.sent: list[bytes] = []
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.sent.append(bytes(data))

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def get_write_buffer_size(self) -> int:
        return 0


async def turn() -> None:
    await asyncio.sleep(0)


def test_head_and_body_leave_as_one_piece_at_the_end_of_the_turn() -> None:
    async def answer() -> None:
        recorder = Recorder()
        transport = OneWrite(recorder, asyncio.get_running_loop(), Timeouts.of(Settings()))
        transport.write(b"head ")
        transport.write(b"body")
        assert recorder.sent == [], "the answer is not counted yet"
        await turn()
        assert recorder.sent == [b"head body"]
        transport.write(b"the next")
        await turn()
        assert recorder.sent == [b"head body", b"the next"]

    asyncio.run(answer())


def test_closing_sends_what_is_held_first() -> None:
    async def answer() -> None:
        recorder = Recorder()
        transport = OneWrite(recorder, asyncio.get_running_loop(), Timeouts.of(Settings()))
        transport.write(b"the last")
        transport.close()
        assert (recorder.sent, recorder.closed) == ([b"the last"], True)
        await turn()
        assert recorder.sent == [b"the last"]

    asyncio.run(answer())


def test_a_client_that_has_left_is_sent_nothing() -> None:
    async def answer() -> None:
        recorder = Recorder()
        transport = OneWrite(recorder, asyncio.get_running_loop(), Timeouts.of(Settings()))
        transport.write(b"too late")
        recorder.close()
        await turn()
        assert recorder.sent == []
        assert transport.get_extra_info("peername") == ("127.0.0.1", 1)

    asyncio.run(answer())


OFFERS = [
    b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n",
    b"Connection: upgrade\r\nUpgrade: websocket\r\n",
]


@pytest.mark.parametrize("offer", OFFERS, ids=["h2c", "websocket"])
@pytest.mark.parametrize("pieces", ["whole", "head and body", "bytes"])
def test_an_offer_of_another_protocol_is_passed_over(models: Path, offer: bytes, pieces: str) -> None:
    async def test() -> None:
        async with connected(models) as client:
            head = (HEAD % len(BODY))[:-2] + offer + b"\r\n"
            whole = head + BODY
            sent = {
                "whole": [whole],
                "head and body": [head, BODY],
                "bytes": [whole[i : i + 1] for i in range(len(whole))],
            }[pieces]
            await client.send(*sent, REQUEST)
            for _ in range(2):
                status, _, body = await client.answer()
                assert (status, json.loads(body)["prediction"]) == (200, 0)

    run(test())


def test_many_offers_sent_ahead_are_answered_in_order(models: Path) -> None:
    async def test() -> None:
        async with connected(models) as client:
            get = (
                b"GET /health HTTP/1.1\r\nHost: slipway\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nX-Request-ID: "
                b"%d\r\n\r\n"
            )
            await client.send(b"".join(get % i for i in range(1500)))
            for i in range(1500):
                status, headers, _ = await client.answer()
                assert (status, headers["x-request-id"]) == (200, str(i))

    run(test())


@pytest.mark.parametrize(
    "garbage",
    [
        b"hello\r\n\r\n",
        b"CONNECT example.org:443 HTTP/1.1\r\nHost: example.org\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nno colon\r\n\r\n",
    ],
)
def test_what_is_no_request_gets_a_problem_and_the_connection_ends(models: Path, garbage: bytes) -> None:
    async def test() -> None:
        async with connected(models) as client:
            await client.send(garbage)
            status, headers, body = await client.answer()
            assert (status, headers["content-type"], headers["connection"]) == (
                400,
                "application/problem+json",
                "close",
            )
            assert json.loads(body)["type"] == "urn:slipway:malformed_request"
            assert len(headers["x-request-id"]) == 36
            assert await client.reader.read() == b""

    run(test())


@pytest.mark.parametrize("header", [b"X-Long: " + b"x" * 4096, b"X-Many: 1\r\n" * 512], ids=["one long value", "many"])
def test_headers_without_end_are_refused(models: Path, header: bytes) -> None:
    async def test() -> None:
        async with connected(models) as client:
            await client.send(
                b"POST /predict HTTP/1.1\r\nHost: slipway\r\n", *[header, *[header.removeprefix(b"X-Long: ")] * 40]
            )
            status, headers, body = await client.answer()
            assert (status, headers["connection"]) == (431, "close")
            assert "65536 bytes" in json.loads(body)["detail"]

    run(test())


@pytest.mark.parametrize("way", ["at once", "asgi"])
def test_trailers_do_not_stand_in_for_headers(models: Path, way: str) -> None:
    async def test() -> None:
        async with connected(models) as client:
            headers = b"Content-Length: 0\r\n\r\n"
            head = (HEAD % 0).replace(
                headers, b"X-Request-ID: head\r\nTransfer-Encoding: chunked\r\n\r\n"
            ) + b"%x\r\n" % len(BODY)
            rest = BODY + b"\r\n0\r\nX-Request-ID: trailer\r\nContent-Type: text/plain\r\n\r\n"
            await client.send(*([head + rest] if way == "at once" else [head, rest]))
            status, found, _ = await client.answer()
            assert (status, found["x-request-id"], client.ways) == (200, "head", [way])

    run(test())


def test_trailers_without_end_are_refused(models: Path) -> None:
    async def test() -> None:
        async with connected(models) as client:
            head = (HEAD % 0).replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
            chunked = head + b"%x\r\n" % len(BODY) + BODY + b"\r\n0\r\nX-Sum: "
            await client.send(chunked + b"1\r\n\r\n")
            assert (await client.answer())[0] == 200
            await client.send(chunked, *[b"x" * 4096] * 16, b"x")
            assert (await client.answer())[0] == 431

    run(test())


def test_what_is_no_request_behind_one_that_waits_ends_the_connection(
    models: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        async with connected(models) as client:
            await client.send(HEAD % 100 + b"{", b"", HEAD % 10 + b"x" * 200)
            await client.reader.read()

    run(test())
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_a_head_behind_a_large_body_in_one_piece_is_not_too_large(models: Path) -> None:
    async def test() -> None:
        async with connected(models) as client:
            body = b'{"features": [5.1, 3.5, 1.4, ' + b" " * 200_000 + b"0.2]}"
            await client.send(HEAD % len(body), body + REQUEST[:20], REQUEST[20:])
            assert [(await client.answer())[0] for _ in range(2)] == [200, 200]

    run(test())


async def gone(client: Client) -> None:
    while client.served:
        await asyncio.sleep(0.01)


GET = b"GET /health HTTP/1.1\r\nHost: slipway\r\nX-Request-ID: %d\r\n\r\n"


@pytest.mark.parametrize("size", [1 << 20, 1000, 57, 3])
@pytest.mark.parametrize("kind", ["get", "post", "chunked"])
def test_sixteen_requests_of_a_connection_are_in_hand_at_most_and_all_are_answered_in_order(
    models: Path, size: int, kind: str
) -> None:
    content = b'{"features": ["\r\n\r\n\r\n\r\n"]}'
    post = b"POST /nowhere HTTP/1.1\r\nHost: slipway\r\nX-Request-ID: %d\r\n"
    whole = {
        "get": GET,
        "post": post + b"Content-Length: 26\r\n\r\n" + content,
        "chunked": post + b"Transfer-Encoding: chunked\r\n\r\n1a\r\n" + content + b"\r\n0\r\n\r\n",
    }[kind]

    async def test() -> None:
        async with connected(models) as client:
            wire = b"".join(whole % i for i in range(200))
            most = 0

            async def send() -> None:
                for at in range(0, len(wire), size):
                    client.writer.write(wire[at : at + size])
                    await client.writer.drain()
                    if size < 10:
                        await asyncio.sleep(0)

            sending = asyncio.create_task(send())
            for i in range(200):
                answering = asyncio.create_task(client.answer())
                while not answering.done():
                    await asyncio.sleep(0)
                    most = max(most, *(len(served.pipeline) + 1 for served in client.served))
                status, headers, _ = answering.result()
                assert (status, headers["x-request-id"]) == (200 if kind == "get" else 404, str(i))
            await sending
            assert most <= 16
            assert most > 8 or size < 1000

    run(test())


def test_a_client_that_reads_no_answer_is_cut(models: Path) -> None:
    async def test() -> None:
        async with connected(models, timeouts={"unread": 1}) as client:
            client.writer.transport.pause_reading()  # type: ignore[attr-defined]
            client.writer.write(ASSET * 16)
            await gone(client)

    run(test())


ASSET = b"GET /docs/assets/swagger-ui-bundle.js HTTP/1.1\r\nHost: slipway\r\n\r\n"  # more than a megabyte


@pytest.mark.parametrize("reads", [False, True])
def test_a_last_answer_is_waited_for_as_long_as_its_client_reads(models: Path, reads: bool) -> None:
    async def test() -> None:
        async with connected(models, timeouts={"unread": 1}) as client:
            client.writer.transport.pause_reading()  # type: ignore[attr-defined]
            [served] = client.served
            served._output.write(b"x" * 20_000_000)
            served._output.close()
            if not reads:
                await gone(client)
                return
            client.writer.transport.resume_reading()  # type: ignore[attr-defined]
            started, received = asyncio.get_running_loop().time(), 0
            while piece := await client.reader.read(1 << 20):
                received += len(piece)
                await asyncio.sleep(0.2 if asyncio.get_running_loop().time() - started < 2.5 else 0)
            assert received == 20_000_000

    run(test())


def test_a_body_that_never_ends_is_refused_in_its_place(models: Path) -> None:
    async def test() -> None:
        async with connected(models, timeouts={"request": 1, "goodbye": 1}) as client:
            await client.send(GET % 1 + HEAD % 100 + b"{")
            assert (await client.answer())[0] == 200
            status, headers, body = await client.answer()
            assert (status, headers["connection"]) == (408, "close")
            assert json.loads(body)["type"] == "urn:slipway:request_timeout"
            assert await client.reader.read() == b""
            await gone(client)

    run(test())

"""What a connection reads at a time, and the bodies that it reads no further."""

import asyncio
import json
from pathlib import Path

import pytest

from slipway.packing.example_models import train_and_pack
from slipway.server.transport import Flow

from .test_connection import BODY, GET, HEAD, REQUEST, Recorder, connected, run

CHUNKED = b"POST %b HTTP/1.1\r\nHost: slipway\r\nTransfer-Encoding: chunked\r\n\r\n"
BYTE = b"1\r\n \r\n"
LINE = b"20\r\n" + b" " * 32 + b"\r\n"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    train_and_pack("iris", folder)
    return folder


@pytest.mark.parametrize("path", [b"/predict", b"/nowhere"])
def test_a_turn_of_the_loop_reads_so_many_chunks_and_no_more(models: Path, path: bytes) -> None:
    async def test() -> None:
        async with connected(models) as client:
            await client.send(CHUNKED % path)
            [served] = client.served
            served.data_received(LINE * 10_000)
            assert 50_000 < served._body.size < 65_536
            assert served.flow.read_paused

    run(test())


def test_a_body_of_small_chunks_is_taken_up_to_a_bound(models: Path) -> None:
    async def test() -> None:
        async with connected(models) as client:
            flower = b"%x\r\n" % len(BODY) + BODY + b"\r\n0\r\n\r\n"
            await client.send(CHUNKED % b"/predict" + BYTE * 9_000 + flower)
            assert (await client.answer())[0] == 200
            await client.send(CHUNKED % b"/predict" + LINE * 20_000 + flower)
            assert (await client.answer())[0] == 200
            await client.send(CHUNKED % b"/predict" + BYTE * 40_000 + flower)
            status, headers, body = await client.answer()
            assert (status, headers["connection"]) == (400, "close")
            assert "10000 chunks" in json.loads(body)["detail"]
            assert await client.reader.read() == b""

    run(test())


@pytest.mark.parametrize("length", [b"Transfer-Encoding: chunked", b"Content-Length: 1000000000"])
def test_a_body_that_goes_on_after_the_answer_ends_the_connection(models: Path, length: bytes) -> None:
    async def test() -> None:
        async with connected(models) as client:
            await client.send(b"GET /health HTTP/1.1\r\nHost: slipway\r\n" + length + b"\r\n\r\n")
            assert (await client.answer())[0] == 200
            piece = b"1000\r\n" + b"x" * 4096 + b"\r\n"
            await client.send(*[piece] * 30)
            assert not client.reader.at_eof()
            await client.send(*[piece] * 50)
            assert await client.reader.read() == b""

    run(test())


def test_line_ends_before_a_request_are_passed_over_up_to_a_bound(models: Path) -> None:
    async def test() -> None:
        async with connected(models) as client:
            for before in (b"\r\n", b"\n", b"\r\n\r\n\r\n\r\n") * 3:
                await client.send(before, REQUEST)
                assert (await client.answer())[0] == 200
                await client.send(before + REQUEST + before + REQUEST)
                assert [(await client.answer())[0] for _ in range(2)] == [200, 200]
            await client.send(GET % 1 + b"\r\n" * 5)
            assert (await client.answer())[0] == 200
            status, headers, _ = await client.answer()
            assert (status, headers["connection"]) == (400, "close")

    run(test())


@pytest.mark.parametrize("piece", [70_000, 4096])
def test_trailers_are_bounded_in_however_many_pieces_they_come(models: Path, piece: int) -> None:
    async def test() -> None:
        async with connected(models) as client:
            trailers = b"X-Sum: 1234567890\r\n" * 3684
            wire = CHUNKED % b"/predict" + b"%x\r\n" % len(BODY) + BODY + b"\r\n0\r\n" + trailers + b"\r\n"
            await client.send(*[wire[at : at + piece] for at in range(0, len(wire), piece)])
            assert (await client.answer())[0] == 431

    run(test())


def test_reading_goes_on_only_when_both_the_connection_and_its_request_want_more() -> None:
    class Switch(Recorder):
        reading = True

        def pause_reading(self) -> None:
            self.reading = False

        def resume_reading(self) -> None:
            self.reading = True

    async def test() -> None:
        transport = Switch()
        flow = Flow(transport)
        flow.hold()
        flow.pause_reading()
        flow.release()
        assert not transport.reading, "the request has enough"
        flow.resume_reading()
        assert transport.reading
        flow.pause_reading()
        flow.hold()
        flow.resume_reading()
        assert not transport.reading, "the connection has enough"
        flow.release()
        assert transport.reading

    asyncio.run(test())


def test_a_client_that_asks_before_it_sends_is_not_told_to_send_what_is_refused(models: Path) -> None:
    async def test() -> None:
        for path, length, status in (
            (b"/predict", 1 << 30, 413),
            (b"/models/nobody/predict", 10, 404),
            (b"/nowhere", 10, 404),
        ):
            async with connected(models) as client:
                await client.send(
                    (HEAD % length).replace(b"/predict", path).replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n")
                )
                assert (await client.answer())[0] == status

    run(test())

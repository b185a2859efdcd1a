"""Taking connections: at once, unless another worker holds fewer; then a moment later, should that one not come."""

import asyncio
import logging
import os
import resource
import socket
import time
from collections.abc import Awaitable, Callable, Iterator

import pytest

from slipway.server import accept
from slipway.server.accept import Acceptor
from slipway.system.board import Board


class Greeting(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(b"hello")
        transport.close()


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as made:
        made.setblocking(False)
        yield made


async def greet(listener: socket.socket) -> float:
    """The seconds until a new client is greeted."""
    started = time.perf_counter()
    reader, writer = await asyncio.open_connection(*listener.getsockname())
    assert await reader.read() == b"hello"
    writer.close()
    await writer.wait_closed()
    return time.perf_counter() - started


def accepting(
    listener: socket.socket, board: Board, then: Callable[[Acceptor], Awaitable[None]], *, count: int = 0
) -> None:
    async def run() -> None:
        acceptor = Acceptor(listener, Greeting, board, 0, lambda: count)
        await then(acceptor)
        acceptor.close()
        await acceptor.wait_closed()

    asyncio.run(run())


def test_a_worker_that_holds_no_more_than_the_others_takes_a_connection_and_counts_it(listener: socket.socket) -> None:
    board = Board(None, slots=2)
    board.report(1, None)
    board.connections(1, 4)

    async def then(_: Acceptor) -> None:
        await greet(listener)

    accepting(listener, board, then, count=4)
    assert board.total_connections() == 4 + 5


def test_a_worker_that_is_ahead_lets_another_go_first_but_not_for_long(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accept, "_PATIENCE", 0.2)
    board = Board(None, slots=2)
    board.report(1, None)

    async def then(_: Acceptor) -> None:
        assert 0.2 <= await greet(listener) < 1.0
        assert 0.2 <= await greet(listener) < 1.0

    accepting(listener, board, then, count=5)


def test_alone_it_never_waits(listener: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accept, "_PATIENCE", 5.0)
    board = Board(None, slots=1)
    board.report(0, None)

    async def then(_: Acceptor) -> None:
        assert await greet(listener) < 1.0

    accepting(listener, board, then, count=5)


def test_closed_it_refuses_new_connections_even_while_it_stands_back(listener: socket.socket) -> None:
    board = Board(None, slots=2)
    board.report(1, None)

    async def then(acceptor: Acceptor) -> None:
        address = listener.getsockname()
        with socket.create_connection(address):
            await asyncio.sleep(0)
            acceptor.close()
            acceptor.close()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(*address)

    accepting(listener, board, then, count=5)


def test_without_file_descriptors_it_says_so_and_goes_on_when_there_are_some(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(accept, "_NO_DESCRIPTORS", 0.05)

    async def then(_: Acceptor) -> None:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        with socket.create_connection(listener.getsockname()) as client:
            client.setblocking(False)
            free = os.dup(client.fileno())
            os.close(free)
            resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
            try:
                while not caplog.records:
                    await asyncio.sleep(0.01)
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            assert await asyncio.get_running_loop().sock_recv(client, 5) == b"hello"

    with caplog.at_level(logging.ERROR, "slipway.accept"):
        accepting(listener, Board(None, slots=1), then)
    assert {record.getMessage() for record in caplog.records} == {
        "cannot accept connections: [Errno 24] Too many open files"
    }


def test_beyond_its_most_the_longest_idle_are_closed_for_a_new_one(
    listener: socket.socket, caplog: pytest.LogCaptureFixture
) -> None:
    closed: list[float] = []

    async def run() -> None:
        idle = {since: lambda since=since: closed.append(since) for since in (3.0, 1.0, 2.0)}
        acceptor = Acceptor(
            listener,
            Greeting,
            Board(None, slots=1),
            0,
            lambda: 3 - len(closed),
            idle=lambda: list(idle.items()),
            most=3,
        )
        assert await greet(listener) < 1.0
        acceptor.close()
        await acceptor.wait_closed()

    with caplog.at_level(logging.ERROR, "slipway.accept"):
        asyncio.run(run())
    assert closed == [1.0]
    assert [record.getMessage()[:23] for record in caplog.records] == ["3 connections are open,"]

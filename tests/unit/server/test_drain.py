"""`slipway drain` beside a board that plays the server. The real one is in tests/server."""

import re
import threading
import time
from pathlib import Path

import pytest

from slipway.server import drain as module
from slipway.server.drain import DrainLog, drain
from slipway.settings import Settings
from slipway.system.board import Board
from slipway.system.runtime_dir import board_path, claim, runtime_dir


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(runtime_dir=tmp_path, port=8123, drain_timeout=5)


@pytest.fixture
def board(settings: Settings) -> Board:
    """Of a server that lives: this process."""
    folder = runtime_dir(settings.runtime_dir, settings.port)
    claim(folder)
    return Board(board_path(folder), slots=2)


def test_without_a_server_it_says_so(settings: Settings) -> None:
    with pytest.raises(SystemExit, match=r"^No Slipway server of this user runs on port 8123\.$"):
        drain(settings)


def test_what_a_dead_server_left_behind_is_no_server(settings: Settings) -> None:
    folder = runtime_dir(settings.runtime_dir, settings.port)
    folder.mkdir()
    Board(board_path(folder), slots=1)
    with pytest.raises(SystemExit, match="No Slipway server"):
        drain(settings)


def test_a_server_on_another_port_is_not_meant(settings: Settings, board: Board) -> None:
    with pytest.raises(SystemExit, match="port 8124"):
        drain(settings.model_copy(update={"port": 8124}))
    assert not board.draining


def test_it_marks_at_once_and_returns_when_the_last_client_has_left(
    settings: Settings, board: Board, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module, "_SHORTEST", 0.2)
    board.connections(0, 1)
    board.connections(1, 2)
    draining = threading.Thread(target=drain, args=[settings])
    draining.start()
    while not board.draining:
        time.sleep(0.01)
    board.connections(0, 0)
    draining.join(0.5)
    assert draining.is_alive(), "two clients of the other worker are still connected"
    board.connections(1, 0)
    draining.join(2)
    assert not draining.is_alive()
    assert capsys.readouterr().out.endswith(" s: no client connection is left.\n")


def test_where_prometheus_scrapes_it_waits_for_the_scrape_after_the_last_answer(
    settings: Settings, board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_SHORTEST", 0.1)
    board.scraped(time.monotonic())
    draining = threading.Thread(target=drain, args=[settings])
    draining.start()
    while not board.draining:
        time.sleep(0.01)
    board.scraped(time.monotonic())
    board.answered()
    draining.join(0.5)
    assert draining.is_alive(), "the last answer came after the last scrape"
    board.scraped(time.monotonic())
    draining.join(2)
    assert not draining.is_alive()


def test_a_scrape_that_does_not_come_is_waited_for_until_the_drain_timeout(
    settings: Settings, board: Board, capsys: pytest.CaptureFixture[str]
) -> None:
    board.scraped(time.monotonic())
    drain(settings)
    assert re.fullmatch(
        r"Stopped waiting after 5\.\d s: the last answers have not been scraped\.\n", capsys.readouterr().out
    )


def test_a_scraper_that_has_left_is_not_waited_for(
    settings: Settings, board: Board, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module, "_SHORTEST", 0.1)
    board.scraped(time.monotonic() - 301)
    drain(settings)
    assert re.fullmatch(r"Drained in \d\.\d s: no client connection is left\.\n", capsys.readouterr().out)


def test_it_waits_five_seconds_even_when_nobody_is_connected(settings: Settings, board: Board) -> None:
    started = time.monotonic()
    drain(settings)
    assert 5.0 <= time.monotonic() - started < 5.9
    assert board.draining


def test_it_gives_up_on_clients_that_stay(settings: Settings, board: Board, capsys: pytest.CaptureFixture[str]) -> None:
    board.connections(0, 3)
    board.asking(0, 1)
    started = time.monotonic()
    drain(settings)
    assert 5.0 <= time.monotonic() - started < 5.9
    assert capsys.readouterr().out.endswith(" s: 3 client connections are left, 1 of them with a request in hand.\n")


def test_the_servers_log_says_that_it_drains_what_it_waits_for_and_when_it_has_drained(
    board: Board, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    monkeypatch.setattr(module, "_SHORTEST", 0.0)
    monkeypatch.setattr(module, "_SAID_AGAIN", 0.0)
    drain_log = DrainLog(board)
    drain_log.look()
    assert caplog.messages == []
    board.draining = True
    board.connections(0, 2)
    board.asking(0, 1)
    drain_log.look()
    drain_log.end()
    board.connections(0, 0)
    drain_log.look()
    drain_log.look()
    drain_log.end()
    # A busy machine takes its time.
    assert [re.sub(r"\d+(\.\d)? s:", "N s:", message) for message in caplog.messages] == [
        "draining: /ready answers 503, and every answer asks its client to leave",
        "draining for N s: 2 client connections are left, 1 of them with a request in hand",
        "stopping after a drain of N s: 2 client connections are left, 1 of them with a request in hand",
        "drained in N s: no client connection is left",
    ]

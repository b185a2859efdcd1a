"""The log of all processes: JSON lines for machines, columns for people, no field that nobody asked for."""

import io
import json
import logging
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from slipway.server.gunicorn import GunicornLogger
from slipway.settings import Settings
from slipway.telemetry import logs

Configured = Callable[..., io.StringIO]


@pytest.fixture
def configured(monkeypatch: pytest.MonkeyPatch) -> Iterator[Configured]:
    """configure() with stderr in memory; the root logger is put back afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level

    def configure(**settings: Any) -> io.StringIO:
        stderr = io.StringIO()
        monkeypatch.setattr("sys.stderr", stderr)
        logs.configure(Settings(**settings))
        return stderr

    yield configure
    logging.captureWarnings(False)
    root.handlers[:] = handlers
    root.setLevel(level)


def lines(stderr: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stderr.getvalue().splitlines()]


def test_without_a_terminal_each_line_is_a_json_object(configured: Configured) -> None:
    stderr = configured()
    logging.getLogger("slipway.test").info("two words, %d arguments", 1)
    [line] = lines(stderr)
    assert set(line) == {"timestamp", "level", "logger", "message", "pid"}
    assert (line["level"], line["logger"], line["message"]) == ("info", "slipway.test", "two words, 1 arguments")


def test_the_timestamp_is_utc_with_milliseconds(configured: Configured) -> None:
    stderr = configured(log_format="json")
    record = logging.makeLogRecord(
        {"created": 1_790_000_000.0, "msecs": 7, "msg": "x", "levelno": logging.INFO, "levelname": "INFO"}
    )
    logging.getLogger().handle(record)
    assert lines(stderr)[0]["timestamp"] == "2026-09-21T14:13:20.007Z"


def test_extra_fields_and_the_request_id_are_in_the_line(configured: Configured) -> None:
    stderr = configured(log_format="json")
    token = logs.request_id.set("abc")
    logging.getLogger("slipway.access").info(
        "request", extra={"method": "POST", "path": "/predict", "status": 200, "duration_ms": 1.5}
    )
    logs.request_id.reset(token)
    logging.getLogger("slipway.access").info("outside of any request")
    inside, outside = lines(stderr)
    assert inside["request_id"] == "abc"
    assert (inside["method"], inside["path"], inside["status"], inside["duration_ms"]) == ("POST", "/predict", 200, 1.5)
    assert "request_id" not in outside


def test_a_traceback_stays_within_its_line(configured: Configured) -> None:
    stderr = configured(log_format="json")
    try:
        raise ZeroDivisionError("nothing to divide by")
    except ZeroDivisionError:
        logging.getLogger("slipway.test").exception("failed")
    [line] = lines(stderr)
    assert line["exception"].startswith("Traceback")
    assert line["exception"].endswith("ZeroDivisionError: nothing to divide by")


def test_what_json_cannot_hold_does_not_lose_the_line(configured: Configured) -> None:
    stderr = configured(log_format="json")
    logging.getLogger("slipway.test").info("odd", extra={"value": {1, 2}, "text": "\ud800"})
    assert lines(stderr)[0]["value"] == "{1, 2}"


@pytest.mark.parametrize("path", ["/a\n12:00:00 [error] forged", "/\x1b[2J"])
def test_people_get_columns_in_which_no_client_can_forge_a_line_or_drive_the_terminal(
    path: str, configured: Configured
) -> None:
    stderr = configured(log_format="console")
    logging.getLogger("slipway.access").info("request", extra={"path": path})
    [line] = stderr.getvalue().splitlines()
    assert "[info     ] request" in line
    assert f"path={path!r}" in line


def test_no_message_or_traceback_drives_the_terminal(configured: Configured) -> None:
    stderr = configured(log_format="console")
    try:
        raise ValueError("\x1b[2J\u2028\u202e")
    except ValueError:
        logging.getLogger("slipway.models").exception("model %s is not served", "a\n\x9b\u202eb")
    shown = stderr.getvalue()
    assert all(line.isprintable() for line in shown.split("\n"))
    assert r"model a\n\x9b\u202eb is not served" in shown
    assert r"ValueError: \x1b[2J\u2028\u202e" in shown


def test_the_level_is_the_settings(configured: Configured) -> None:
    stderr = configured(log_level="warning")
    logging.getLogger("slipway.test").info("not this")
    logging.getLogger("slipway.test").warning("this")
    assert [line["message"] for line in lines(stderr)] == ["this"]


def test_configuring_twice_writes_each_line_once(configured: Configured) -> None:
    configured()
    stderr = configured()
    logging.getLogger("slipway.test").info("once")
    assert len(lines(stderr)) == 1


def test_pythons_warnings_are_lines_too(configured: Configured) -> None:
    stderr = configured()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(True)
        warnings.warn("watch out", UserWarning, stacklevel=1)
    [line] = lines(stderr)
    assert line["level"] == "warning"
    assert "watch out" in line["message"]


def test_gunicorn_logs_through_the_same_handler_once(configured: Configured) -> None:
    stderr = configured()
    gunicorn = GunicornLogger(cfg=None)
    gunicorn.setup(None)  # as Gunicorn does on SIGHUP
    gunicorn.info("Listening at: %s", "http://127.0.0.1:8000")
    [line] = lines(stderr)
    assert (line["logger"], line["message"]) == ("gunicorn.error", "Listening at: http://127.0.0.1:8000")


class Opaque(Exception):
    def __getattribute__(self, name: str) -> Any:
        raise SystemExit


@pytest.mark.parametrize("format_", ["json", "console"])
def test_a_line_is_bounded_and_told_whatever_the_exception_does(configured: Configured, format_: str) -> None:
    stderr = configured(log_format=format_)
    logger = logging.getLogger("slipway.test")
    logger.error("long %s", "y" * 1_000_000)
    for error in (ValueError("x" * 1_000_000 + " its end"), Opaque()):
        try:
            raise error
        except Exception:
            logger.exception("failed")
    text = stderr.getvalue()
    assert len(text) < 30_000
    assert "its end" in text
    assert "It cannot be shown" in text

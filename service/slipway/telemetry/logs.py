"""Logging of all processes in one format on stderr: JSON lines for machines, aligned columns for people."""

import json
import logging
import sys
import time

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from ..errors import Stopped
from ..settings import Settings
from ..system.escaping import printable
from .request_id import request_id

_MOST_CHARACTERS = 8_000  # of a message, and of a traceback, which has the message of a model's exception in it

# What each record has: anything else was given as `extra` and becomes a field. Uvicorn repeats its messages in colour.
_RECORD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName", "color_message"}


def configure(settings: Settings) -> None:
    """Takes over the root logger of this process and of those that it forks."""
    terminal = sys.stderr.isatty()
    console = terminal if settings.log_format == "auto" else settings.log_format == "console"
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(processors=_for_people(colors=terminal) if console else [_fields, _to_json])
    )
    logging.basicConfig(handlers=[handler], level=settings.log_level.upper(), force=True)
    logging.captureWarnings(True)
    logging.getLogger("alembic").setLevel(max(logging.WARNING, logging.root.level))  # its steps are nobody's news


def _fields(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """The whole line in one pass, in the order in which it is read. A chain of processors takes longer."""
    record: logging.LogRecord = event["_record"]
    fields: EventDict = {
        "timestamp": f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(record.created))}.{int(record.msecs):03d}Z",
        "level": record.levelname.lower(),
        "logger": record.name,
        "message": _cut(event["event"]),
        "pid": record.process,
    }
    if identity := request_id.get():
        fields["request_id"] = identity
    fields.update((name, value) for name, value in record.__dict__.items() if name not in _RECORD)
    if "exc_info" in event:
        fields["exc_info"] = event["exc_info"]
    return fields


def _to_json(logger: WrappedLogger, name: str, fields: EventDict) -> str:
    return json.dumps(_with_traceback(logger, name, fields), default=str)


def _with_traceback(logger: WrappedLogger, name: str, fields: EventDict) -> EventDict:
    if "exc_info" not in fields:
        return fields
    try:
        fields = structlog.processors.format_exc_info(logger, name, fields)
    except Stopped:
        raise
    except BaseException:  # a model's exception runs code of its own when it is looked at
        return {name: value for name, value in fields.items() if name != "exc_info"} | {
            "exception": "It cannot be shown"
        }
    if "exception" in fields:
        fields["exception"] = _cut(fields["exception"])
    return fields


def _cut(text: str) -> str:
    """Its begin and its end, where it is too long: a traceback ends with what was raised."""
    if len(text) <= _MOST_CHARACTERS:
        return text
    half = _MOST_CHARACTERS // 2
    return f"{text[:half]} … (cut: it has {len(text):,} characters) … {text[-half:]}"


def _for_people(*, colors: bool) -> list[Processor]:
    # Strings are quoted, and messages escaped: a path or a name may hold what starts a new line or drives the terminal.
    renderer = structlog.dev.ConsoleRenderer(
        colors=colors,
        sort_keys=False,
        repr_native_str=True,
        event_key="message",
        exception_formatter=structlog.dev.plain_traceback,
    )
    return [_fields, _with_traceback, _escaped, structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False), renderer]


def _escaped(_: WrappedLogger, __: str, fields: EventDict) -> EventDict:
    fields["message"] = printable(str(fields["message"]))
    if "exception" in fields:
        fields["exception"] = "\n".join(map(printable, fields["exception"].split("\n")))
    return fields

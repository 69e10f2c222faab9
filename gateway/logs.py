"""Structured logs on standard error: one line for one event, as JSON or for people. Nothing is logged per call.

    logs.info("listening", service="cache", address="127.0.0.1:6380")
    logs.recurring("upstream down", service="cache", endpoint="10.0.0.5:6379", detail="connection refused")

Fields are what an operator searches for. A secret is never one of them, nor is what a client sent, but for names and
the text of a slow query without its literals.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import select
import time
from collections.abc import Mapping
from typing import Any, Final, final

LEVELS: Final[dict[str, int]] = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
RECURRING_EVERY: Final = 10.0  # seconds between two lines about the same trouble
_MAX_KINDS: Final = 256  # of trouble that are remembered
_CHUNK: Final = 4096  # bytes that a pipe with any room at all takes without blocking
_LOGGER: Final = logging.getLogger("poolgate")


# What the gateway says.


def debug(message: str, /, **fields: object) -> None:
    """For whoever looks for an error."""
    _log(logging.DEBUG, message, fields)


def info(message: str, /, **fields: object) -> None:
    """Worth knowing."""
    _log(logging.INFO, message, fields)


def warning(message: str, /, **fields: object) -> None:
    """Somebody should look at it."""
    _log(logging.WARNING, message, fields)


def error(message: str, /, *, exception: BaseException | None = None, **fields: object) -> None:
    """Something does not work; the exception is shown with its traceback."""
    _log(logging.ERROR, message, fields, exception=exception)


def recurring(message: str, /, **fields: object) -> None:
    """A warning that may come again and again: the first at once, then one line with a count now and then.

    Those with the same message, service and endpoint are one kind of trouble.
    """
    _log(logging.WARNING, message, fields, recurs=True)


def _log(
    level: int,
    message: str,
    fields: Mapping[str, object],
    *,
    exception: BaseException | None = None,
    recurs: bool = False,
) -> None:
    _LOGGER.log(level, message, exc_info=exception, extra={"fields": dict(fields), "recurs": recurs})


# How it is set up.


def configure(form: str, level: str, fd: int = 2) -> None:
    """Write ``json`` or ``console`` (for people) to the file descriptor, from this level on. May be repeated."""
    root = logging.getLogger()
    for handler in [handler for handler in root.handlers if isinstance(handler, _Writer)]:
        root.removeHandler(handler)
    root.addHandler(_Writer(fd, _Json() if form == "json" else _Console()))
    set_level(level)


def set_level(level: str) -> None:
    """Say no less and no more than this.

    Raises:
        KeyError: there is no such level.
    """
    logging.getLogger().setLevel(LEVELS[level])


def install(loop: asyncio.AbstractEventLoop) -> None:
    """What goes wrong in callbacks of the loop, and is nobody's to handle, is logged here too."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, _Writer):
            handler.loop = loop
    loop.set_exception_handler(_unhandled)


def _unhandled(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """The rest of the context stays unsaid: the repr of a handle shows the bytes that it was called with."""
    message = str(context.get("message") or "unhandled exception in a callback")
    _log(logging.ERROR, message, {}, exception=context.get("exception"), recurs=True)


# How lines look.


def _fields(record: logging.LogRecord) -> dict[str, object]:
    """What was said with the message; records of libraries have none, but a name of their own."""
    fields: dict[str, object] | None = getattr(record, "fields", None)
    return {"logger": record.name} if fields is None else fields


@final
class _Json(logging.Formatter):
    """One JSON object a line; times are UTC."""

    def format(self, record: logging.LogRecord) -> str:
        seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line: dict[str, object] = {
            "time": f"{seconds}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            **_fields(record),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


@final
class _Console(logging.Formatter):
    """For people: local time, ``key=value`` behind the message, a traceback below it."""

    def format(self, record: logging.LogRecord) -> str:
        clock = time.strftime("%H:%M:%S", time.localtime(record.created))
        message = record.getMessage()
        if not message.isprintable():
            message = _quoted(message)
        parts = [f"{clock}.{int(record.msecs):03d} {record.levelname.lower():7} {message}"]
        parts += [f"{key}={_readable(str(value))}" for key, value in _fields(record).items()]
        line = "  ".join(parts)
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def _readable(text: str) -> str:
    """As it is where that is clear, else in quotes: nobody forges a line or a field."""
    plain = text and text.isprintable() and not set(text) & set(' "=')
    return text if plain else _quoted(text)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=not text.isprintable())


# Where lines go.


@final
class _Trouble:
    """One kind of recurring trouble."""

    def __init__(self, said_at: float) -> None:
        self.said_at: float = said_at
        self.held_back: int = 0  # since then


@final
class _Writer(logging.Handler):
    """Writes to a file descriptor without ever waiting: where nobody reads, lines are lost, not calls."""

    def __init__(self, fd: int, formatter: logging.Formatter) -> None:
        super().__init__()
        self.setFormatter(formatter)
        self.loop: asyncio.AbstractEventLoop | None = None  # for summaries of recurring trouble
        self._fd: Final = fd
        self._room: Final = select.poll()
        self._room.register(fd, select.POLLOUT)
        self._lost: int = 0
        self._torn: bool = False  # the last line was written in part
        self._troubles: Final[dict[object, _Trouble]] = {}

    def emit(self, record: logging.LogRecord) -> None:
        if getattr(record, "recurs", False) and not self._is_due(record):
            return
        try:
            self._say(record)
        except Exception:  # a field that cannot be shown is no reason to stop: logging's own way to report it
            self.handleError(record)

    def _say(self, record: logging.LogRecord) -> None:
        if self._lost:
            fields = {"lines": self._lost}
            message = "log lines were lost: whoever reads them is too slow"
            lost = {"msg": message, "levelno": logging.WARNING, "levelname": "WARNING", "fields": fields}
            if not self._write(self.format(logging.makeLogRecord(lost))):
                self._lost += 1
                return
            self._lost = 0
        if not self._write(self.format(record)):
            self._lost += 1

    def _write(self, text: str) -> bool:
        """Write a line in pieces that cannot block; False: it is lost, or torn."""
        rest = ("\n" * self._torn + text + "\n").encode("utf-8", "backslashreplace")
        self._torn = False
        whole = len(rest)
        while rest:
            events = self._room.poll(0)
            try:
                written = os.write(self._fd, rest[:_CHUNK]) if events and events[0][1] & select.POLLOUT else 0
            except OSError:  # the reader is gone, and this was the way to say so
                written = 0
            if not written:
                self._torn = len(rest) < whole
                return False
            rest = rest[written:]
        return True

    # Recurring trouble

    def _is_due(self, record: logging.LogRecord) -> bool:
        """Whether to say it now; if not, it is counted for the next line about it."""
        now = time.monotonic()
        fields = _fields(record)
        exception = record.exc_info[0] if record.exc_info else None
        kind = (record.levelno, record.msg, fields.get("service"), fields.get("endpoint"), exception)
        trouble = self._troubles.get(kind)
        if trouble is None:
            if len(self._troubles) >= _MAX_KINDS:
                del self._troubles[next(iter(self._troubles))]
            self._troubles[kind] = _Trouble(now)
            return True
        if now - trouble.said_at >= RECURRING_EVERY:
            if trouble.held_back:
                fields["times"] = trouble.held_back + 1
            trouble.said_at = now
            trouble.held_back = 0
            return True
        trouble.held_back += 1
        if trouble.held_back == 1 and self.loop is not None and not self.loop.is_closed():
            self.loop.call_later(trouble.said_at + RECURRING_EVERY - now, self._sum_up, trouble, record)
        return False

    def _sum_up(self, trouble: _Trouble, record: logging.LogRecord) -> None:
        """No more came for long enough: say how many were held back."""
        if not trouble.held_back:
            return  # said with a later one
        _fields(record)["times"] = trouble.held_back
        trouble.said_at = time.monotonic()
        trouble.held_back = 0
        self._say(record)

"""Logs: how lines look, where they go, and how often the same trouble is told."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from gateway import logs
from gateway.config.files import Secret
from runtimes import run

Read = Callable[[], str]


@pytest.fixture
def pipe() -> Iterator[tuple[int, Read]]:
    """A descriptor to log to, and how to read what was logged."""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)

    def read() -> str:
        try:
            return os.read(reading, 1 << 20).decode()
        except BlockingIOError:
            return ""

    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    yield writing, read
    root.setLevel(level)
    root.handlers[:] = handlers
    os.close(reading)
    os.close(writing)


@pytest.fixture
def logged(pipe: tuple[int, Read]) -> Callable[[], list[dict[str, Any]]]:
    """What was logged since the last call, as JSON."""
    fd, read = pipe
    logs.configure("json", "debug", fd)
    return lambda: [json.loads(line) for line in read().splitlines()]


Logged = Callable[[], list[dict[str, Any]]]


def test_a_line_of_json(logged: Logged) -> None:
    logs.info("listening", service="cache", address="127.0.0.1:6380", backlog=1024)
    (line,) = logged()
    assert line.pop("time").endswith("Z")
    assert line == {
        "level": "info", "message": "listening", "service": "cache", "address": "127.0.0.1:6380", "backlog": 1024,
    }  # fmt: skip


def test_hostile_text_stays_on_its_line(logged: Logged) -> None:
    logs.warning("100 % \n{}\x1b[31m\ud800", value='a\n"b" \u2028')
    (line,) = logged()
    assert line["message"].startswith("100 % \n{}\x1b[31m")
    assert line["value"] == 'a\n"b" \u2028'


def test_a_secret_is_never_shown(logged: Logged) -> None:
    logs.info("login", password=Secret("hunter2"))
    assert [line["password"] for line in logged()] == ["***"]


@pytest.mark.parametrize("level", logs.LEVELS)
def test_levels(level: str, logged: Logged) -> None:
    logs.set_level(level)
    logs.debug("debug")
    logs.info("info")
    logs.warning("warning")
    logs.error("error")
    assert [line["level"] for line in logged()] == list(logs.LEVELS)[list(logs.LEVELS).index(level) :]


def test_an_unknown_level() -> None:
    with pytest.raises(KeyError):
        logs.set_level("loud")


def test_for_people(pipe: tuple[int, Read]) -> None:
    fd, read = pipe
    logs.configure("console", "info", fd)
    logs.info("listening", service="cache", note="two words", odd='a="b"', empty="", many=3)
    logs.warning("forged\n12:00:00.000 info    all is well")
    first, second = read().splitlines()
    assert first[13:] == 'info    listening  service=cache  note="two words"  odd="a=\\"b\\""  empty=""  many=3'
    assert second[13:] == 'warning "forged\\n12:00:00.000 info    all is well"'


def test_configure_again_replaces(pipe: tuple[int, Read]) -> None:
    fd, read = pipe
    logs.configure("json", "info", fd)
    logs.configure("console", "error", fd)
    logs.warning("quiet")
    logs.error("loud")
    assert read()[13:] == "error   loud\n"


def test_an_exception_has_its_traceback(logged: Logged, pipe: tuple[int, Read]) -> None:
    error = ValueError("broken")
    logs.error("a task failed", exception=error)
    (line,) = logged()
    assert line["exception"] == "ValueError: broken"
    fd, read = pipe
    logs.configure("console", "info", fd)
    logs.error("a task failed", exception=error)
    assert read().splitlines()[1:] == ["ValueError: broken"]


def test_libraries_log_here_too(logged: Logged) -> None:
    logging.getLogger("asyncio").warning("poll took %d ms", 3)
    (line,) = logged()
    assert (line["logger"], line["message"], line["level"]) == ("asyncio", "poll took 3 ms", "warning")


def test_trouble_that_recurs_is_told_once(logged: Logged) -> None:
    for _ in range(50):
        logs.recurring("upstream down", service="cache", endpoint="a:1", detail="refused")
        logs.recurring("upstream down", service="cache", endpoint="b:1", detail="refused")
    logs.recurring("slow client", service="cache")
    told = [(line["message"], line.get("endpoint")) for line in logged()]
    assert told == [("upstream down", "a:1"), ("upstream down", "b:1"), ("slow client", None)]


def test_trouble_that_recurs_is_summed_up(logged: Logged, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "RECURRING_EVERY", 0.05)

    async def scenario() -> None:
        logs.install(asyncio.get_running_loop())
        for number in range(5):
            logs.recurring("upstream down", service="cache", number=number)
        for number in (5, 6):
            await asyncio.sleep(0.15)
            logs.recurring("upstream down", service="cache", number=number)
        await asyncio.sleep(0.15)

    run(scenario())
    lines = [(line["number"], line.get("times")) for line in logged()]
    assert lines[:2] == [(0, None), (1, 4)]
    assert sum(times or 1 for _, times in lines) == 7


def test_without_a_loop_the_next_line_has_the_count(logged: Logged, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(5):
        logs.recurring("upstream down")
    monkeypatch.setattr(logs, "RECURRING_EVERY", 0.0)
    logs.recurring("upstream down")
    assert [line.get("times") for line in logged()] == [None, 5]


def test_kinds_of_trouble_are_bounded(logged: Logged) -> None:
    for number in range(2000):
        logs.recurring("upstream down", endpoint=str(number))
    (handler,) = [h for h in logging.getLogger().handlers if isinstance(h, logs._Writer)]
    assert len(handler._troubles) <= 256


def test_what_goes_wrong_in_the_loop(logged: Logged) -> None:
    def fails(data: bytes) -> None:
        raise RuntimeError("in a callback")

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        logs.install(loop)
        for _ in range(3):
            loop.call_soon(fails, b"AUTH hunter2")
        await asyncio.sleep(0.01)

    run(scenario())
    (line,) = logged()
    assert line["level"] == "error"
    assert "RuntimeError: in a callback" in line["exception"]
    assert "in fails" in line["exception"]
    assert "hunter2" not in str(line)


def test_a_reader_that_is_stuck_costs_lines_not_time(pipe: tuple[int, Read]) -> None:
    fd, read = pipe
    logs.configure("json", "info", fd)
    for number in range(3000):
        logs.info("filling", number=number, padding="x" * 100)
    logs.info("long", padding="y" * 200_000)
    filled = read()
    written = filled.count("\n")
    assert 0 < written < 3000
    logs.info("again")
    *torn, lost, last = read().splitlines()
    assert [line for line in torn if line] == []
    assert json.loads(lost) | {"time": ""} == {
        "time": "", "level": "warning", "lines": 3001 - written,
        "message": "log lines were lost: whoever reads them is too slow",
    }  # fmt: skip
    assert json.loads(last)["message"] == "again"


def test_a_torn_line_ends_before_the_next(pipe: tuple[int, Read]) -> None:
    fd, read = pipe
    logs.configure("json", "info", fd)
    logs.info("long", padding="y" * 200_000)  # more than a pipe takes
    assert not read().endswith("\n")
    logs.info("next")
    empty, lost, last = read().splitlines()
    assert (empty, json.loads(lost)["lines"], json.loads(last)["message"]) == ("", 1, "next")


def test_a_long_line_arrives_whole(logged: Logged) -> None:
    logs.info("long", padding="y" * 50_000)
    (line,) = logged()
    assert line["padding"] == "y" * 50_000


def test_a_reader_that_left_is_no_error(pipe: tuple[int, Read]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    logs.configure("json", "info", writing)
    logs.info("to nobody")
    os.close(writing)
    logs.info("to nothing")
    fd, read = pipe
    logs.configure("console", "info", fd)
    logs.info("to somebody")
    assert read()[13:] == "info    to somebody\n"

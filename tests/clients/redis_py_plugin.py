"""A plugin of the pytest that runs redis-py's own tests: see test_redis_py_suite.py. It needs nothing but pytest.

It chooses tests by their ids, writes down how each ended and whether it talked to the server at all, lets nobody else
use the port that one file has written into it, and spares them tracemalloc, which the suite starts to say where a
leaked socket was opened: it takes as much time as all the rest.
"""

from __future__ import annotations

import fcntl
import json
import socket
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlparse

import pytest

FIXED_PORT: Final = "tests/test_asyncio/test_cwe_404.py"


def covers(entry: str, test: str) -> bool:
    """An entry of a list names a file, a class, a test with all its parameters, or one of them."""
    return test == entry or test.startswith((f"{entry}[", f"{entry}::"))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--only", type=Path, help="file of the entries to run")
    parser.addoption("--without", type=Path, help="file of the entries not to run")
    parser.addoption("--results", type=Path, required=True, help="where to write them, one JSON object a line")
    parser.addoption("--lock", type=Path, required=True, help="file to lock while the fixed port is in use")


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Recorder(config), "redis_py_recorder")


class Recorder:
    """What one run needs and finds."""

    def __init__(self, config: pytest.Config) -> None:
        self.results: Final[Path] = config.getoption("--results")
        self.lock: Final[Path] = config.getoption("--lock")
        self.only: Final = _entries(config.getoption("--only"))
        self.without: Final = _entries(config.getoption("--without"))
        self.found: dict[str, Any] = {}
        self.talked: bool = False
        self._listen_in(int(urlparse(config.getoption("--redis-url")).port or 6379))
        tracemalloc.start = lambda nframe=1, /: None

    def _listen_in(self, port: int) -> None:
        connect = socket.socket.connect

        def noticed(this: socket.socket, address: Any, /) -> None:
            self.talked = self.talked or (isinstance(address, tuple) and address[1] == port)
            connect(this, address)

        socket.socket.connect = noticed  # type: ignore[method-assign,assignment]

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        chosen = [item for item in items if _place(self.without, item) < 0]
        if self.only:
            chosen = sorted((item for item in chosen if _place(self.only, item) >= 0), key=self._order)
        config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
        items[:] = chosen

    def _order(self, item: pytest.Item) -> int:
        """As the list has them: it puts those last that spoil the server for others."""
        return _place(self.only, item)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self.talked = False
        self.found = {"id": item.nodeid, "outcome": "passed", "why": ""}
        with self.lock.open("a") as lock:
            if item.nodeid.startswith(FIXED_PORT):
                fcntl.flock(lock, fcntl.LOCK_EX)  # until it closes
            result = yield
        with self.results.open("a") as file:
            file.write(json.dumps(self.found | {"talks": self.talked}) + "\n")
        return result

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.outcome != "passed" and self.found["outcome"] != "failed":
            lines = report.longreprtext.splitlines()
            self.found |= {"outcome": report.outcome, "why": f"{report.when}: {lines[-1] if lines else ''}"}


def _entries(file: Path | None) -> list[str]:
    return file.read_text().splitlines() if file else []


def _place(entries: list[str], item: pytest.Item) -> int:
    """Index of the entry that covers the test, or -1."""
    return next((i for i, entry in enumerate(entries) if covers(entry, item.nodeid)), -1)

"""A plugin of the pytest that runs a driver's own tests: see test_mysql_suites.py. It needs nothing but pytest.

It runs only some tests where a list says so, and writes down how each ended. SQLAlchemy puts the server's version into
the names of its tests; it is taken out of them here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

_SERVER: Final = re.compile(r"_(?:mariadb|mysql)\+[a-z]+_[\d_]+(?=::)")


def name(item: pytest.Item) -> str:
    """Of a test, on whichever server."""
    return _SERVER.sub("", item.nodeid)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--only", type=Path, help="file with the names of the tests to run")
    parser.addoption("--results", type=Path, required=True, help="where to write them, one JSON object a line")


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Recorder(config), "suite_recorder")


class Recorder:
    """What one run needs and finds."""

    def __init__(self, config: pytest.Config) -> None:
        self.results: Final[Path] = config.getoption("--results")
        only: Path | None = config.getoption("--only")
        self.only: Final = set(only.read_text().splitlines()) if only else set()
        self.found: dict[str, Any] = {}

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        if self.only:
            left = [item for item in items if name(item) not in self.only]
            config.hook.pytest_deselected(items=left)
            items[:] = [item for item in items if name(item) in self.only]

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self.found = {"test": name(item), "outcome": "passed", "why": ""}
        result = yield
        with self.results.open("a") as file:
            file.write(json.dumps(self.found) + "\n")
        return result

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.outcome != "passed" and self.found["outcome"] != "failed":
            lines = report.longreprtext.splitlines()
            self.found |= {"outcome": report.outcome, "why": f"{report.when}: {lines[-1] if lines else ''}"}

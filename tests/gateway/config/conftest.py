"""Configurations as tests write them: the text, and what becomes of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from textwrap import dedent

import pytest

from gateway.config import Config, ConfigError, Service, parse

ENVIRONMENT: Mapping[str, str] = {"PASSWORD": "123e4", "LANES": "3", "EMPTY": ""}

# Five lines; what a test is about begins on line 6, four spaces in.
SERVICE = """\
services:
  cache:
    protocol: redis
    listen: 127.0.0.1:6380
    upstream: {endpoints: [127.0.0.1:6390]}
"""


@pytest.fixture
def accept(tmp_path: Path) -> Callable[[str], Config]:
    """A whole configuration that is right."""
    return lambda text: parse(dedent(text), "poolgate.yaml", tmp_path, ENVIRONMENT)


@pytest.fixture
def accept_service(accept: Callable[[str], Config]) -> Callable[[str], Service]:
    """A service called cache, with more lines, that is right."""

    def accepted(more: str) -> Service:
        lines = "".join(f"    {line}\n" for line in dedent(more).strip().splitlines())
        return accept(SERVICE + lines).services["cache"]

    return accepted


@pytest.fixture
def refuse(tmp_path: Path) -> Callable[[str], list[str]]:
    """The problems of a whole configuration, without the file's name: ``3: path: message``."""

    def refused(text: str) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            parse(dedent(text), "poolgate.yaml", tmp_path, ENVIRONMENT)
        return [line.removeprefix("poolgate.yaml:") for line in str(caught.value).splitlines()]

    return refused


@pytest.fixture
def refuse_service(refuse: Callable[[str], list[str]]) -> Callable[[str], list[str]]:
    """The problems of a service called cache whose further lines begin on line 6: ``6: path: message``.

    The path is shown from the service on.
    """

    def refused(more: str) -> list[str]:
        lines = "".join(f"    {line}\n" for line in dedent(more).strip().splitlines())
        return [line.replace(" services.cache.", " ") for line in refuse(SERVICE + lines)]

    return refused

"""Fixtures of the end-to-end tests: keys that no other test has."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest

_numbers = itertools.count()


@pytest.fixture
def key(request: pytest.FixtureRequest) -> Callable[[str], str]:
    """Names of keys and channels that belong to this test alone: ``key("a")``."""
    number = next(_numbers)
    return lambda name: f"{request.node.originalname}:{number}:{name}"

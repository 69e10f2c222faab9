"""Django's MySQL backend, on PyMySQL in the place of mysqlclient, does the same direct and through the gateway."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from mysql_ways import Ways, ways

SCRIPT: Final = Path(__file__).parent / "django_shop.py"


@pytest.fixture(scope="module")
def both() -> Iterator[Ways]:
    """One MariaDB for this file."""
    with ways(pool={"max_connections": 2}) as both:
        yield both


@pytest.mark.parametrize("isolation", ["", "serializable"])
@pytest.mark.parametrize("max_age", ["0", "60"], ids=["a connection for each request", "kept connections"])
def test_an_application(both: Ways, max_age: str, isolation: str) -> None:
    env = {"MAX_AGE": max_age, "ISOLATION": isolation, "PYTHONPATH": ""}
    said = both.compare(lambda _: [sys.executable, "-W", "ignore", str(SCRIPT)], env=env)
    assert '["committed"]' in said
    assert "not committed" not in said

"""node's mysql2 prints the same direct and through the gateway."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from mysql_ways import Ways, ways
from servers import ROOT, binary

SCRIPT: Final = Path(__file__).parent / "node" / "client.js"
MYSQL2: Final = ROOT / "build" / "node" / "node_modules" / "mysql2"


@pytest.fixture(scope="module")
def both() -> Iterator[Ways]:
    """One MariaDB for this file."""
    with ways() as both:
        yield both


@pytest.mark.parametrize("transport", ["port", "socket", "tls"])
@pytest.mark.parametrize("part", ["queries", "prepared", "pools", "refusals"])
def test_mysql2(both: Ways, part: str, transport: str) -> None:
    node = binary("node")
    if not MYSQL2.exists():
        pytest.skip("mysql2 is not installed: tests/install-servers.sh")
    env = {"TRANSPORT": transport, "MYSQL2": str(MYSQL2)}
    said = both.compare(lambda _: [node, str(SCRIPT), part], env=env)
    assert all(json.loads(line) for line in said.splitlines())
    assert len(said.splitlines()) >= 4

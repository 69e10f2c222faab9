"""PHP's mysqli and PDO print the same direct and through the gateway."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from mysql_ways import Ways, ways
from servers import binary

SCRIPTS: Final = Path(__file__).parent / "php"
TRANSPORTS: Final = ("port", "socket", "tls")


@pytest.fixture(scope="module")
def both() -> Iterator[Ways]:
    """One MariaDB for this file. Its largest packet is of PHP's own size, so that long statements get through."""
    with ways(options={"max-allowed-packet": "64M"}) as both:
        yield both


@pytest.fixture(scope="module")
def php() -> list[str]:
    """The command, where PHP has what it takes."""
    loaded = subprocess.run([binary("php"), "-m"], capture_output=True, text=True, check=True).stdout.split()
    if not {"mysqli", "pdo_mysql"} <= set(loaded):
        pytest.skip("PHP has no mysqli and pdo_mysql: tests/install-servers.sh")
    return [binary("php"), "-d", "mysqli.allow_local_infile=1", "-d", f"include_path={SCRIPTS}"]


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("script", ["mysqli_queries", "mysqli_prepared", "mysqli_sessions"])
def test_mysqli(both: Ways, php: list[str], script: str, transport: str, tmp_path: Path) -> None:
    env = {"TRANSPORT": transport, "FOLDER": str(tmp_path)}
    said = both.compare(lambda _: [*php, str(SCRIPTS / f"{script}.php")], env=env)
    assert len(said.splitlines()) > 25


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("emulate", ["", "1"], ids=["native", "emulated"])
def test_pdo(both: Ways, php: list[str], emulate: str, transport: str) -> None:
    said = both.compare(lambda _: [*php, str(SCRIPTS / "pdo.php")], env={"TRANSPORT": transport, "EMULATE": emulate})
    assert len(said.splitlines()) > 25


def test_a_connection_for_each_request(both: Ways, php: list[str]) -> None:
    both.gateway.wait_until_quiet()
    before = both.gateway.leases()["opened"]
    both.compare(lambda _: [*php, str(SCRIPTS / "requests.php")], env={"TRANSPORT": "port"})
    assert both.gateway.leases()["opened"] - before <= 4, "a few, however many clients"

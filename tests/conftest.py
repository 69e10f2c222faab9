"""What all tests share: which form of poolgate they test, and one server of each kind for the session."""

from __future__ import annotations

import os
from collections.abc import Iterator

import hypothesis
import pytest

import protocols.call
from mysql_servers import MariaDBServer, MySQL8Server
from servers import RedisServer

# Machines that run tests are busy ones: a slow example is no failure there.
hypothesis.settings.register_profile("poolgate", deadline=None, print_blob=True)
hypothesis.settings.load_profile("poolgate")

FORM = os.environ.get("POOLGATE_FORM", "interpreted")


def pytest_configure(config: pytest.Config) -> None:
    """Stop at once when the form under test is not the one that was asked for."""
    ending = {"compiled": ".so", "interpreted": ".py"}.get(FORM)
    if ending is None:
        raise pytest.UsageError(f"POOLGATE_FORM={FORM}: write interpreted or compiled")
    loaded = protocols.call.__file__
    if not loaded.endswith(ending):
        raise pytest.UsageError(f"POOLGATE_FORM={FORM}, but protocols.call is {loaded}: see make test-{FORM}")


def pytest_report_header(config: pytest.Config) -> str:
    """Say which form is under test."""
    return f"poolgate: {FORM}, {protocols.call.__file__}"


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """A Redis for tests that leave nothing behind that hurts others: own keys, no FLUSHALL, no CONFIG."""
    with RedisServer() as server:
        yield server


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[MariaDBServer]:
    """A MariaDB for tests that leave nothing behind that hurts others: own tables or databases, no global variables."""
    with MariaDBServer(users={"app": "s3cret"}) as server:
        yield server


@pytest.fixture(scope="session")
def mysql8_server() -> Iterator[MySQL8Server]:
    """A server with logins like MySQL 8, on the same terms. Its user ``app`` is in nobody's cache at first."""
    with MySQL8Server(users={"app": "s3cret"}) as server:
        yield server

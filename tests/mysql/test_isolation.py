"""The isolation test: 100 clients over five connections, everything at once, and nothing shown to others.

tests/mysql_clients.py says what the clients do; here their connections upstream are killed meanwhile, and in the end
everything has to balance.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any, Final

import pymysql
import pytest

from mysql_clients import SCHEMAS
from mysql_gateway import MysqlGateway
from mysql_servers import MariaDBServer
from servers import COMPILED, ROOT, wait_until

SECONDS: Final = 25 if COMPILED else 8  # the long one in the form that is used
CLIENTS: Final = 100
MB: Final = 1 << 20


@pytest.fixture
def server() -> Iterator[MariaDBServer]:
    with MariaDBServer(users={"app": "s3cret"}, options={"innodb-lock-wait-timeout": "2"}) as server:
        for number in range(SCHEMAS):
            schema = f"hunt_{number}"
            server.execute(f"CREATE DATABASE {schema}")
            server.execute(f"CREATE TABLE {schema}.here SELECT '{schema}' AS name")
            server.execute(f"CREATE TABLE {schema}.plain (id INT AUTO_INCREMENT PRIMARY KEY, owner INT, value TEXT)")
            for client in range(CLIENTS):
                server.execute(f"CREATE TABLE {schema}.own_{client} (value TEXT) ENGINE=MyISAM")
        server.execute("CREATE TABLE hunt_0.numbers SELECT seq AS id FROM hunt_0.seq_1_to_20")
        server.execute(
            "CREATE PROCEDURE hunt_0.changes(own TEXT) BEGIN SET @own = own; SET time_zone = '+05:00';"
            " CREATE OR REPLACE TEMPORARY TABLE hunt_0.temporary SELECT own AS value; SELECT own; END"
        )
        yield server


def disturb(server: MariaDBServer, seconds: float) -> int:
    """Kill connections of the gateway every now and then; returns how many."""
    end, killed = time.monotonic() + seconds, 0
    chance = random.Random(7)
    while time.monotonic() < end:
        time.sleep(0.5)
        found = server.thread_ids("app")
        for number in chance.sample(found, min(2, len(found))):
            try:
                server.kill_connection(number)
                killed += 1
            except pymysql.OperationalError as error:
                assert error.args[0] == 1094, error  # it is gone already
    return killed


def test_no_client_ever_sees_what_is_not_its_own(server: MariaDBServer) -> None:
    policies: list[dict[str, Any]] = [{"concurrency": 100_000}, {"timeout": "2s"}]
    pool = {"max_connections": 5, "statements": 8, "max_waiting": 1000, "wait_timeout": "10s", "backoff_max": "50ms"}
    gateway = MysqlGateway(
        [server.address], upstream={"user": "app", "password": "s3cret"}, policies=policies, pool=pool
    )
    with gateway:
        before = gateway.rss()
        script = str(ROOT / "tests" / "mysql_clients.py")
        command = [sys.executable, script, str(gateway.port), str(SECONDS), str(CLIENTS)]
        paths = [str(ROOT / "tests"), *filter(None, [os.environ.get("PYTHONPATH")])]
        env = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
        with subprocess.Popen(command, stdout=subprocess.PIPE, env=env) as process:
            try:
                killed = disturb(server, SECONDS)
                output, _ = process.communicate(timeout=90)
            finally:
                process.kill()
        result = json.loads(output)
        seen, errors = result["seen"], result["errors"]
        assert result["violations"] == [], errors
        assert seen["replies"] > 200 * SECONDS and killed > SECONDS, (seen, errors)

        # Everything balances.
        gateway.wait_until_quiet()
        stats = gateway.stats()
        assert gateway.policy("concurrency")["in_flight"] == 0
        leases = gateway.leases()
        assert leases["acquired"] == leases["granted"] + leases["cancelled"] + sum(leases["refused"].values())
        assert leases["idle"] <= 5 and leases["connecting"] == 0
        assert stats["calls"]["fatal"] > 0 and stats["calls"]["cancelled"] > 0, stats["calls"]
        wait_until(lambda: gateway.rss() - before < 40 * MB, "memory is back near where it was")
        assert "Traceback" not in gateway.log

        # Nothing goes on behind the clients' backs, and the gateway serves as on the first day.
        running = [row for row in server.processlist() if row["User"] == "app" and row["Command"] != "Sleep"]
        assert running == []
        assert server.execute("SELECT COUNT(*) AS n FROM information_schema.innodb_trx") == [{"n": 0}]
        with gateway.client() as client, client.cursor() as cursor:
            cursor.execute("SELECT 1")
            assert cursor.fetchone() == (1,)

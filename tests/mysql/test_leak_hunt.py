"""A hundred clients over five upstream connections, while connections are killed: nobody sees anything of another."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from typing import Final

import pymysql
import pytest

from mysql_gateway import MysqlGateway
from mysql_hunters import TRICKS, Hunter
from mysql_servers import MariaDBServer
from servers import COMPILED

CLIENTS: Final = 100
SECONDS: Final = 30.0 if COMPILED else 8.0
NO_SUCH_THREAD: Final = 1094
GROWTH: Final = 40 << 20  # bytes of resident memory that may remain


def prepare(server: MariaDBServer) -> None:
    for sql in (
        "CREATE DATABASE hunt_a",
        "CREATE DATABASE hunt_b",
        "CREATE TABLE hunt_a.ledger (n INT) ENGINE=InnoDB",
        "CREATE TABLE hunt_a.numbered (id INT PRIMARY KEY AUTO_INCREMENT, n INT) ENGINE=InnoDB",
        *(f"CREATE TABLE {name}.named (name VARCHAR(20))" for name in ("hunt_a", "hunt_b")),
        *(f"INSERT INTO {name}.named VALUES ('{name}')" for name in ("hunt_a", "hunt_b")),
    ):
        server.execute(sql)


def kill(server: MariaDBServer, thread: int) -> bool:
    """False: it had ended by itself."""
    try:
        server.kill_connection(thread)
    except pymysql.err.OperationalError as error:
        if error.args[0] != NO_SUCH_THREAD:
            raise
        return False
    return True


async def kill_now_and_then(server: MariaDBServer, until: float) -> int:
    """End an upstream connection twice a second."""
    loop, kills = asyncio.get_running_loop(), 0
    while loop.time() < until:
        await asyncio.sleep(0.5)
        threads = await asyncio.to_thread(server.thread_ids, "app")
        if threads:
            kills += await asyncio.to_thread(kill, server, random.choice(threads))
    return kills


async def hunt(gateway: MysqlGateway, server: MariaDBServer, counts: Counter[str]) -> int:
    until = asyncio.get_running_loop().time() + SECONDS
    hunters = [Hunter(number, gateway.port, counts) for number in range(CLIENTS)]
    async with asyncio.TaskGroup() as group:
        for hunter in hunters:
            group.create_task(hunter.hunt(until))
        killing = group.create_task(kill_now_and_then(server, until))
    return killing.result()


@pytest.mark.timeout(180)
def test_nobody_sees_what_another_left() -> None:
    counts: Counter[str] = Counter()
    with MariaDBServer(users={"app": "s3cret"}) as server:
        prepare(server)
        policies = [{"concurrency": 1000}, {"timeout": {"total": "500ms", "verbs": ["DO"]}}]
        pool = {"max_connections": 5, "wait_timeout": "30s", "max_waiting": 1000, "backoff_max": "50ms"}
        clients = [{"user": "app", "password": "s3cret"}]
        upstream = {"user": "app", "password": "s3cret"}
        with MysqlGateway(
            [server.address], upstream=upstream, clients=clients, policies=policies, pool=pool
        ) as gateway:
            before = gateway.rss()
            kills = asyncio.run(hunt(gateway, server, counts))
            gateway.wait_until_quiet()
            leases = gateway.leases()
            assert kills >= SECONDS / 2
            assert leases["granted"] > sum(counts.values()) > CLIENTS
            assert leases["idle"] <= 5
            assert leases["opened"] == leases["closed"] + leases["lost"] + leases["idle"]
            assert gateway.policy("concurrency")["in_flight"] == 0
            assert gateway.rss() < before + GROWTH
    assert {trick.__name__ for trick in TRICKS} <= set(counts), counts

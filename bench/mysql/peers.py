"""Who is measured before a MariaDB."""

from __future__ import annotations

import functools
from typing import Any

import pymysql
import yaml

from bench import poolgate
from bench.mysql.stage import CLIENT_PASSWORD, CLIENT_USER, MysqlStage
from bench.mysql.wire import connect, greets
from bench.mysql.workloads import SHARED
from bench.peer import Peer, Proxy, Target, debian, write
from bench.poolgate import BACKLOG
from bench.process import LOOPBACK, free_port

RELAYED = 2_000  # connections; each takes two of the open files that a process may have
HAPROXY = """
global
    nbthread 1
    maxconn {clients}
defaults
    mode tcp
    timeout connect 5s
    timeout client 1h
    timeout server 1h
frontend clients
    bind {listen} backlog {backlog}
    default_backend mariadb
backend mariadb
    server mariadb {upstream}
"""


def _ready(target: Target) -> bool:
    if not greets(target.address):
        return False
    try:
        with connect(target) as client, client.cursor() as cursor:
            return bool(cursor.execute("SELECT 1"))
    except pymysql.MySQLError:
        return False


def _direct(stage: MysqlStage) -> Target:
    return stage.target


def haproxy_binary() -> str:
    """HAProxy, from Debian's package."""
    return debian("haproxy")


def _haproxy(stage: MysqlStage) -> Proxy:
    port, real = free_port(), stage.target
    text = HAPROXY.format(
        clients=RELAYED,
        backlog=BACKLOG,
        listen=f"{LOOPBACK}:{port}",
        upstream=f"{stage.host}:{stage.port}",
    )
    command = [haproxy_binary(), "-db", "-f", write(stage, "haproxy.cfg", text)]
    return Proxy(command, Target((LOOPBACK, port), real.password, real.ca, real.user), _ready)


def _poolgate(stage: MysqlStage, *, governed: bool) -> Proxy:
    listen, admin, real = (LOOPBACK, free_port()), free_port(), stage.target
    upstream: dict[str, Any] = {
        "endpoints": [f"{stage.host}:{stage.port}"],
        "user": real.user,
        "password": real.password,
    }
    if real.ca is not None:
        upstream["tls"] = {"ca": str(real.ca)}
    service = {
        "protocol": "mysql",
        "clients": [{"user": CLIENT_USER, "password": CLIENT_PASSWORD}],
        "upstream": upstream,
        "pool": {"max_connections": SHARED, "wait_timeout": "30s"},
    }
    config = poolgate.config("shop-db", service, listen, admin, governed=governed)
    path = write(stage, "poolgate.yaml", yaml.safe_dump(config, sort_keys=False))
    target = Target(listen, CLIENT_PASSWORD, user=CLIENT_USER)
    return Proxy([*poolgate.command(), "run", "-c", path], target, _ready, admin)


_ALL: tuple[Peer[MysqlStage], ...] = (
    Peer("direct", "clients connect to MariaDB themselves", "#7f7f7f", _direct),
    Peer(
        "haproxy",
        "TCP mode, one thread: a relay that understands nothing, an upstream connection for each client",
        "#1f77b4",
        _haproxy,
        haproxy_binary,
    ),
    Peer(
        poolgate.PLAIN,
        f"{SHARED} upstream connections; clients log in; no policies",
        poolgate.COLOURS[poolgate.PLAIN],
        functools.partial(_poolgate, governed=False),
        poolgate.command,
    ),
    Peer(
        poolgate.GOVERNED,
        "the same with rate limit, concurrency, timeout, circuit breaker, metrics",
        poolgate.COLOURS[poolgate.GOVERNED],
        functools.partial(_poolgate, governed=True),
        poolgate.command,
    ),
)
PEERS = {peer.name: peer for peer in _ALL}

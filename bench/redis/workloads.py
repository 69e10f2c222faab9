"""The workloads of Redis, as data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bench.suite import Workload

Kind = Literal["benchmark", "connect", "idle"]
Listener = Literal["tcp", "unix"]
Upstream = Literal["plain", "auth", "tls"]


@dataclass(frozen=True)
class RedisWorkload(Workload):
    """What is asked of each peer in one turn."""

    kind: Kind = "benchmark"
    tests: tuple[str, ...] = ("GET",)
    clients: int = 50
    pipeline: int = 1
    size: int = 3
    listener: Listener = "tcp"
    upstream: Upstream = "plain"  # "auth": Redis wants a password; "tls": over TLS as well

    @property
    def step(self) -> int:
        """Whole pipelines of every client."""
        return self.pipeline * self.clients


_ALL = (
    RedisWorkload("c50", "50 clients, no pipeline", tests=("GET", "SET"), requests=200_000),
    RedisWorkload("p16", "50 clients, pipeline 16", tests=("GET", "SET"), pipeline=16, requests=1_600_000),
    RedisWorkload("c1000", "1,000 clients, no pipeline", clients=1000, requests=200_000),
    RedisWorkload("c1", "one client: added latency", clients=1, requests=50_000),
    RedisWorkload("v10k", "50 clients, values of 10 KB", tests=("GET", "SET"), size=10_240, requests=120_000),
    RedisWorkload("unix", "50 clients over a unix socket", tests=("GET", "SET"), requests=200_000, listener="unix"),
    RedisWorkload(
        "connect",
        "connect, AUTH, GET, close; at most 1,000 at a time; Redis wants AUTH",
        kind="connect",
        clients=1000,
        requests=30_000,
        upstream="auth",
    ),
    RedisWorkload(
        "connect-tls",
        "the same, and Redis wants AUTH over TLS (direct clients use TLS, clients of a proxy reach it in the clear)",
        kind="connect",
        clients=1000,
        requests=10_000,
        upstream="tls",
    ),
    RedisWorkload("idle", "10,000 idle clients: memory", kind="idle", tests=("idle",), clients=10_000),
)
WORKLOADS = {workload.name: workload for workload in _ALL}

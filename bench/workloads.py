"""The workloads, as data. A workload is measured on every peer with the same words."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

Kind = Literal["benchmark", "connect", "idle"]
Listener = Literal["tcp", "unix"]
Upstream = Literal["plain", "auth", "tls"]


@dataclass(frozen=True)
class Workload:
    """What is asked of each peer in one turn."""

    name: str
    about: str
    kind: Kind = "benchmark"
    tests: tuple[str, ...] = ("GET",)
    clients: int = 50
    pipeline: int = 1
    size: int = 3
    requests: int = 0
    listener: Listener = "tcp"
    upstream: Upstream = "plain"  # "auth": Redis wants a password; "tls": over TLS as well


_ALL = (
    Workload("c50", "50 clients, no pipeline", tests=("GET", "SET"), requests=200_000),
    Workload("p16", "50 clients, pipeline 16", tests=("GET", "SET"), pipeline=16, requests=1_600_000),
    Workload("c1000", "1,000 clients, no pipeline", clients=1000, requests=200_000),
    Workload("c1", "one client: added latency", clients=1, requests=50_000),
    Workload("v10k", "50 clients, values of 10 KB", tests=("GET", "SET"), size=10_240, requests=120_000),
    Workload("unix", "50 clients over a unix socket", tests=("GET", "SET"), requests=200_000, listener="unix"),
    Workload(
        "connect",
        "connect, AUTH, GET, close; at most 1,000 at a time; Redis wants AUTH",
        kind="connect",
        clients=1000,
        requests=30_000,
        upstream="auth",
    ),
    Workload(
        "connect-tls",
        "the same, and Redis wants AUTH over TLS (direct clients use TLS, clients of a proxy reach it in the clear)",
        kind="connect",
        clients=1000,
        requests=10_000,
        upstream="tls",
    ),
    Workload("idle", "10,000 idle clients: memory", kind="idle", tests=("idle",), clients=10_000),
)
WORKLOADS = {workload.name: workload for workload in _ALL}


def scaled(workload: Workload, factor: float) -> Workload:
    """The same workload with fewer requests; a whole number of pipelines."""
    step = workload.pipeline * workload.clients
    return replace(workload, requests=max(step, int(workload.requests * factor) // step * step))

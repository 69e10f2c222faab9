"""The workloads of MySQL, as data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bench.suite import Workload

Kind = Literal["sysbench", "crowd", "visits", "bulk"]
Upstream = Literal["plain", "tls", "far"]

SHARED = 20  # upstream connections that a pooling peer may have
ROWS = 10_000  # of the table
ACTIVE = {"16-active": 16, "all-active": 1000}  # tests of a crowd: clients with a question under way
BULK_ROWS, BULK_WIDTH = 100_000, 1000


@dataclass(frozen=True)
class MysqlWorkload(Workload):
    """What is asked of each peer in one turn."""

    kind: Kind
    script: str = ""  # of sysbench
    upstream: Upstream = "plain"  # "tls": MariaDB wants it; "far": 1 ms away

    @property
    def step(self) -> int:
        """As many for every visitor; other kinds count over all clients."""
        return self.clients if self.kind == "visits" else 1


_ALL = (
    MysqlWorkload(
        "point",
        "sysbench oltp_point_select, 16 threads",
        "sysbench",
        ("prepared", "text"),
        clients=16,
        requests=150_000,
        script="oltp_point_select",
    ),
    MysqlWorkload(
        "read-write",
        "sysbench oltp_read_write, 16 threads; a request is a transaction of 20 statements",
        "sysbench",
        ("prepared", "text"),
        clients=16,
        requests=5_000,
        script="oltp_read_write",
    ),
    MysqlWorkload(
        "c1000",
        f"1,000 connected clients that select by key, {SHARED} connections for a peer that pools",
        "crowd",
        tuple(ACTIVE),
        clients=1000,
        requests=100_000,
    ),
    MysqlWorkload(
        "connect",
        "4 PHP processes: connect, SELECT 1, close",
        "visits",
        ("visit",),
        clients=4,
        requests=20_000,
    ),
    MysqlWorkload(
        "connect-tls",
        "the same, and MariaDB wants TLS (clients of poolgate reach it in the clear, those of a relay speak TLS)",
        "visits",
        ("visit",),
        clients=4,
        requests=6_000,
        upstream="tls",
    ),
    MysqlWorkload(
        "connect-far",
        "the same in the clear, and MariaDB is a round trip of 1 ms away",
        "visits",
        ("visit",),
        clients=4,
        requests=6_000,
        upstream="far",
    ),
    MysqlWorkload(
        "bulk",
        "a result of 100 MB, one client; a request is a result",
        "bulk",
        ("100MB",),
        requests=20,
    ),
)
WORKLOADS = {workload.name: workload for workload in _ALL}

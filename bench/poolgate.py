"""poolgate as a peer: its command and what its configurations have in common, whatever the protocol."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

from bench.peer import Address
from bench.process import LOOPBACK, BenchError

MAX_CLIENTS = 20_000
BACKLOG = 4096  # 1,000 clients arrive at once; a full backlog would measure SYN retries
PLAIN, GOVERNED = "poolgate", "poolgate-governed"
COLOURS = {PLAIN: "#2ca02c", GOVERNED: "#14691a"}
POLICIES: list[dict[str, Any]] = [  # every gate on, every limit far above the load
    {"rate_limit": {"rate": "100000000/s", "burst": 100_000_000, "per": "client"}},
    {"concurrency": {"max": 1_000_000}},
    {"timeout": "5s"},
    {"circuit_breaker": {"error_ratio": "50%", "min_calls": 20, "window": "10s", "open": "5s"}},
]


def command() -> list[str]:
    """The installed, compiled console script; the checkout's sources where there is none."""
    script = Path(sys.executable).with_name("poolgate")
    if script.exists():
        return [str(script)]
    if importlib.util.find_spec("gateway.__main__") is None:
        raise BenchError("poolgate is not there yet: neither a console script nor gateway/__main__.py")
    return [sys.executable, "-m", "gateway"]


def config(name: str, service: dict[str, Any], listen: Address, admin: int, *, governed: bool) -> dict[str, Any]:
    """One service, with every policy where it is governed."""
    address = f"unix:{listen}" if isinstance(listen, str) else f"{listen[0]}:{listen[1]}"
    service = {
        **service,
        "listen": [{"address": address, "backlog": BACKLOG}],
        "limits": {"max_clients": MAX_CLIENTS},
    }
    if governed:
        service["policies"] = POLICIES
    return {"admin": f"{LOOPBACK}:{admin}", "log": {"level": "warning"}, "services": {name: service}}

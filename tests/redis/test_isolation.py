"""The isolation test: 200 clients over two lanes, everything at once and everything going wrong, nobody's bytes mixed.

tests/isolation_clients.py says what the clients do; here the upstream is killed and stopped meanwhile, and in the end
everything has to balance.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from typing import Any, Final

import pytest

from gateways import Gateway, upstream_connections
from servers import COMPILED, ROOT, RedisServer, wait_until

SECONDS: Final = 20
MB: Final = 1 << 20


def disturb(server: RedisServer, seconds: float) -> int:
    """End upstream connections every now and then, and stop Redis once; how many were ended."""
    end, ended = time.monotonic() + seconds, 0
    chance = random.Random(7)
    halves = [end - seconds / 2]
    while time.monotonic() < end:
        time.sleep(0.3)
        if halves and time.monotonic() > halves[0]:
            halves.clear()
            server.pause()
            time.sleep(0.5)
            server.resume()
        connections = upstream_connections(server)
        with server.client() as direct:
            for connection in chance.sample(connections, min(2, len(connections))):
                ended += int(direct.client_kill_filter(connection["id"]))
    return ended


@pytest.mark.skipif(not COMPILED, reason="takes 20 s, and is worth them in the form that is used")
def test_no_client_ever_sees_what_is_not_its_own() -> None:
    policies: list[dict[str, Any]] = [{"concurrency": 100_000}, {"timeout": "50ms"}]
    pool = {"lanes": 2, "max_connections": 40, "max_waiting": 1000, "wait_timeout": "5s", "backoff_max": "50ms"}
    pool |= {"stall_timeout": "1s"}
    with RedisServer() as server:
        gateway = Gateway(server, policies=policies, pool=pool, commands={"allow": ["DEBUG"]})
        with gateway:
            before = gateway.rss()
            clients = [sys.executable, str(ROOT / "tests" / "isolation_clients.py"), str(gateway.port), str(SECONDS)]
            with subprocess.Popen(clients, stdout=subprocess.PIPE) as process:
                try:
                    ended = disturb(server, SECONDS)
                    output, _ = process.communicate(timeout=60)
                finally:
                    process.kill()
            result = json.loads(output)
            seen = result["seen"]
            assert result["violations"] == []
            assert seen["replies"] > 10_000 and seen["errors"] > 100 and ended > 20, seen

            # Everything balances.
            gateway.wait_until_quiet()
            stats = gateway.stats()
            assert gateway.policy("concurrency")["in_flight"] == 0
            leases = gateway.leases()
            assert leases["acquired"] == leases["granted"] + leases["cancelled"] + sum(leases["refused"].values())
            assert stats["calls"]["fatal"] > 0 and stats["calls"]["cancelled"] > 0
            wait_until(lambda: gateway.rss() - before < 40 * MB, "memory is back near where it was")
            assert "Traceback" not in gateway.log

            # And the gateway serves as on the first day.
            with gateway.client() as client:
                assert client.ping() and client.set("after", "1")
                with client.pipeline() as pipeline:
                    assert pipeline.get("after").execute() == ["1"]

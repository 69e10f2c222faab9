"""How the gateway starts and ends: nobody's work is lost, and what cannot be is said."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from gateways import Gateway
from servers import RedisServer, wait_until


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """A Redis for one test: DEBUG SLEEP would disturb others."""
    with RedisServer() as server:
        yield server


def test_sigterm_lets_what_is_under_way_finish(server: RedisServer) -> None:
    with (
        Gateway(server, commands={"allow": ["DEBUG"]}) as gateway,
        gateway.wire() as transaction,
        gateway.wire() as slow,
        gateway.wire() as idle,
        gateway.wire() as listener,
    ):
        transaction.calls("MULTI", "SET a 1")
        listener.call("SUBSCRIBE", "news")
        idle.call("PING")
        slow.send("DEBUG", "SLEEP", "0.3")
        wait_until(lambda: gateway.leases()["leased"] == 3, "asleep")
        process = gateway.process
        assert process is not None
        process.terminate()
        assert idle.is_closed() and listener.is_closed(), "they have nothing to wait for"
        with pytest.raises(OSError):
            gateway.wire()
        assert slow.reply() == "OK"
        assert slow.is_closed()
        assert transaction.calls("SET b 2", "EXEC") == ["QUEUED", ["OK", "OK"]]
        assert transaction.is_closed()
        assert process.wait(10) == 0


def test_drain_gives_up_after_its_time(server: RedisServer) -> None:
    with Gateway(server, top={"drain_timeout": "300ms"}) as gateway, gateway.wire() as wire:
        wire.call("MULTI")
        process = gateway.process
        assert process is not None
        started = time.monotonic()
        gateway.admin("/drain", method="POST")
        assert process.wait(10) == 0
        assert 0.25 < time.monotonic() - started < 5
        assert "stopping with clients left" in gateway.log


def test_a_second_sigterm_does_not_wait(server: RedisServer) -> None:
    with Gateway(server, top={"drain_timeout": "60s"}) as gateway, gateway.wire() as wire:
        wire.call("MULTI")
        process = gateway.process
        assert process is not None
        process.terminate()
        wait_until(lambda: "draining" in gateway.log, "draining")
        process.terminate()
        assert process.wait(10) == 0


@pytest.mark.parametrize("taken", ["listen", "admin"])
def test_a_taken_port_is_named_and_the_start_fails(server: RedisServer, taken: str) -> None:
    top = {"admin": server.address} if taken == "admin" else {}
    service = {"listen": server.address} if taken == "listen" else {}
    gateway = Gateway(server, top=top, **service)
    try:
        with (gateway.folder / "log").open("wb") as log:
            process = gateway._spawn(log)
        assert process.wait(20) == 1
        assert f"cannot listen on {server.address}: " in gateway.log
        assert "Traceback" not in gateway.log
    finally:
        gateway.remove()

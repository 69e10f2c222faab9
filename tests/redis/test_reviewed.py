"""Sequences that a hostile review found: each one hung, leaked, or changed somebody else's state."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from gateways import Gateway, upstream_connections
from servers import RedisServer, wait_until

Name = Callable[[str], str]


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture(scope="module")
def gateway(server: RedisServer) -> Iterator[Gateway]:
    with Gateway(server) as gateway:
        yield gateway


def kill_blocked(server: RedisServer) -> None:
    """End the upstream connection of whoever blocks there."""
    blocked = [client for client in upstream_connections(server) if client["flags"] == "b"]
    with server.client() as direct:
        for client in blocked:
            direct.client_kill(client["addr"])


def test_select_inside_multi_says_nothing_about_a_database(gateway: Gateway) -> None:
    with gateway.wire() as wire, gateway.wire() as other:
        answers = wire.calls("MULTI", "RESET", "SELECT 99")
        assert answers[:2] == ["OK", "RESET"]
        assert "DB index is out of range" in str(answers[2])
        assert "DB index is out of range" in str(other.call("SELECT", "99"))


def test_reset_waits_for_the_replies_before_it(gateway: Gateway, server: RedisServer, key: Name) -> None:
    with gateway.wire() as wire:
        assert wire.call("SELECT", "5") == "OK"
        name = key("where")
        assert wire.calls(f"WATCH {name}", "RESET") == ["OK", "RESET"]
        assert wire.call("SET", name, "after") == "OK"
        assert "shares connections" in gateway.session(int(wire.call("CLIENT", "ID")))["holds"]
        with server.client(db=0, decode_responses=True) as direct:
            assert direct.get(name) == "after"
        assert wire.calls("MULTI", "RESET", f"BLPOP {key('q')} 0.1") == ["OK", "RESET", None]


def test_what_stands_behind_a_lost_lease_is_answered(gateway: Gateway, server: RedisServer, key: Name) -> None:
    with gateway.wire() as wire:
        number = int(wire.call("CLIENT", "ID"))
        wire.pipeline(f"WATCH {key('k')}", f"BLPOP {key('q')} 0", f"GET {key('a')}", "PING")
        assert wire.reply() == "OK"
        wait_until(lambda: any(c["flags"] == "b" for c in upstream_connections(server)), "blocked upstream")
        kill_blocked(server)
        assert "connection to the upstream lost" in str(wire.reply())
        assert wire.replies(2) == [None, "PONG"]
        gateway.wait_until_holds(number, "")


def test_a_lane_that_opens_late_has_room_again(key: Name) -> None:
    with RedisServer() as server:
        server.pause()
        with Gateway(server, pool={"lanes": 1, "lane_calls": 8}, policies=[{"timeout": "100ms"}]) as gateway:
            with gateway.wire() as wire:
                answers = wire.calls(*["GET a"] * 8)
                assert all("poolgate: cache: " in str(answer) for answer in answers)
                server.resume()
                gateway.wait_until_up()
                wait_until(lambda: wire.call("GET", key("a")) is None, "served again")


def test_a_database_chosen_inside_multi_is_not_changed_in_silence(server: RedisServer, key: Name) -> None:
    with Gateway(server) as gateway, gateway.wire() as wire:
        assert wire.calls("MULTI", "SELECT 5", "EXEC") == ["OK", "QUEUED", ["OK"]]
        assert wire.call("SET", key("here"), "1") == "OK"
        with server.client(db=5, decode_responses=True) as direct:
            assert direct.get(key("here")) == "1"
            direct.client_kill_filter(_type="normal", skipme=True)
        assert "poolgate: cache: " in str(wire.reply())
        assert wire.is_closed()


def test_answers_behind_a_stalled_call_are_bounded() -> None:
    with RedisServer() as server, Gateway(server, limits={"output_buffer": "64KiB"}) as gateway:
        with gateway.wire(timeout=2.0) as wire:
            assert wire.call("PING") == "PONG"
            server.pause()
            wire.send("GET", "a")
            before = gateway.rss()
            with pytest.raises(TimeoutError):
                for _ in range(1000):  # 28 MB of commands that the gateway answers itself
                    wire.raw(b"CLIENT ID\r\n" * 2600)
            assert gateway.rss() - before < 16 << 20
            server.resume()
            assert wire.reply() is None
            assert isinstance(wire.reply(), int)


def test_a_refused_large_request_ends_in_order(server: RedisServer, key: Name) -> None:
    with RedisServer(settings={"proto-max-bulk-len": "1mb"}) as small, Gateway(small) as gateway:
        with gateway.wire() as wire:
            wire.send("SET", key("big"), "x" * 3_000_000)
            # Redis says why and closes; with much unread, the reset may overtake its words.
            answer = str(wire.reply())
            assert "invalid bulk length" in answer or "poolgate: cache: connection to the upstream lost" in answer
            assert wire.call("PING") == "PONG"
        gateway.wait_until_quiet()


def test_killing_oneself_behind_other_commands_loses_no_reply(gateway: Gateway) -> None:
    with gateway.wire() as wire:
        number = wire.call("CLIENT", "ID")
        assert wire.calls("GET none", f"CLIENT KILL ID {number} SKIPME no") == [None, 1]
        assert wire.is_closed()


def test_nothing_is_popped_for_a_client_that_ended_before(gateway: Gateway, server: RedisServer, key: Name) -> None:
    with gateway.wire() as wire:
        wire.pipeline("GET none", f"BLPOP {key('q')} 0").end_sending()
        assert wire.reply() is None
        assert wire.is_closed()
    gateway.wait_until_free()
    with server.client() as direct:
        assert direct.lpush(key("q"), "x") == 1
        assert direct.llen(key("q")) == 1

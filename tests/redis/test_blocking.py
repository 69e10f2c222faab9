"""Commands that wait: each on a connection of its own, so that nobody stands behind it; and no element is lost."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import hiredis
import pytest

from gateways import PATIENCE, Gateway, Wire, upstream_connections
from servers import LOOPBACK, RedisServer, wait_until

Keys = Callable[[str], str]


@pytest.fixture(scope="module")
def gateway(redis_server: RedisServer) -> Iterator[Gateway]:
    with Gateway(redis_server, pool={"max_connections": 150}) as gateway:
        yield gateway


@pytest.fixture
def wire(gateway: Gateway) -> Iterator[Wire]:
    with gateway.wire() as wire:
        yield wire


@pytest.fixture
def direct(redis_server: RedisServer) -> Iterator[Wire]:
    """A client of Redis itself."""
    with Wire((LOOPBACK, redis_server.port)) as wire:
        yield wire


def wait_until_blocked(server: RedisServer, command: str, count: int = 1) -> None:
    """Until so many connections of Redis wait in a command."""

    def are_blocked() -> bool:
        blocked = [c for c in upstream_connections(server) if c["cmd"] == command and "b" in c["flags"]]
        return len(blocked) == count

    wait_until(are_blocked, f"{count} blocked in {command}")


# Time and data

TIMES_OUT = [
    "BLPOP l 0.05",
    "BRPOP l m 0.05",
    "BLMOVE l m LEFT RIGHT 0.05",
    "BRPOPLPUSH l m 0.05",
    "BLMPOP 0.05 2 l m LEFT",
    "BZPOPMIN z 0.05",
    "BZPOPMAX z 0.05",
    "BZMPOP 0.05 1 z MIN",
    "XREAD BLOCK 50 STREAMS s $",
]


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("command", TIMES_OUT)
def test_nothing_comes_in_time(wire: Wire, direct: Wire, key: Keys, command: str, version: int) -> None:
    words = [key(word) if word in ("l", "m", "z", "s") else word for word in command.split()]
    wire.call("HELLO", version)
    direct.call("HELLO", version)
    started = time.monotonic()
    assert wire.calls(" ".join(words), "PING") == direct.calls(" ".join(words), "PING") == [None, "PONG"]
    assert 0.1 <= time.monotonic() - started < PATIENCE


@pytest.mark.parametrize(
    ("command", "push", "popped"),
    [
        ("BLPOP l 0", "RPUSH l x", ["l", "x"]),
        ("BLMOVE l m LEFT RIGHT 0", "RPUSH l x", "x"),
        ("BZPOPMIN z 0", "ZADD z 1 x", ["z", "x", "1"]),
        ("BLMPOP 0 1 l LEFT", "RPUSH l x", ["l", ["x"]]),
    ],
)
def test_what_comes_is_handed_to_the_one_who_waits(
    gateway: Gateway, wire: Wire, redis_server: RedisServer, key: Keys, command: str, push: str, popped: object
) -> None:
    def named(text: str) -> str:
        return " ".join(key(word) if word in ("l", "m", "z") else word for word in text.split())

    wire.pipeline(named(command), "ECHO behind")
    wait_until_blocked(redis_server, command.split()[0].lower())
    with gateway.wire() as other:
        other.call(*named(push).split())
    assert wire.reply() == ([key(popped[0]), *popped[1:]] if isinstance(popped, list) else popped)
    assert wire.reply() == "behind"


def test_a_stream_is_read_as_it_grows(gateway: Gateway, wire: Wire, redis_server: RedisServer, key: Keys) -> None:
    for command in ("XREAD BLOCK 0 STREAMS s $", "XREADGROUP GROUP g c BLOCK 0 STREAMS s >"):
        wire.calls(f"DEL {key('s')}", f"XGROUP CREATE {key('s')} g $ MKSTREAM")
        wire.send(*[key("s") if word == "s" else word for word in command.split()])
        wait_until_blocked(redis_server, command.split()[0].lower())
        with gateway.wire() as other:
            entry = other.call("XADD", key("s"), "*", "f", "v")
        assert wire.reply() == [[key("s"), [[entry, ["f", "v"]]]]]
    # Without BLOCK it shares a lane like any other read.
    before = gateway.leases()["granted"]
    assert wire.call("XREAD", "STREAMS", key("s"), "$") is None
    assert gateway.leases()["granted"] == before


def test_the_timeout_of_the_policy_is_not_theirs(redis_server: RedisServer, key: Keys) -> None:
    with Gateway(redis_server, policies=[{"timeout": "50ms"}]) as gateway, gateway.wire() as wire:
        assert wire.calls(f"BLPOP {key('l')} 0.3", "ECHO behind") == [None, "behind"]


def test_an_upstream_that_forgets_to_end_the_wait_is_given_up() -> None:
    with RedisServer() as server, Gateway(server) as gateway, gateway.wire() as wire:
        wire.send("BLPOP", "l", "0.2")
        wait_until_blocked(server, "blpop")
        server.pause()
        assert "poolgate: cache: no reply within 1" in str(wire.reply()), "its own time, and a second"
        server.resume()
        assert wire.call("PING") == "PONG"
        gateway.wait_until_free()


# Side by side


def test_a_hundred_blocked_clients_hold_up_nobody(
    gateway: Gateway, redis_server: RedisServer, direct: Wire, key: Keys
) -> None:
    with gateway.wires(100) as blocked, gateway.wire() as other:
        for number, wire in enumerate(blocked):
            wire.send("BLPOP", key(f"l{number}"), 0)
        wait_until(lambda: gateway.leases()["leased"] == 100, "all wait")
        started = time.monotonic()
        assert [other.call("PING") for _ in range(20)] == ["PONG"] * 20
        assert time.monotonic() - started < 3
        assert gateway.stats()["sessions"]["pinned"] == {"BLPOP": 100}
        for number, wire in enumerate(blocked):
            other.call("RPUSH", key(f"l{number}"), number)
            assert wire.reply() == [key(f"l{number}"), str(number)]
    gateway.wait_until_quiet()


def test_waiting_clients_of_one_list_are_served_in_turn(gateway: Gateway, redis_server: RedisServer, key: Keys) -> None:
    with gateway.wires(3) as wires, gateway.wire() as other:
        for count, wire in enumerate(wires, 1):
            wire.send("BLPOP", key("l"), 0)
            wait_until_blocked(redis_server, "blpop", count)
        other.call("RPUSH", key("l"), 1, 2, 3)
        assert [wire.reply()[1] for wire in wires] == ["1", "2", "3"]


# Clients that leave


@pytest.mark.parametrize("gently", [True, False])
@pytest.mark.parametrize("command", ["BLPOP l 0", "BLMOVE l m LEFT LEFT 0", "BLMPOP 0 1 l LEFT"])
def test_nothing_is_popped_for_a_client_that_left(
    gateway: Gateway, redis_server: RedisServer, key: Keys, command: str, gently: bool
) -> None:
    words = [key(word) if word in ("l", "m") else word for word in command.split()]
    with ExitStack() as all_wires:
        wires = [all_wires.enter_context(gateway.wire()) for _ in range(5)]
        for wire in wires:
            wire.send(*words)
        wait_until_blocked(redis_server, words[0].lower(), 5)
        for wire in wires:
            if not gently:
                wire.vanish()
    wait_until_blocked(redis_server, words[0].lower(), 0)
    with gateway.wire() as other:
        assert other.call("RPUSH", key("l"), *range(10)) == 10
        assert other.call("LLEN", key("l")) == 10
    gateway.wait_until_quiet()


def test_a_client_that_leaves_while_it_waits_for_a_lease_pops_nothing(redis_server: RedisServer, key: Keys) -> None:
    with Gateway(redis_server, pool={"max_connections": 1, "wait_timeout": "0s"}) as gateway:
        with gateway.wire() as first, gateway.wire() as second:
            first.send("BLPOP", key("l"), 0)
            wait_until_blocked(redis_server, "blpop")
            second.send("BLPOP", key("l"), 0)
            wait_until(lambda: gateway.leases()["waiting"] == 1, "the second one waits")
        gateway.wait_until_quiet()
        with gateway.wire() as other:
            assert other.call("RPUSH", key("l"), 1) == 1


def test_a_kill_while_blocked_is_told(redis_server: RedisServer, gateway: Gateway, wire: Wire, key: Keys) -> None:
    wire.send("BLPOP", key("l"), 0)
    wait_until_blocked(redis_server, "blpop")
    for client in upstream_connections(redis_server):
        if client["cmd"] == "blpop":
            with redis_server.client() as direct:
                direct.client_kill_filter(client["id"])
    assert "poolgate: cache: connection to the upstream lost" in str(wire.reply())
    assert wire.call("PING") == "PONG"


# CLIENT UNBLOCK


@pytest.mark.parametrize("how", ["", "TIMEOUT", "ERROR"])
@pytest.mark.parametrize(
    "command", ["BLPOP l 0", "BLMOVE l m LEFT LEFT 0", "XREAD BLOCK 0 STREAMS s $", "BZPOPMIN z 0"]
)
def test_client_unblock(gateway: Gateway, redis_server: RedisServer, key: Keys, command: str, how: str) -> None:
    words = [key(word) if word in ("l", "m", "s", "z") else word for word in command.split()]
    with gateway.wire() as blocked, gateway.wire() as other:
        number = blocked.call("CLIENT", "ID")
        assert other.call("CLIENT", "UNBLOCK", number) == 0
        blocked.send(*words)
        wait_until_blocked(redis_server, words[0].lower())
        assert other.call("CLIENT", "UNBLOCK", number, *how.split()) == 1
        reply = blocked.reply()
        if how == "ERROR":
            assert str(reply) == "UNBLOCKED client unblocked via CLIENT UNBLOCK"
        else:
            assert reply is None
        assert blocked.call("PING") == "PONG"
    wait_until_blocked(redis_server, words[0].lower(), 0)


# WAIT


def test_wait_counts_the_replicas_that_have_what_this_client_wrote(key: Keys) -> None:
    with RedisServer(settings={"repl-ping-replica-period": "1"}) as primary:
        replica_settings = {"replicaof": f"{LOOPBACK} {primary.port}"}
        with RedisServer(settings=replica_settings) as replica, Gateway(primary) as gateway:
            with replica.client() as direct:
                wait_until(lambda: direct.info("replication")["master_link_status"] == "up", "replication")
            with gateway.wire() as wire, gateway.wire() as other:
                assert wire.calls(f"SET {key('a')} 1", "WAIT 1 5000") == ["OK", 1]
                replica.pause()
                started = time.monotonic()
                wire.pipeline(f"SET {key('a')} 2", "WAIT 1 300")
                assert wire.reply() == "OK"
                assert other.call("PING") == "PONG", "nobody waits with it"
                assert wire.reply() == 0, "the replica cannot have it"
                assert time.monotonic() - started > 0.25
                replica.resume()
                assert wire.calls(f"SET {key('a')} 3", "WAIT 1 5000") == ["OK", 1]
                wrong = wire.call("WAIT", "x", "0")
                assert isinstance(wrong, hiredis.ReplyError) and "not an integer" in str(wrong)
                assert wire.call("PING") == "PONG"


def test_wait_for_ever_ends_with_its_client() -> None:
    with RedisServer() as server, Gateway(server) as gateway:
        with gateway.wire() as wire:
            wire.send("WAIT", 1, 0)
            wait_until_blocked(server, "wait")
        wait_until_blocked(server, "wait", 0)
        gateway.wait_until_quiet()

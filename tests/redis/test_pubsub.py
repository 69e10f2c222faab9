"""Subscribers: on a connection of their own while they listen, bounded when they are slow, told when they missed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import hiredis
import pytest

from gateways import Gateway, Wire, upstream_connections
from servers import RedisServer, wait_until

Keys = Callable[[str], str]


@pytest.fixture(scope="module")
def gateway(redis_server: RedisServer) -> Iterator[Gateway]:
    with Gateway(redis_server, pool={"max_connections": 250}) as gateway:
        yield gateway


@pytest.fixture
def wire(gateway: Gateway) -> Iterator[Wire]:
    with gateway.wire() as wire:
        yield wire


def message(reply: Any) -> list[Any]:
    """A message or confirmation: an array in RESP2, a push in RESP3."""
    return list(reply)


@pytest.fixture(params=[2, 3], ids=["RESP2", "RESP3"])
def listener(request: pytest.FixtureRequest, gateway: Gateway) -> Iterator[Wire]:
    """A client of either protocol version."""
    with gateway.wire() as wire:
        wire.call("HELLO", request.param)
        yield wire


# What is heard


def test_messages_of_channels_patterns_and_shards(gateway: Gateway, listener: Wire, key: Keys) -> None:
    news, pattern = key("news"), key("*")
    assert message(listener.call("SUBSCRIBE", news)) == ["subscribe", news, 1]
    assert message(listener.call("PSUBSCRIBE", pattern)) == ["psubscribe", pattern, 2]
    assert message(listener.call("SSUBSCRIBE", news)) == ["ssubscribe", news, 1]
    with gateway.wire() as other:
        assert other.call("PUBLISH", news, "hello") == 2
        assert other.call("SPUBLISH", news, "shard") == 1
    assert [message(listener.reply()) for _ in range(3)] == [
        ["message", news, "hello"],
        ["pmessage", pattern, news, "hello"],
        ["smessage", news, "shard"],
    ]


def test_several_channels_in_one_command_are_confirmed_one_by_one(listener: Wire, key: Keys) -> None:
    a, b = key("a"), key("b")
    listener.send("SUBSCRIBE", a, b, a)
    confirmations = [message(reply) for reply in listener.replies(3)]
    assert confirmations == [["subscribe", a, 1], ["subscribe", b, 2], ["subscribe", a, 2]]
    listener.send("UNSUBSCRIBE")
    ended = [message(reply) for reply in listener.replies(2)]
    assert {end[1] for end in ended} == {a, b} and ended[1][2] == 0
    assert message(listener.call("UNSUBSCRIBE")) == ["unsubscribe", None, 0]
    assert listener.call("ECHO", "x") == "x"


def test_unsubscribing_gives_the_lease_back(gateway: Gateway, listener: Wire, key: Keys) -> None:
    number = listener.call("CLIENT", "ID")
    for _ in range(3):
        listener.call("SUBSCRIBE", key("a"))
        listener.call("PSUBSCRIBE", key("p*"))
        gateway.wait_until_holds(number, "SUBSCRIBE")
        listener.call("UNSUBSCRIBE", key("a"))
        gateway.wait_until_holds(number, "SUBSCRIBE")
        listener.call("PUNSUBSCRIBE")
        gateway.wait_until_holds(number, "")
    # Nothing is heard any more, by nobody: the connection went back clean.
    with gateway.wire() as other:
        assert other.call("PUBLISH", key("a"), "x") == 0
        assert other.calls("MULTI", "PING", "EXEC") == ["OK", "QUEUED", ["PONG"]]


def test_a_pipeline_goes_on_behind_its_subscription(wire: Wire, key: Keys) -> None:
    wire.pipeline("ECHO before", f"SUBSCRIBE {key('a')}", "PING", f"UNSUBSCRIBE {key('a')}", "ECHO after", "PING")
    before, subscribed, ping, unsubscribed, after, pong = wire.replies(6)
    assert (before, after, pong) == ("before", "after", "PONG")
    assert subscribed == ["subscribe", key("a"), 1] and unsubscribed == ["unsubscribe", key("a"), 0]
    assert ping == ["pong", ""], "in RESP2 a subscriber's PING is answered like this"


def test_resp2_subscribers_may_say_little(wire: Wire, key: Keys) -> None:
    wire.call("SUBSCRIBE", key("a"))
    refused = wire.call("GET", "x")
    assert isinstance(refused, hiredis.ReplyError) and str(refused).startswith("ERR Can't execute 'get': only (P|S)SUB")
    assert wire.call("PING", "x") == ["pong", "x"]
    assert wire.call("RESET") == "RESET"
    assert wire.call("ECHO", "x") == "x"


def test_resp3_subscribers_go_on_working(gateway: Gateway, wire: Wire, key: Keys) -> None:
    wire.call("HELLO", 3)
    wire.call("SUBSCRIBE", key("a"))
    with gateway.wire() as other:
        for number in range(20):
            other.call("PUBLISH", key("a"), number)
            assert message(wire.reply()) == ["message", key("a"), str(number)]
            assert wire.calls(f"INCR {key('n')}", "PING") == [number + 1, "PONG"]
        assert wire.calls("MULTI", f"GET {key('n')}", "EXEC") == ["OK", "QUEUED", ["20"]]


def test_a_subscriber_hears_what_it_publishes_itself(wire: Wire, key: Keys) -> None:
    wire.call("HELLO", 3)
    wire.call("SUBSCRIBE", key("a"))
    wire.send("PUBLISH", key("a"), "me")
    replies = wire.replies(2)
    assert 1 in replies and ["message", key("a"), "me"] in [message(r) for r in replies if not isinstance(r, int)]


@pytest.mark.parametrize("protocol", [2, 3])
def test_redis_py_listens(gateway: Gateway, key: Keys, protocol: int) -> None:
    with gateway.client(protocol=protocol) as client, client.pubsub() as listener:
        listener.subscribe(key("a"))
        listener.psubscribe(key("p*"))
        with gateway.client() as other:
            wait_until(lambda: other.publish(key("a"), "x") == 1, "subscribed")
            wait_until(lambda: other.publish(key("pat"), "y") == 1, "subscribed")
        heard: list[tuple[str, str]] = []
        while len(heard) < 2:
            got = listener.get_message(ignore_subscribe_messages=True, timeout=5)
            if got:
                heard.append((got["type"], got["data"]))
        assert heard == [("message", "x"), ("pmessage", "y")]


def test_many_subscribers_hear_every_message_in_order(gateway: Gateway, key: Keys) -> None:
    with gateway.wires(200) as listeners, gateway.wire() as other:
        for wire in listeners:
            wire.send("SUBSCRIBE", key("a"))
        for wire in listeners:
            assert wire.reply()[0] == "subscribe"
        assert other.calls(*[f"PUBLISH {key('a')} {n}" for n in range(50)]) == [200] * 50
        for wire in listeners:
            assert [reply[2] for reply in wire.replies(50)] == [str(n) for n in range(50)]
        assert gateway.stats()["sessions"]["pinned"] == {"SUBSCRIBE": 200}
    gateway.wait_until_quiet()


def test_a_subscriber_that_leaves_is_forgotten_upstream(gateway: Gateway, key: Keys) -> None:
    with ExitStack() as leaving, gateway.wire() as other:
        for _ in range(5):
            leaving.enter_context(gateway.wire()).call("SUBSCRIBE", key("a"))
        assert other.call("PUBLISH", key("a"), "x") == 5
        leaving.close()
        wait_until(lambda: other.call("PUBLISH", key("a"), "x") == 0, "forgotten")
    gateway.wait_until_quiet()


# Subscribers in trouble


def test_a_slow_subscriber_is_bounded_and_disconnected(key: Keys) -> None:
    settings = {"client-output-buffer-limit": "pubsub 1gb 1gb 60"}
    limits = {"slow_client_timeout": "500ms", "output_buffer": "256KiB"}
    with (
        RedisServer(settings=settings) as server,
        Gateway(server, limits=limits) as gateway,
        gateway.wire() as slow,
        gateway.wire() as quick,
        gateway.wire() as other,
    ):
        slow.call("SUBSCRIBE", "a")
        quick.call("SUBSCRIBE", "a")
        before = gateway.rss()
        for _ in range(80):
            other.call("PUBLISH", "a", "x" * 1_000_000)
            assert len(quick.reply()[2]) == 1_000_000
        assert gateway.rss() - before < 20 << 20
        wait_until(lambda: gateway.stats()["sessions"]["pinned"] == {"SUBSCRIBE": 1}, "disconnected")
        assert other.call("PING") == "PONG"
        assert other.call("PUBLISH", "a", "still") == 1
        assert quick.reply() == ["message", "a", "still"]


def test_a_subscriber_is_told_when_its_connection_is_lost(key: Keys) -> None:
    with RedisServer() as server, Gateway(server, pool={"backoff_max": "50ms"}) as gateway:
        with gateway.wire() as two, gateway.wire() as three:
            three.call("HELLO", 3)
            for wire in (two, three):
                wire.call("SUBSCRIBE", "a")
            server.restart()
            for wire in (two, three):
                assert "poolgate: cache: connection to the upstream lost" in str(wire.reply())
                assert wire.is_closed(), "it missed messages: it has to subscribe anew"
            gateway.wait_until_up()
            with gateway.wire() as wire:
                assert wire.call("SUBSCRIBE", "a") == ["subscribe", "a", 1]
        gateway.wait_until_quiet()


def test_redis_itself_may_end_a_subscriber(key: Keys) -> None:
    with RedisServer() as server, Gateway(server) as gateway, gateway.wire() as wire, gateway.wire() as other:
        wire.call("SUBSCRIBE", "a")
        for client in upstream_connections(server):
            if int(client["sub"]):
                with server.client() as direct:
                    direct.client_kill_filter(client["id"])
        assert isinstance(wire.reply(), hiredis.ReplyError)
        assert wire.is_closed()
        assert other.call("PING") == "PONG"


# MONITOR


def test_monitor_is_refused_unless_allowed(wire: Wire) -> None:
    assert "MONITOR is refused unless commands.allow lists it" in str(wire.call("MONITOR"))
    assert wire.call("PING") == "PONG"


def test_monitor_where_it_is_allowed(redis_server: RedisServer, key: Keys) -> None:
    with Gateway(redis_server, commands={"allow": ["MONITOR"]}) as gateway:
        with gateway.wire() as monitor, gateway.wire() as other:
            assert monitor.call("MONITOR") == "OK"
            other.call("SET", key("a"), "seen")
            while key("a") not in (line := monitor.reply()):
                pass
            assert line.endswith('"seen"')
            assert "only QUIT and RESET are possible during MONITOR" in str(monitor_error(monitor))
            assert gateway.stats()["sessions"]["pinned"] == {"MONITOR": 1}
            monitor.send("RESET")
            while monitor.reply() != "RESET":
                pass
            assert monitor.call("ECHO", "x") == "x"
        gateway.wait_until_quiet()


def monitor_error(monitor: Wire) -> object:
    """The reply to a command that is not possible now, among the lines of what others do."""
    monitor.send("GET", "x")
    while not isinstance(reply := monitor.reply(), hiredis.ReplyError):
        pass
    return reply

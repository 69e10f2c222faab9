"""What clients see when the upstream is down, dies, hangs or talks nonsense: clear errors, in time, and no more."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

import hiredis
import pytest

from fake_upstream import FakeUpstream, greet
from gateways import PATIENCE, Gateway, Wire, upstream_connections
from servers import LOOPBACK, RedisServer, free_port, wait_until

Keys = Callable[[str], str]
FAST_POOL: Final = {"backoff_base": "10ms", "backoff_max": "50ms"}


def fails(reply: object, *parts: str) -> bool:
    """An error that names the service and all of these."""
    return isinstance(reply, hiredis.ReplyError) and all(part in str(reply) for part in ("poolgate: cache: ", *parts))


def until_served(wire: Wire) -> None:
    """A client that goes on asking gets an answer from the upstream again, on its old connection."""
    wait_until(lambda: wire.call("ECHO", "x") == "x", "served again")


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """A Redis for one test, to be killed and stopped."""
    with RedisServer() as server:
        yield server


# Down, and back


def test_an_upstream_that_is_down_at_the_start(key: Keys) -> None:
    port = free_port()
    with Gateway(f"{LOOPBACK}:{port}", pool=FAST_POOL) as gateway, gateway.wire() as wire:
        for command in ("GET a", "MULTI", "BLPOP a 0", "SUBSCRIBE a", "WAIT 1 0"):
            assert fails(wire.call(*command.split()), "upstream down", f"[{LOOPBACK}:{port}]"), command
        assert wire.call("CLIENT", "SETNAME", "x") == "OK", "what the gateway answers itself goes on"
        assert gateway.endpoint()["state"] == "down"
        with RedisServer(port=port):
            until_served(wire)
            assert wire.calls("MULTI", "PING", "EXEC") == ["OK", "QUEUED", ["PONG"]]
            assert gateway.endpoint()["state"] == "up"


@pytest.mark.parametrize("version", [2, 3])
def test_the_first_hello_waits_for_no_upstream_that_is_down(version: int) -> None:
    port = free_port()
    with Gateway(f"{LOOPBACK}:{port}", pool=FAST_POOL) as gateway, gateway.wire() as wire:
        assert fails(wire.call("HELLO", version), "upstream down")
        with RedisServer(port=port):
            wait_until(lambda: not fails(wire.call("HELLO", version)), "greeted")
            # Both versions get what they asked for, from lanes and from leases.
            wire.call("HSET", "h", "a", "1")
            expected: Any = {"a": "1"} if version == 3 else ["a", "1"]
            assert wire.calls("HGETALL h", "MULTI", "HGETALL h", "EXEC") == [expected, "OK", "QUEUED", [expected]]


def test_a_restart_while_idle_is_not_noticed_by_clients(server: RedisServer) -> None:
    with Gateway(server, pool={**FAST_POOL, "min_idle": 1}) as gateway, gateway.wire() as wire:
        wire.calls("PING", "MULTI", "EXEC")
        server.restart()
        gateway.wait_until_up()
        assert wire.calls("ECHO a", "MULTI", "ECHO b", "EXEC") == ["a", "OK", "QUEUED", ["b"]]


def test_killed_in_mid_traffic_every_command_gets_one_reply(server: RedisServer) -> None:
    with Gateway(server, pool=FAST_POOL) as gateway, gateway.wires(10) as wires:
        for number, wire in enumerate(wires):
            wire.pipeline(*[f"ECHO {number}-{n}" for n in range(2000)])
        server.kill()
        for number, wire in enumerate(wires):
            for n, reply in enumerate(wire.replies(2000)):
                assert reply == f"{number}-{n}" or fails(reply), reply
        server.start()
        for wire in wires:
            until_served(wire)
        gateway.wait_until_free()


def test_lanes_that_are_killed_come_back(server: RedisServer) -> None:
    with Gateway(server, pool=FAST_POOL) as gateway, gateway.wire() as wire:
        for _ in range(3):
            for client in upstream_connections(server):
                with server.client() as direct:
                    direct.client_kill_filter(client["id"])
            until_served(wire)
        assert gateway.endpoint()["lanes"]["lost"] >= 3
        assert gateway.endpoint()["state"] == "up"


def test_what_was_surely_not_sent_is_retried_once() -> None:
    """The first connections end before they are logged in; what waited for them is sent on another one."""
    ended: list[int] = []

    def behave(connection: socket.socket) -> None:
        connection.recv(4096)
        if len(ended) < 2:
            ended.append(1)
            time.sleep(0.2)  # meanwhile a call queues
            connection.close()
            return
        connection.sendall(b"*2\r\n$6\r\nserver\r\n$5\r\nredis\r\n")
        while data := connection.recv(4096):
            connection.sendall(b"+served\r\n" * data.count(b"*"))

    with (
        FakeUpstream(behave) as upstream,
        Gateway(upstream.address, pool={**FAST_POOL, "lanes": 3}) as gateway,
        gateway.wire() as wire,
    ):
        wait_until(lambda: wire.call("GET", "a") == "served", "served")
        counts = gateway.calls("GET")
        assert counts.get("fatal", 0) == 0, "nothing was sent that could have been executed"


def test_a_retry_stays_in_the_database_of_its_command() -> None:
    """SET waits for a lane of database 0, which never opens. By then the client is in database 1, which is up."""
    taken: list[bytes] = []
    refuse_db_0 = threading.Event()

    def behave(connection: socket.socket) -> None:
        connection.recv(4096)
        if refuse_db_0.is_set():
            time.sleep(0.3)  # meanwhile the calls queue
            return connection.close()
        connection.sendall(b"*2\r\n$6\r\nserver\r\n$5\r\nredis\r\n")
        database = b"0"
        while data := connection.recv(4096):
            if b"SELECT" in data:
                database = data.rsplit(b"\r\n", 2)[1]
            if b"SET\r\n" in data:
                taken.append(database)
            connection.sendall(b"+OK\r\n" * data.count(b"*"))
            if b"FLUSHALL" in data and database == b"0":  # the lane of database 0 ends here
                return connection.close()

    with (
        FakeUpstream(behave) as upstream,
        Gateway(upstream.address, pool={**FAST_POOL, "lanes": 1}) as gateway,
        gateway.wire() as wire,
    ):
        assert wire.calls("SELECT 1", "GET a", "SELECT 0") == ["OK", "OK", "OK"]
        refuse_db_0.set()
        wire.call("FLUSHALL")
        wait_until(lambda: gateway.endpoint()["lanes"]["groups"][0]["lanes"][0]["state"] == "opening", "anew")
        wire.pipeline("SET a zero", "SELECT 1")
        assert fails(wire.reply())
        assert wire.reply() == "OK"
        assert taken == []


# Hanging


def test_timeouts_are_answered_in_time_and_late_replies_are_never_seen(server: RedisServer) -> None:
    pool = {"stall_timeout": "30s"}
    with Gateway(server, policies=[{"timeout": "500ms"}], pool=pool) as gateway, gateway.wires(20) as wires:
        for wire in wires:
            wire.call("PING")
        server.pause()
        started = time.monotonic()
        for number, wire in enumerate(wires):
            wire.send("ECHO", f"late-{number}")
        for wire in wires:
            assert fails(wire.reply(), "no reply within 500ms (policy timeout)")
        assert 0.49 < time.monotonic() - started < 5
        server.resume()
        for number, wire in enumerate(wires):
            until_served(wire)
            assert wire.call("ECHO", f"new-{number}") == f"new-{number}"
            assert wire.is_silent(0.001)
        assert gateway.endpoint()["lanes"]["lost"] == 0, "the late replies were discarded, nobody else was cut off"
        assert gateway.policy("timeout")["expired"] >= 20
        assert gateway.in_flight() == 0


def test_a_stalled_connection_is_replaced(server: RedisServer) -> None:
    pool = {**FAST_POOL, "lanes": 1, "stall_timeout": "300ms", "connect_timeout": "200ms"}
    with Gateway(server, policies=[{"timeout": "50ms"}], pool=pool) as gateway, gateway.wire() as wire:
        wire.call("PING")
        server.pause()
        assert fails(wire.call("GET", "a"), "no reply within 50ms")
        wait_until(lambda: gateway.endpoint()["lanes"]["lost"] == 1, "given up")
        assert fails(wire.call("GET", "a"))
        server.resume()
        until_served(wire)


def test_a_timeout_while_the_connection_is_still_being_opened() -> None:
    """Nobody answers HELLO. Each call is answered when its time is up, again and again."""
    with FakeUpstream(lambda connection: time.sleep(30)) as upstream:
        pool = {**FAST_POOL, "connect_timeout": "300ms"}
        with Gateway(upstream.address, policies=[{"timeout": "50ms"}], pool=pool) as gateway, gateway.wire() as wire:

            def times_out() -> bool:  # or is told at once: between two attempts to connect
                started = time.monotonic()
                reply = wire.call("GET", "a")
                assert fails(reply) and time.monotonic() - started < 3
                return fails(reply, "no reply within 50ms")

            for _ in range(5):
                wait_until(times_out, "given up in time")
            wait_until(lambda: fails(wire.call("MULTI"), "upstream down: not connected within connect_timeout"), "said")
            gateway.wait_until_free()


def test_a_timeout_inside_a_transaction(server: RedisServer) -> None:
    with (
        Gateway(server, policies=[{"timeout": "500ms"}]) as gateway,
        gateway.wire() as wire,
    ):
        wire.call("MULTI")
        wire.call("SET", "a", "1")
        server.pause()
        assert fails(wire.call("SET", "b", "1"), "no reply within 500ms")
        server.resume()
        assert str(wire.call("EXEC")).startswith("EXECABORT")
        assert wire.calls("EXISTS a b", "MULTI", "PING", "EXEC") == [0, "OK", "QUEUED", ["PONG"]]


def test_one_slow_command_times_out_alone(server: RedisServer) -> None:
    """DEBUG SLEEP stops all of Redis; whoever has patience gets the right reply."""
    policies = [{"timeout": {"total": "500ms", "verbs": ["DEBUG", "GET"]}}]
    with Gateway(server, policies=policies, commands={"allow": ["DEBUG"]}) as gateway:
        with gateway.wire() as sleeper, gateway.wire() as hasty, gateway.wire() as patient:
            sleeper.send("DEBUG", "SLEEP", "1.5")
            wait_until(lambda: gateway.leases()["leased"] == 1, "asleep")
            hasty.send("GET", "a")
            patient.send("ECHO", "patient")
            assert fails(sleeper.reply(), "no reply within 500ms") and fails(hasty.reply(), "no reply within 500ms")
            assert patient.reply() == "patient"
            assert hasty.calls("ECHO hasty", "PING") == ["hasty", "PONG"]
            assert sleeper.call("ECHO", "awake") == "awake"
        gateway.wait_until_quiet()


# Nonsense


@pytest.mark.parametrize(
    ("nonsense", "said"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "protocol error"),
        (b"$5\r\nhal", "closed by the upstream"),
        (b"", "closed"),
    ],
)
def test_an_upstream_that_talks_nonsense_or_closes_in_mid_reply(nonsense: bytes, said: str) -> None:
    def behave(connection: socket.socket) -> None:
        greet(connection)
        connection.recv(4096)
        connection.sendall(nonsense)
        connection.close()

    with FakeUpstream(behave) as upstream, Gateway(upstream.address, pool=FAST_POOL) as gateway:
        with gateway.wire() as wire:
            for _ in range(3):
                wait_until(lambda: fails(wire.call("GET", "a"), "connection to the upstream lost", said), said)
            assert wire.call("CLIENT", "SETNAME", "x") == "OK"
        gateway.wait_until_quiet()


@pytest.mark.parametrize("answer", [b"-ERR max number of clients reached\r\n", b"!!\r\n", b"x" * 100_000])
def test_an_upstream_that_does_not_let_us_in(answer: bytes) -> None:
    def behave(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(answer)
        connection.recv(4096)

    with (
        FakeUpstream(behave) as upstream,
        Gateway(upstream.address, pool=FAST_POOL) as gateway,
        gateway.wire() as wire,
    ):
        wait_until(lambda: fails(wire.call("GET", "a"), "upstream down: "), "told")
        accepted = upstream.accepted
        time.sleep(0.3)
        assert upstream.accepted - accepted < 60, "attempts are paced"


def test_a_reply_that_breaks_off_behind_its_beginning_ends_the_client() -> None:
    """Half of a large reply is with the client already: no error can follow it. Others are told."""
    others_wait = threading.Event()

    def behave(connection: socket.socket) -> None:
        greet(connection)
        connection.recv(4096)
        connection.sendall(b"$1000000\r\n" + b"x" * 500_000)
        others_wait.wait(PATIENCE)
        connection.close()

    with (
        FakeUpstream(behave) as upstream,
        Gateway(upstream.address, pool={**FAST_POOL, "lanes": 1}) as gateway,
        gateway.wire() as first,
        gateway.wire() as second,
    ):
        first.send("GET", "big")
        wait_until(lambda: gateway.stats()["bytes"]["sent"] > 100_000, "half of it sent")
        second.send("GET", "other")
        wait_until(lambda: gateway.in_flight() == 2, "both in flight")
        others_wait.set()
        assert first.is_closed()
        assert fails(second.reply(), "connection to the upstream lost")


def test_replies_that_nobody_asked_for_reach_nobody() -> None:
    def behave(connection: socket.socket) -> None:
        greet(connection)
        connection.sendall(b"+unasked\r\n$8\r\nunasked2\r\n")
        while data := connection.recv(4096):
            connection.sendall(b"+asked\r\n" * data.count(b"*"))

    with FakeUpstream(behave) as upstream, Gateway(upstream.address, pool=FAST_POOL) as gateway:
        gateway.wait_until_up()
        with gateway.wire() as wire:
            assert [wire.call("GET", "a") for _ in range(5)] == ["asked"] * 5


# Redis that cannot serve


def test_loading_is_passed_through_and_counted() -> None:
    def behave(connection: socket.socket) -> None:
        greet(connection)
        while data := connection.recv(4096):
            connection.sendall(b"-LOADING Redis is loading the dataset in memory\r\n" * data.count(b"*"))

    with FakeUpstream(behave) as upstream, Gateway(upstream.address) as gateway, gateway.wire() as wire:
        assert [str(reply) for reply in wire.calls("GET a", "GET b")] == [
            "LOADING Redis is loading the dataset in memory"
        ] * 2
        assert gateway.calls("GET") == {"retryable": 2}


def test_the_circuit_opens_and_closes_again(server: RedisServer) -> None:
    breaker = {"error_ratio": "50%", "min_calls": 5, "open": "1s", "probes": 1}
    policies = [{"circuit_breaker": breaker}, {"timeout": "200ms"}]
    with Gateway(server, policies=policies, pool={"stall_timeout": "30s"}) as gateway, gateway.wire() as wire:
        server.pause()
        for _ in range(5):
            assert fails(wire.call("GET", "a"), "no reply within 200ms (policy timeout)")
        assert fails(wire.call("GET", "a"), "circuit open", "(policy circuit_breaker)"), "no waiting while it is open"
        assert wire.call("CLIENT", "GETNAME") is None
        state = gateway.policy("circuit_breaker")
        assert (state["state"], state["opened"]) == ("open", 1) and state["refused"] >= 1
        server.resume()
        wait_until(lambda: not fails(wire.call("GET", "a")), "closed again")
        assert gateway.policy("circuit_breaker")["state"] == "closed"
        assert [wire.call("GET", "a") for _ in range(10)] == [None] * 10

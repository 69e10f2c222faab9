"""Sequences that a hostile review found: each one hung, leaked, or changed somebody else's state."""

from __future__ import annotations

import resource
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fake_upstream import FakeUpstream, greet
from gateways import PATIENCE, Gateway, pack, upstream_connections
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


def test_the_replies_before_a_blocking_call_reach_a_client_that_ended(gateway: Gateway, key: Name) -> None:
    for database in range(1, 6):  # each is new to the gateway, which therefore takes up the rest later
        with gateway.wire() as wire:
            wire.pipeline(f"SELECT {database}", "GET none", f"BLPOP {key('q')} 0").end_sending()
            assert wire.replies(2) == ["OK", None]
            assert wire.is_closed()


def test_client_reply_skip_silences_a_reset(gateway: Gateway) -> None:
    with gateway.wire() as wire:
        wire.pipeline("CLIENT REPLY SKIP", "RESET", "ECHO a", "CLIENT REPLY OFF", "RESET", "ECHO b")
        assert wire.replies(3) == ["a", "RESET", "b"]


def test_an_upstream_without_hello_is_well_and_its_password_stays_secret(key: Name) -> None:
    settings = {"rename-command": 'HELLO ""'}
    with RedisServer(password="s3cret-of-upstream", settings=settings) as server:
        with Gateway(server, upstream={"password": "s3cret-of-upstream"}) as gateway, gateway.wires(2) as (three, two):
            said = str(three.call("HELLO", 3))
            assert said == "NOPROTO unsupported protocol version"
            said += str(three.calls("GET a", "MULTI", "PING", "EXEC"))
            assert two.calls("GET a", "MULTI", "PING", "EXEC") == [None, "OK", "QUEUED", ["PONG"]]
            assert gateway.endpoint()["state"] == "up"
            assert "s3cret-of-upstream" not in said + gateway.log + str(gateway.admin("/clusters"))


def test_a_database_that_the_upstream_refuses_is_tried_with_pauses(server: RedisServer) -> None:
    with Gateway(server, upstream={"db": 99}) as gateway, gateway.wire() as wire:
        time.sleep(0.5)
        assert gateway.endpoint()["lanes"]["failed"] < 20
        assert "upstream down: SELECT 99 refused: ERR DB index is out of range" in str(wire.call("GET", "a"))


def test_an_upstream_that_logs_in_and_closes_is_tried_with_pauses() -> None:
    def behave(connection: socket.socket) -> None:
        greet(connection)
        connection.close()

    with FakeUpstream(behave) as upstream, Gateway(upstream.address, pool={"min_idle": 2}) as gateway:
        accepted = upstream.accepted
        time.sleep(0.5)
        assert upstream.accepted - accepted < 100
        assert gateway.log.count("\n") < 10


def test_what_waits_for_a_lane_to_open_is_bounded(key: Name) -> None:
    over = threading.Event()

    def keep_waiting(connection: socket.socket) -> None:
        over.wait(PATIENCE)

    with FakeUpstream(keep_waiting) as upstream:
        with Gateway(upstream.address, pool={"connect_timeout": "5s", "wait_timeout": "5s"}) as gateway:
            before = gateway.rss()
            with gateway.wire(timeout=0.5) as wire, pytest.raises(TimeoutError):
                for _ in range(100):  # 100 MB
                    wire.raw(pack("SET", key("k"), "x" * 100_000) * 10)
            assert gateway.rss() - before < 20 << 20
            over.set()


def test_lanes_wait_for_the_rate_of_connects(server: RedisServer, key: Name) -> None:
    with Gateway(server, pool={"connect_rate": "20/s", "lanes": 1}) as gateway, gateway.wires(5) as wires:
        for version in (2, 3):
            for wire in wires:
                wire.pipeline(f"HELLO {version}", *[f"GET {key('a')}"] * 3)
            for wire in wires:
                assert wire.replies(4)[1:] == [None] * 3


def test_a_machine_that_vanishes_is_noticed_by_the_kernel(server: RedisServer, key: Name) -> None:
    """On an idle connection to it runs the timer that will ask whether it is still there."""
    with Gateway(server) as gateway, gateway.wire() as wire:
        wire.call("SUBSCRIBE", key("a"))
        peer = f"0100007F:{server.port:04X}"
        rows = [row.split() for row in Path(f"/proc/{gateway.pid}/net/tcp").read_text().splitlines()]
        timers = [row[5][:2] for row in rows if row[2] == peer and row[3] == "01"]  # 01: established; 02: keepalive
        assert len(timers) >= 3 and set(timers) == {"02"}


def test_it_takes_as_many_clients_as_the_system_allows(server: RedisServer) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(512, hard), hard))
    try:
        gateway = Gateway(server).start()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    with gateway:
        assert resource.prlimit(gateway.pid, resource.RLIMIT_NOFILE) == (hard, hard)

"""What arrives at a listener: bytes of all kinds, clients that half close, unix sockets, one client too many."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from gateways import Gateway, Wire, upstream_connections
from servers import LOOPBACK, RedisServer, free_port, wait_until

Keys = Callable[[str], str]


@pytest.fixture(scope="module")
def gateway(redis_server: RedisServer) -> Iterator[Gateway]:
    with Gateway(redis_server) as gateway:
        yield gateway


@pytest.fixture
def wire(gateway: Gateway) -> Iterator[Wire]:
    with gateway.wire() as wire:
        yield wire


def test_inline_commands(wire: Wire, key: Keys) -> None:
    wire.raw(f'SET {key("a")} "two words"\r\nget {key("a")}\n\r\n  PING  \r\n'.encode())
    assert wire.replies(3) == ["OK", "two words", "PONG"]


def test_inline_and_framed_commands_mix(wire: Wire) -> None:
    wire.raw(b"PING\r\n*2\r\n$4\r\nECHO\r\n$1\r\nx\r\nECHO y\r\n*1\r\n$4\r\nPING\r\n")
    assert wire.replies(4) == ["PONG", "x", "y", "PONG"]


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (b"*1\r\n+PING\r\n", "expected '$', got '+'"),
        (b"*x\r\n", "invalid multibulk length"),
        (b"*1\r\n$-5\r\n", "invalid bulk length"),
        (b'SET "x\r\n', "unbalanced quotes in request"),
        (b"x" * 70_000, "too big inline request"),
    ],
)
def test_broken_input_ends_this_client_only(
    gateway: Gateway, redis_server: RedisServer, sent: bytes, said: str
) -> None:
    with gateway.wire() as broken, gateway.wire() as other:
        broken.pipeline("PING").raw(sent)
        assert broken.reply() == "PONG"
        error = broken.reply()
        assert str(error) == f"ERR Protocol error: {said}"
        assert broken.is_closed()
        assert other.call("PING") == "PONG"
    with Wire((LOOPBACK, redis_server.port)) as direct:
        assert str(direct.raw(sent).reply()) == str(error)


def test_a_half_closed_client_gets_all_its_replies(gateway: Gateway, key: Keys) -> None:
    for commands in (["PING"], [f"INCR {key('n')}"] * 3000, ["MULTI", "PING", "EXEC", "SELECT 1", "PING"]):
        with gateway.wire() as wire:
            wire.pipeline(*commands).end_sending()
            assert len(wire.replies(len(commands))) == len(commands)
            assert wire.is_closed()


def test_a_half_closed_client_that_is_slow_to_read_gets_all_its_replies(gateway: Gateway, key: Keys) -> None:
    with gateway.wire() as wire:
        wire.call("SET", key("a"), "x" * 100_000)
        wire.pipeline(*[f"GET {key('a')}"] * 200).end_sending()
        assert {len(reply) for reply in wire.replies(200)} == {100_000}
        assert wire.is_closed()


def test_unix_sockets_have_the_mode_that_was_asked_for(redis_server: RedisServer, tmp_path: Path) -> None:
    port, path = free_port(), tmp_path / "cache.sock"
    listen: list[Any] = [f"{LOOPBACK}:{port}", {"address": f"unix:{path}", "mode": "0660"}]
    with Gateway(redis_server, listen=listen) as gateway:
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        with Wire(str(path)) as local, Wire((LOOPBACK, port)) as remote:
            assert local.calls("CLIENT SETNAME u", "SELECT 2", "PING") == ["OK", "OK", "PONG"]
            assert remote.call("PING") == "PONG"
            assert {session["peer"].split(":")[0] for session in gateway.sessions()} == {"unix", LOOPBACK}
        with redis.Redis(unix_socket_path=str(path)) as client:
            assert client.ping()
    assert not path.exists()


def test_an_upstream_may_be_a_unix_socket(redis_server: RedisServer) -> None:
    with Gateway(f"unix:{redis_server.path}") as gateway, gateway.wire() as wire:
        assert wire.calls("PING", "MULTI", "PING", "EXEC") == ["PONG", "OK", "QUEUED", ["PONG"]]


def test_one_client_too_many_is_told_so(redis_server: RedisServer) -> None:
    with Gateway(redis_server, limits={"max_clients": 3}) as gateway, gateway.wires(3) as wires:
        assert [wire.call("PING") for wire in wires] == ["PONG"] * 3
        with gateway.wire() as late:
            assert str(late.reply()) == "ERR max number of clients reached"
            assert late.is_closed()
        wires[0].socket.close()
        wait_until(lambda: len(gateway.sessions()) == 2, "one left")
        with gateway.wire() as late:
            assert late.call("PING") == "PONG"
        assert gateway.stats()["sessions"]["turned_away"] == 1


def test_idle_clients_leave_unless_they_hold_something(redis_server: RedisServer, key: Keys) -> None:
    with (
        Gateway(redis_server, limits={"idle_timeout": "1s"}) as gateway,
        gateway.wire() as idle,
        gateway.wire() as watching,
    ):
        watching.call("WATCH", key("w"))
        assert idle.is_closed()
        assert watching.call("UNWATCH") == "OK"


def test_many_clients_share_few_connections(gateway: Gateway, redis_server: RedisServer, key: Keys) -> None:
    with gateway.wires(100) as wires:
        for number, wire in enumerate(wires):
            wire.pipeline(f"SET {key(str(number))} {number}", f"GET {key(str(number))}")
        assert [wire.replies(2)[1] for wire in wires] == [str(number) for number in range(100)]
        opened = [client for client in upstream_connections(redis_server) if client["db"] == "0"]
        assert len(opened) < 20
    gateway.wait_until_quiet()

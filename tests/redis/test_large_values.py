"""Values of any size stream through without being held whole; who is slow holds up nobody but itself."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Final

import pytest

from gateways import Gateway, Wire, pack
from servers import LOOPBACK, RedisServer, wait_until

Keys = Callable[[str], str]
MB: Final = 1 << 20
GROWTH: Final = 20 * MB  # what the gateway may need more than before, whatever passes through it


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    """A Redis of their own: these values are too large to leave around."""
    with RedisServer() as server:
        yield server


@pytest.fixture(autouse=True)
def _nothing_stays(server: RedisServer) -> Iterator[None]:
    yield
    with server.client() as direct:
        direct.flushall()


@pytest.fixture(scope="module")
def gateway(server: RedisServer) -> Iterator[Gateway]:
    with Gateway(server) as gateway:
        yield gateway


def pattern(size: int) -> bytes:
    """Bytes that are the same nowhere, so that a lost or doubled piece shows."""
    block = b"".join(number.to_bytes(4, "big") for number in range(size // 4 + 1))
    return block[:size]


def upload(wire: Wire, name: str, size: int, piece: bytes) -> None:
    """SET of a value that the client does not hold whole either."""
    wire.raw(b"*3\r\n$3\r\nSET\r\n$%d\r\n%b\r\n$%d\r\n" % (len(name), name.encode(), size))
    for _ in range(size // len(piece)):
        wire.raw(piece)
    wire.raw(b"\r\n")


def download(wire: Wire, size: int) -> str:
    """Read one bulk string without holding it; its sha256."""
    digest, got = hashlib.sha256(), 0
    data = wire.socket.recv(1 << 20)
    head, _, data = data.partition(b"\r\n")
    assert head == b"$%d" % size
    while got < size + 2:
        digest.update(data[: size - got] if got + len(data) > size else data)
        got += len(data)
        if got < size + 2:
            data = wire.socket.recv(1 << 20)
    return digest.hexdigest()


class Peak:
    """The most memory that a process had while this was watching."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway, self._over = gateway, threading.Event()
        self.before = self.most = gateway.rss()
        self._thread = threading.Thread(target=self._watch)

    @property
    def growth(self) -> int:
        return self.most - self.before

    def _watch(self) -> None:
        while not self._over.wait(0.005):
            self.most = max(self.most, self._gateway.rss())

    def __enter__(self) -> Peak:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


def test_64_mb_up_and_down(gateway: Gateway, key: Keys) -> None:
    value = pattern(64 * MB)
    with gateway.client(decode_responses=False, socket_timeout=60) as client:
        assert client.set(key("a"), value)
        got = client.get(key("a"))
        assert isinstance(got, bytes)
        assert hashlib.sha256(got).digest() == hashlib.sha256(value).digest()


def test_256_mb_stream_through_without_being_held(gateway: Gateway, server: RedisServer) -> None:
    size, piece = 256 * MB, pattern(MB)
    with gateway.wire(timeout=60) as wire:
        with Peak(gateway) as up:
            upload(wire, "big", size, piece)
            assert wire.reply() == "OK"
        with Peak(gateway) as down:
            wire.send("GET", "big")
            assert download(wire, size) == hashlib.sha256(piece * 256).hexdigest()
        assert wire.call("PING") == "PONG"
    assert up.growth < GROWTH, f"up: {up.growth >> 20} MB"
    assert down.growth < GROWTH, f"down: {down.growth >> 20} MB"


def test_one_command_of_a_million_arguments(gateway: Gateway, key: Keys) -> None:
    with gateway.wire(timeout=60) as wire:
        wire.raw(pack("RPUSH", key("l"), *range(1_000_000)))
        assert wire.reply() == 1_000_000
        assert wire.call("LRANGE", key("l"), 0, -1) == [str(n) for n in range(1_000_000)]


def test_a_large_value_among_small_commands_of_one_pipeline(gateway: Gateway, key: Keys) -> None:
    value = pattern(2 * MB).hex()
    with gateway.wire() as wire:
        commands = [("ECHO", "a"), ("SET", key("v"), value), ("STRLEN", key("v")), ("GET", key("v")), ("ECHO", "b")]
        for _ in range(3):
            wire.raw(b"".join(pack(*command) for command in commands))
            assert wire.replies(5) == ["a", "OK", 4 * MB, value, "b"]


def test_a_large_value_inside_a_transaction(gateway: Gateway, key: Keys) -> None:
    value = "x" * (2 * MB)
    with gateway.wire() as wire:
        wire.call("MULTI")
        assert wire.call("SET", key("v"), value) == "QUEUED"
        assert wire.calls(f"GET {key('v')}", "PING", "EXEC")[-1] == ["OK", value, "PONG"]
    gateway.wait_until_quiet()


def test_a_pipeline_of_a_hundred_thousand_commands(gateway: Gateway, key: Keys) -> None:
    count = 100_000
    with gateway.wire(timeout=60) as wire:
        requests = pack("INCR", key("n")) * count
        writer = threading.Thread(target=wire.raw, args=(requests,))
        with Peak(gateway) as peak:
            writer.start()
            assert wire.replies(count) == list(range(1, count + 1))
            writer.join()
    assert peak.growth < GROWTH, f"{peak.growth >> 20} MB"


def test_a_timeout_is_for_the_beginning_of_a_reply_and_from_the_end_of_a_request(server: RedisServer) -> None:
    with Gateway(server, policies=[{"timeout": "500ms"}]) as gateway, gateway.wire() as wire:
        wire.raw(b"*3\r\n$3\r\nSET\r\n$3\r\nbig\r\n$%d\r\n" % (20 * MB))
        for _ in range(20):
            wire.raw(b"x" * MB)
            time.sleep(0.05)
        assert wire.raw(b"\r\n").reply() == "OK"
        wire.send("GET", "big")
        left = len(b"$%d\r\n" % (20 * MB)) + 20 * MB + 2
        while left:
            left -= len(wire.socket.recv(min(left, MB // 2)))
            time.sleep(0.03)
        assert wire.call("ECHO", "x") == "x"
        server.pause()
        wire.raw(pack("SET", "big", "y" * MB))
        assert "no reply within 500ms (policy timeout)" in str(wire.reply())
        server.resume()


# Slow clients


def test_slow_readers_of_large_values_are_bounded_and_the_others_go_on(server: RedisServer) -> None:
    with Gateway(server, limits={"slow_client_timeout": "1s"}) as gateway:
        with gateway.wire() as other, gateway.wires(6) as slow:
            other.call("SET", "big", "x" * (50 * MB))
            with Peak(gateway) as peak:
                for wire in slow:
                    wire.send("GET", "big")
                for _ in range(50):
                    started = time.monotonic()
                    assert other.call("ECHO", "x") == "x"
                    assert time.monotonic() - started < 4, "behind a slow reader for slow_client_timeout at most"
            assert peak.growth < 2 * GROWTH, f"{peak.growth >> 20} MB for six of them"
        gateway.wait_until_quiet()


def test_a_slow_reader_gets_all_of_a_large_value_in_the_end(server: RedisServer) -> None:
    with Gateway(server, limits={"slow_client_timeout": "1s"}) as gateway, gateway.wire() as slow:
        slow.call("SET", "big", "x" * (20 * MB))
        slow.send("GET", "big")
        left = len(b"$%d\r\n" % (20 * MB)) + 20 * MB + 2
        for _ in range(30):  # for longer than slow_client_timeout, and always moving
            left -= len(slow.socket.recv(300_000))
            time.sleep(0.05)
        while left:
            left -= len(slow.socket.recv(min(left, MB)))
        assert slow.call("ECHO", "x") == "x"


def test_a_trickling_reader_does_not_hold_up_others_for_long(server: RedisServer) -> None:
    """It always takes a little. Alone it may; with others behind it on its lane it has to hurry."""
    pool, limits = {"lanes": 1}, {"slow_client_timeout": "500ms", "output_buffer": "64KiB"}
    with Gateway(server, pool=pool, limits=limits) as gateway, gateway.wire() as slow, gateway.wires(5) as others:
        slow.call("SET", "big", "x" * (50 * MB))
        slow.pipeline("ECHO a", "GET big")
        for number, wire in enumerate(others):  # they queue before the lane is known to be held up
            wire.send("ECHO", number)
        stop = threading.Event()

        def trickle() -> None:
            while not stop.wait(0.02):
                try:
                    slow.socket.recv(20_000)
                except OSError:
                    return

        trickling = threading.Thread(target=trickle)
        trickling.start()
        started = time.monotonic()
        assert [wire.reply() for wire in others] == [str(number) for number in range(5)]
        assert time.monotonic() - started < 5
        stop.set()
        trickling.join()


def test_a_client_that_takes_nothing_is_disconnected(server: RedisServer) -> None:
    with Gateway(server, limits={"slow_client_timeout": "300ms"}) as gateway, gateway.wire() as other:
        other.call("SET", "big", "x" * (20 * MB))
        with gateway.wire() as stuck, gateway.wire() as leaving:
            stuck.send("GET", "big")
            leaving.pipeline("GET big", "QUIT")
            wait_until(lambda: len(gateway.sessions()) == 1, "both disconnected")
            assert other.call("PING") == "PONG"
        gateway.wait_until_free()


def test_thousands_of_replies_for_a_client_that_does_not_read(gateway: Gateway, key: Keys) -> None:
    with gateway.wire() as wire, gateway.wire() as other:
        wire.call("SET", key("v"), "x" * 1000)
        wire.socket.settimeout(0.5)
        with Peak(gateway) as peak, pytest.raises(TimeoutError):
            while True:  # until the gateway takes no more
                wire.raw(pack("GET", key("v")) * 1000)
        assert peak.growth < GROWTH, f"{peak.growth >> 20} MB"
        assert other.call("PING") == "PONG"
    gateway.wait_until_quiet()


def test_a_slow_writer_of_a_large_value_holds_up_nobody(gateway: Gateway, server: RedisServer, key: Keys) -> None:
    with gateway.wires(5) as slow, gateway.wire() as other:
        for wire in slow:
            wire.raw(b"*3\r\n$3\r\nSET\r\n$5\r\nslow1\r\n$10000000\r\n" + b"x" * 5_000_000)
        wait_until(lambda: gateway.leases()["leased"] == 5, "half of them is there")
        for _ in range(20):
            assert other.calls("PING", f"SET {key('a')} 1", "MULTI", "PING", "EXEC")[-1] == ["PONG"]
        assert other.call("EXISTS", "slow1") == 0
        for wire in slow:
            wire.raw(b"x" * 5_000_000 + b"\r\n")
            assert wire.reply() == "OK"
        assert other.call("STRLEN", "slow1") == 10_000_000


def test_a_client_that_sends_no_more_of_a_large_value_is_disconnected(server: RedisServer) -> None:
    limits = {"slow_client_timeout": "1s"}
    with Gateway(server, limits=limits) as gateway, gateway.wire() as stuck, gateway.wire() as slow:
        start = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1000000\r\n" + b"x" * 400_000
        stuck.raw(start)
        slow.raw(start)
        for _ in range(24):
            time.sleep(0.1)
            slow.raw(b"x" * 25_000)
        assert stuck.is_closed()
        assert slow.raw(b"\r\n").reply() == "OK"
        gateway.wait_until_free()


def test_a_client_that_leaves_in_the_middle_of_a_large_value(gateway: Gateway, server: RedisServer, key: Keys) -> None:
    with gateway.wire() as up, gateway.wire() as down:
        up.raw(b"*3\r\n$3\r\nSET\r\n$4\r\nhalf\r\n$10000000\r\n" + b"x" * 5_000_000)
        wait_until(lambda: gateway.leases()["leased"] == 1, "half of it is there")
        down.call("SET", key("v"), "x" * (20 * MB))
        down.send("GET", key("v"))
        down.socket.recv(1000)
        down.vanish()
    gateway.wait_until_quiet()
    with gateway.wire() as wire:
        assert wire.calls("EXISTS half", "PING", "MULTI", "PING", "EXEC") == [0, "PONG", "OK", "QUEUED", ["PONG"]]


def test_a_slow_upstream_pauses_its_clients(server: RedisServer, key: Keys) -> None:
    with Gateway(server, pool={"wait_timeout": "30s"}) as gateway, gateway.wires(4) as wires:
        for wire in wires:
            wire.call("PING")
        server.pause()
        with Peak(gateway) as peak:
            for wire in wires:
                wire.socket.settimeout(0.3)
                with pytest.raises(TimeoutError):
                    while True:
                        wire.raw(pack("SET", key("v"), "x" * 10_000) * 10)
        server.resume()
        assert peak.growth < 2 * GROWTH, f"{peak.growth >> 20} MB"


# What is too large


def test_a_value_larger_than_allowed_is_refused_as_redis_refuses_it(server: RedisServer, key: Keys) -> None:
    with Gateway(server, limits={"max_value": "1MiB"}) as gateway, gateway.wire() as wire, gateway.wire() as other:
        wire.raw(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$%d\r\n" % (MB + 1))
        assert str(wire.reply()) == "ERR Protocol error: invalid bulk length"
        assert wire.is_closed()
        assert other.call("SET", key("v"), "x" * MB) == "OK"


def test_a_large_request_that_is_refused_is_swallowed(server: RedisServer, key: Keys) -> None:
    policies = [{"rate_limit": {"rate": "1/h", "burst": 1}}]
    with Gateway(server, policies=policies) as gateway, gateway.wire() as wire:
        with Peak(gateway) as peak:
            assert wire.call("SET", key("v"), "x" * (50 * MB)) == "OK"
            assert "rate limit 1/h exceeded" in str(wire.call("SET", key("v"), "y" * (50 * MB)))
            assert "rate limit 1/h exceeded" in str(wire.call("SET", key("v"), "y" * (50 * MB)))
        assert wire.call("CLIENT", "GETNAME") is None
        assert peak.growth < GROWTH, f"{peak.growth >> 20} MB"
    with Wire((LOOPBACK, server.port)) as direct:
        assert direct.call("GETRANGE", key("v"), 0, 0) == "x"

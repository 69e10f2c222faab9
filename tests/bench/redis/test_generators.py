"""Our own load generators against a few lines of server."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from bench.crowd import Crowd, crowd
from bench.generator import own
from bench.peer import Target
from bench.process import BenchError
from bench.redis.load import ready
from bench.redis.resp import command, complete
from bench.redis.workloads import RedisWorkload

CONNECT = RedisWorkload("x", "", kind="connect", clients=10, requests=200)


def idle_clients(target: Target, count: int) -> AbstractContextManager[Crowd]:
    return crowd(own("bench.redis.idle", target, "-c", count))


@contextmanager
def server(password: bytes, value: bytes = b"$1\r\nx\r\n") -> Iterator[tuple[str, int]]:
    """Answers AUTH and GET on each connection, one thread for each."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)

    def serve(client: socket.socket) -> None:
        with client:
            while data := client.recv(4096):
                right = b"AUTH" not in data or password in data
                client.sendall(value if b"GET" in data else b"+OK\r\n" if right else b"-WRONGPASS no\r\n")

    def accept() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(client,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield listener.getsockname()
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def test_every_visit_is_counted() -> None:
    with server(b"secret") as address:
        result = ready(CONNECT, "GET", Target(address, "secret")).run(200)
    assert result.errors == ()
    assert result.rps > 0
    assert 0 < result.p50_ms <= result.p99_ms


def test_refusals_are_counted_and_named() -> None:
    with server(b"secret") as address:
        result = ready(CONNECT, "GET", Target(address, "wrong")).run(200)
    assert result.errors == ("200 x -WRONGPASS no",)


def test_nobody_there_is_an_error_per_visit() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = taken.getsockname()
    assert ready(CONNECT, "GET", Target(address)).run(200).errors == ("200 x [Errno 111] connect",)


def test_idle_clients_do_as_they_are_told() -> None:
    with server(b"secret") as address, idle_clients(Target(address, "secret"), 20) as crowd:
        for word in ("open", "use", "burst"):
            crowd.tell(word)


def test_idle_clients_say_what_went_wrong() -> None:
    with server(b"secret", b"-ERR no\r\n") as address, idle_clients(Target(address), 2) as crowd:
        crowd.tell("open")
        with pytest.raises(BenchError, match="could not use: GET was answered"):
            crowd.tell("use")


@pytest.mark.parametrize(
    ("reply", "whole"),
    [
        (b"", False),
        (b"+OK\r", False),
        (b"+OK\r\n", True),
        (b"$-1\r\n", True),
        (b"$2\r\n", False),
        (b"$2\r\nab\r\n", True),
    ],
)
def test_a_reply_is_complete(reply: bytes, whole: bool) -> None:
    assert complete(reply) is whole


def test_a_command_is_an_array_of_bulk_strings() -> None:
    assert command("GET", "k") == b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n"

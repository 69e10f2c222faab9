"""The few words of Redis' protocol that the load generators speak."""

from __future__ import annotations

import socket

from bench.peer import Address

KEY = "key:__rand_int__"  # what redis-benchmark asks for when it is not told to vary the key
SOURCES = tuple(f"127.0.0.{last}" for last in range(2, 18))  # 16 times the ports of one source address


def command(*words: str) -> bytes:
    """One command as an array of bulk strings."""
    parts = [f"*{len(words)}\r\n".encode()]
    for word in words:
        data = word.encode()
        parts.append(b"$%d\r\n%s\r\n" % (len(data), data))
    return b"".join(parts)


def complete(reply: bytes) -> bool:
    """Whether one simple, error, integer or bulk reply is all there."""
    if not reply.endswith(b"\r\n"):
        return False
    if reply[:1] != b"$" or reply.startswith(b"$-1"):
        return True
    head, _, body = reply.partition(b"\r\n")
    return len(body) >= int(head[1:]) + 2


def dial(address: Address, source: str | None = None) -> socket.socket:
    """A blocking connection, from a given loopback address if one is named."""
    if isinstance(address, str):
        unix = socket.socket(socket.AF_UNIX)
        unix.connect(address)
        return unix
    return socket.create_connection(address, 5.0, (source, 0) if source else None)


def ask(connection: socket.socket, *words: str) -> bytes:
    """Send one command and return its raw reply; an early close gives what came until then."""
    connection.sendall(command(*words))
    reply = b""
    while not complete(reply):
        data = connection.recv(65536)
        if not data:
            break
        reply += data
    return reply


def answers(address: Address, password: str | None) -> bool:
    """Whether a GET through this address gets an answer that is not an error."""
    try:
        connection = dial(address)
    except OSError:
        return False
    with connection:
        try:
            connection.settimeout(2.0)
            if password is not None and ask(connection, "AUTH", password) != b"+OK\r\n":
                return False
            return ask(connection, "GET", "ready").startswith(b"$")
        except OSError:
            return False

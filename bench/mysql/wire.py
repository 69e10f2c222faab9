"""The little of MySQL's protocol that the load generators speak themselves; PyMySQL logs in for them."""

from __future__ import annotations

import socket
import ssl
from typing import Any

import pymysql

from bench.peer import Address, Target

DATABASE = "bench"
HEADER = 4
ERROR, EOF = 0xFF, 0xFE
GREETING = 10  # the protocol's version, the first byte of what a server says
EOF_LENGTH = 5


def connect(target: Target, **more: Any) -> pymysql.Connection[Any]:
    """A connection as PyMySQL makes it."""
    to: dict[str, Any] = {"user": target.user, "password": target.password or "", "database": DATABASE, **more}
    if isinstance(target.address, str):
        to["unix_socket"] = target.address
    else:
        to["host"], to["port"] = target.address
    to["ssl"] = ssl.create_default_context(cafile=target.ca) if target.ca else None
    connection: pymysql.Connection[Any] = pymysql.connect(**to, ssl_disabled=target.ca is None, connect_timeout=10)
    return connection


def greets(address: Address) -> bool:
    """Whether a server, or a peer that has one, is there; PyMySQL leaves its socket open where nobody is."""
    unix = isinstance(address, str)
    with socket.socket(socket.AF_UNIX if unix else socket.AF_INET) as probe:
        probe.settimeout(2.0)
        try:
            probe.connect(address)
            return probe.recv(HEADER + 1)[HEADER:] == bytes([GREETING])
        except OSError:
            return False


def dial(target: Target) -> socket.socket:
    """A blocking socket whose session has logged in; an OSError if it could not."""
    try:
        connection = connect(target, autocommit=True)
    except pymysql.MySQLError as problem:
        raise OSError(str(problem)) from problem
    return socket.socket(fileno=connection._sock.detach())  # type: ignore[attr-defined]


def query(text: str) -> bytes:
    """COM_QUERY as a packet."""
    body = b"\x03" + text.encode()
    return len(body).to_bytes(3, "little") + b"\x00" + body


def packets(data: bytes) -> list[bytes]:
    """The whole packets at the beginning of some bytes, without their headers."""
    found, at = [], 0
    while at + HEADER <= len(data):
        end = at + HEADER + int.from_bytes(data[at : at + 3], "little")
        if end > len(data):
            break
        found.append(data[at + HEADER : end])
        at = end
    return found


def complete(data: bytes) -> bool:
    """Whether the answer to a query is all there: an error, or a result set with its second EOF."""
    known = packets(data)
    if known and known[0][0] == ERROR:
        return True
    return sum(len(packet) == EOF_LENGTH and packet[0] == EOF for packet in known) == 2


def ask(opened: socket.socket, text: str) -> bytes:
    """The raw answer to a query that has a result set; an error is raised as an OSError."""
    opened.sendall(query(text))
    answer = b""
    while not complete(answer):
        data = opened.recv(1 << 16)
        if not data:
            raise OSError("closed by the peer")
        answer += data
    check(answer)
    return answer


def check(answer: bytes) -> None:
    """Raise an OSError if it is an error packet."""
    if answer[HEADER : HEADER + 1] == bytes([ERROR]):
        raise OSError(answer[HEADER + 3 :].decode(errors="replace"))

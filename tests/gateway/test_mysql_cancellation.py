"""A MySQL conversation that breaks off at every point, by the client and by the upstream: in the end all balances.

In one process: the sessions of a service, a real MariaDB, and between them a relay that can cut the upstream's bytes.
"""

from __future__ import annotations

import asyncio
import itertools
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from house import PATIENCE, House, Visit, in_a_house
from mysql_playbook import ended, hello, query
from mysql_servers import MariaDBServer
from protocols.call import Call
from protocols.codec import DONE
from protocols.mysql.constants import (
    CLIENT_LOCAL_FILES,
    CLIENT_MULTI_STATEMENTS,
    COM_PING,
    COM_RESET_CONNECTION,
    COM_STATISTICS,
    COM_STMT_CLOSE,
    COM_STMT_EXECUTE,
    COM_STMT_FETCH,
    COM_STMT_PREPARE,
    COM_STMT_SEND_LONG_DATA,
    ERR_PACKET,
)
from protocols.mysql.packets import command, packet
from protocols.mysql.upstream import ANY, ONE_PACKET, PREPARE, ROWS_ONLY, MysqlUpstream
from protocols.mysql.verbs import VERBS

CONFIG: Final = """\
services:
  db:
    protocol: mysql
    listen: 127.0.0.1:1
    upstream: {{endpoints: ["unix:{path}"], user: app, password: s3cret}}
    pool: {{max_connections: 3, wait_timeout: 5s, backoff_base: 1ms, backoff_max: 2ms, statements: 4}}
    limits: {{request_buffer: 1KiB}}
    policies: [{{concurrency: 1000}}]
"""
HELLO: Final = hello(CLIENT_MULTI_STATEMENTS | CLIENT_LOCAL_FILES, "cut")
END: Final = b"\4last" + ended(5)
FURTHER_MODES: Final = b"ERROR_FOR_DIVISION_BY_ZERO,NO_AUTO_CREATE_USER,NO_ENGINE_SUBSTITUTION"
NONE: Final = -1  # shape of a command without a reply


def execute(number: int, *, cursor: bool = False, bound: bytes = b"") -> bytes:
    return command(COM_STMT_EXECUTE, number.to_bytes(4, "little") + bytes([cursor]) + b"\1\0\0\0" + bound)


def conversation() -> list[tuple[int, bytes]]:
    """Something of everything: the shape of each reply, and the command."""
    long_data = command(COM_STMT_SEND_LONG_DATA, b"\2\0\0\0\0\0" + b"d" * 2000)
    texts: list[tuple[int, bytes | str]] = [
        (ANY, "SELECT 'first'"),
        (ANY, "SET sql_mode='ANSI'"),
        (ANY, "BEGIN"),
        (ANY, "INSERT INTO t (name) VALUES ('a')"),
        (ANY, "SELECT 'inside'"),
        (ANY, "ROLLBACK"),
        (ANY, "INSERT INTO t (name) VALUES ('b')"),
        (ANY, "SELECT LAST_INSERT_ID() > 0"),
        (ANY, "SELECT 1; SELECT 'two'; DO 0"),
        (ANY, "SELECT CAST('x' AS SIGNED)"),
        (ANY, "SHOW WARNINGS"),
        (ANY, "SET @a = 5"),
        (ANY, "CREATE TEMPORARY TABLE own (a INT)"),
        (ANY, "SELECT 'pinned'"),
        (ANY, command(COM_PING)),
        (ANY, command(COM_RESET_CONNECTION)),
        (PREPARE, command(COM_STMT_PREPARE, b"SELECT name FROM big")),
        (ANY, execute(1)),
        (ANY, execute(1, cursor=True)),
        (ROWS_ONLY, command(COM_STMT_FETCH, b"\1\0\0\0\2\0\0\0")),
        (NONE, command(COM_STMT_CLOSE, b"\1\0\0\0")),
        (PREPARE, command(COM_STMT_PREPARE, b"SELECT LENGTH(?)")),
        (NONE, long_data),
        (ANY, execute(2, bound=b"\0\1\xfd\0")),
        (ANY, execute(2, bound=b"\0\1\xfd\0\1v")),
        (ANY, "LOAD DATA LOCAL INFILE 'x' INTO TABLE t (name)"),
        (NONE, packet(b"c\nd\n", 2) + packet(b"", 3)),
        (ONE_PACKET, command(COM_STATISTICS)),
        (ANY, "SELECT '" + "x" * 3000 + "'"),
        (ANY, "NONSENSE"),
        (ANY, "SELECT GET_LOCK('cut', 5)"),
        (ANY, "SELECT RELEASE_ALL_LOCKS()"),
        (ANY, "SELECT 'last'"),
    ]
    return [(shape, text if isinstance(text, bytes) else query(text)) for shape, text in texts]


async def read_to_the_end(client: socket.socket, until: bytes, most: int = 1 << 20) -> bytes:
    """What the gateway says up to some bytes, so many of them, or until it closes."""
    said = b""
    while not said.endswith(until) and len(said) < most:
        async with asyncio.timeout(PATIENCE):
            part = await asyncio.get_running_loop().sock_recv(client, most - len(said))
        if not part:
            break
        said += part
    return said


def taken_apart(said: bytes, shapes: list[int]) -> Iterator[bytes]:
    """The greeting, the last word of the login, and the reply of each shape; as many as there are."""
    upstream = MysqlUpstream(4, lambda facts, tracked: None)
    at = 4 + int.from_bytes(said[:3], "little")
    yield said[:at]
    for shape in [ANY, *shapes]:
        call = Call(VERBS[0], 1, b"", 0.0)
        call.shape = shape
        if at == len(said):
            return
        if said[at + 4] == 0xFB:  # the file goes out meanwhile
            at += 4 + int.from_bytes(said[at : at + 3], "little")
        assert upstream.scan(said, at, at, call) == DONE, f"a reply that does not end: {said[at:][:100]!r}"
        yield said[at : int(upstream.end)]
        at = int(upstream.end)
    assert at == len(said) or said[at + 4] == ERR_PACKET, f"more than was asked for: {said[at:][:100]!r}"


async def witness(house: House) -> None:
    """A client that comes afterwards finds a clean house, on each of its connections."""
    clients = [await house.client() for _ in range(3)]
    asks = [
        "BEGIN",
        "SELECT CONCAT('<', @@sql_mode, '|', COALESCE(@a, ''), '|', @@in_transaction, '|', IS_FREE_LOCK('cut'), '>')",
        "SELECT * FROM own",
        "COMMIT",
        "SELECT 'last'",
    ]
    for client in clients:
        await asyncio.get_running_loop().sock_sendall(client, HELLO + b"".join(map(query, asks)))
    for client in clients:
        said = await read_to_the_end(client, END)
        replies = list(taken_apart(said, [ANY] * len(asks)))
        assert b"<STRICT_TRANS_TABLES,%b||1|1>" % FURTHER_MODES in replies[3], replies[3]
        assert replies[4][5:7] == (1146).to_bytes(2, "little")
        client.close()


@pytest.fixture(scope="module")
def cut_server(mariadb_server: MariaDBServer) -> MariaDBServer:
    """With what the conversation needs."""
    mariadb_server.execute("CREATE DATABASE IF NOT EXISTS cut")
    mariadb_server.execute("CREATE OR REPLACE TABLE cut.t (id INT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(20))")
    mariadb_server.execute("CREATE OR REPLACE TABLE cut.big (name VARCHAR(2000))")
    for letter in "pqrstu":
        mariadb_server.execute("INSERT INTO cut.big VALUES (REPEAT(%s, 1500))", [letter])
    return mariadb_server


def in_mysql_house(server: MariaDBServer, folder: Path, scenario: Visit) -> None:
    in_a_house(lambda: House(CONFIG, server.path, folder), witness, scenario)


def test_the_client_leaves_behind_any_byte_that_it_sends(cut_server: MariaDBServer, tmp_path: Path) -> None:
    data = HELLO + b"".join(request for _, request in conversation())

    async def scenario(house: House) -> None:
        loop = asyncio.get_running_loop()
        for cut in [*range(0, 400), *range(400, len(data) + 1, 7), len(data)]:
            client = await house.client()
            await loop.sock_sendall(client, data[:cut])
            if cut % 3:
                await asyncio.sleep(0.0005 * (cut % 3))
            client.close()
            await house.balances(f"sent {cut} bytes")
        assert house.ledger.admitted > 1000

    in_mysql_house(cut_server, tmp_path, scenario)


def test_the_client_leaves_behind_any_byte_that_it_reads(cut_server: MariaDBServer, tmp_path: Path) -> None:
    data = HELLO + b"".join(request for _, request in conversation())
    shapes = [shape for shape, _ in conversation() if shape != NONE]

    async def scenario(house: House) -> None:
        cuts = itertools.chain(range(0, 400), range(400, 30_000, 31))
        everything = b""
        while not everything.endswith(END):
            cut, everything = next(cuts), b""
            client = await house.client()
            await asyncio.get_running_loop().sock_sendall(client, data)
            everything = await read_to_the_end(client, END, cut)
            client.close()
            await house.balances(f"read {cut} bytes")
        assert len(list(taken_apart(everything, shapes))) == 2 + len(shapes)

    in_mysql_house(cut_server, tmp_path, scenario)


def test_the_upstream_ends_behind_any_byte_of_its_replies(cut_server: MariaDBServer, tmp_path: Path) -> None:
    """Every command gets one reply, its own or an error, or the client has to leave; none has moved."""
    commands = conversation()
    shapes = [shape for shape, _ in commands if shape != NONE]
    asked = [request for shape, request in commands if shape != NONE]
    data = HELLO + b"".join(request for _, request in commands)

    async def scenario(house: House) -> None:
        whole = 0
        for cut in [*range(1, 700), *range(700, 30_000, 41)]:
            client = await house.client()
            house.relay.left = cut
            await asyncio.get_running_loop().sock_sendall(client, data)
            said = await read_to_the_end(client, END)
            where = f"cut behind {cut} bytes: {said[-200:]!r}"
            replies = list(taken_apart(said, shapes))[2:]
            for request, reply in zip(asked, replies, strict=False):
                _, quoted, rest = request.partition(b"SELECT '")
                if quoted and reply[4] != ERR_PACKET:
                    assert rest.partition(b"'")[0] in reply, where
            whole += len(replies) == len(shapes)
            client.close()
            house.relay.left = None
            await house.balances(where)
        assert whole > 100

    in_mysql_house(cut_server, tmp_path, scenario)

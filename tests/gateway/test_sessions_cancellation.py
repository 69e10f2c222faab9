"""A conversation that breaks off at every point, by the client and by the upstream: in the end everything balances.

In one process: the sessions of a service, a real Redis, and between them a relay that can cut the upstream's bytes.
"""

from __future__ import annotations

import asyncio
import itertools
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import hiredis

from gateways import pack
from house import PATIENCE, House, in_a_house
from servers import RedisServer

CONFIG: Final = """\
services:
  cache:
    protocol: redis
    listen: 127.0.0.1:1
    upstream: {{endpoints: ["unix:{path}"]}}
    pool: {{lanes: 2, max_connections: 3, wait_timeout: 5s, backoff_base: 1ms, backoff_max: 2ms}}
    limits: {{request_buffer: 1KiB}}
    policies: [{{concurrency: 1000}}]
"""


def conversation(name: str, *, subscribe: bool) -> list[bytes]:
    """Something of everything; the names of keys are this conversation's own."""
    commands: list[tuple[Any, ...]] = [
        ("ECHO", "first"),
        ("SET", f"{name}:a", "1"),
        ("SELECT", 1),
        ("GET", f"{name}:a"),
        ("WATCH", f"{name}:a"),
        ("MULTI",),
        ("ECHO", "inside"),
        ("EXEC",),
        ("RPUSH", f"{name}:list", "x"),
        ("BLPOP", f"{name}:list", "0.1"),  # finds nothing where the RPUSH was refused
        ("SET", f"{name}:large", "x" * 3000),
        ("GET", f"{name}:large"),
        ("HELLO", 3),
        ("MULTI",),
        ("DISCARD",),
        ("WAIT", 0, 1),
        ("NONSENSE",),
        ("UNWATCH",),
        ("ECHO", "last"),
    ]
    if subscribe:
        commands[-1:-1] = [("SUBSCRIBE", f"{name}:ch"), ("UNSUBSCRIBE",), ("SUBSCRIBE", f"{name}:ch")]
    return [pack(*command) for command in commands]


async def replies(client: socket.socket, count: int) -> list[Any]:
    """So many replies, or fewer if the gateway closes."""
    reader = hiredis.Reader(encoding="utf-8", notEnoughData=Ellipsis)
    found: list[Any] = []
    while len(found) < count:
        while (value := reader.gets()) is not Ellipsis:
            found.append(value)
        if len(found) < count:
            async with asyncio.timeout(PATIENCE):
                data = await asyncio.get_running_loop().sock_recv(client, 1 << 16)
            if not data:
                break
            reader.feed(data)
    return found


async def witness(house: House) -> None:
    """A client that comes afterwards finds a clean house."""
    client = await house.client()
    commands = [("ECHO", "x"), ("MULTI",), ("ECHO", "y"), ("EXEC",), ("HGETALL", "none")]
    await asyncio.get_running_loop().sock_sendall(client, b"".join(pack(*command) for command in commands))
    assert await replies(client, 5) == ["x", "OK", "QUEUED", ["y"], []]
    client.close()


def in_redis_house(redis_server: RedisServer, folder: Path, scenario: Callable[[House], Awaitable[None]]) -> None:
    in_a_house(lambda: House(CONFIG, redis_server.path, folder), witness, scenario)


def test_the_client_leaves_behind_any_byte_that_it_sends(redis_server: RedisServer, tmp_path: Path) -> None:
    data = b"".join(conversation("sent", subscribe=True))

    async def scenario(house: House) -> None:
        loop = asyncio.get_running_loop()
        for cut in [*range(0, 700), *range(700, len(data) + 1, 37), len(data)]:
            client = await house.client()
            await loop.sock_sendall(client, data[:cut])
            if cut % 3:
                await asyncio.sleep(0.0005 * (cut % 3))
            client.close()
            await house.balances(f"sent {cut} bytes")
        assert house.ledger.admitted > 1000

    in_redis_house(redis_server, tmp_path, scenario)


def test_the_client_leaves_behind_any_byte_that_it_reads(redis_server: RedisServer, tmp_path: Path) -> None:
    data = b"".join(conversation("read", subscribe=True))

    async def scenario(house: House) -> None:
        loop = asyncio.get_running_loop()
        cuts = itertools.chain(range(0, 500), range(500, 10_000, 23))
        everything = b""
        while not everything.endswith(b"$4\r\nlast\r\n"):
            cut, everything = next(cuts), b""
            client = await house.client()
            await loop.sock_sendall(client, data)
            while len(everything) < cut and not everything.endswith(b"$4\r\nlast\r\n"):
                async with asyncio.timeout(PATIENCE):
                    everything += await loop.sock_recv(client, cut - len(everything))
            client.close()
            await house.balances(f"read {cut} bytes")
        assert len(everything) > 3000

    in_redis_house(redis_server, tmp_path, scenario)


def test_the_upstream_ends_behind_any_byte_of_its_replies(redis_server: RedisServer, tmp_path: Path) -> None:
    """Every command still gets one reply, its own or an error; ECHO shows that none has moved."""
    commands = conversation("cut", subscribe=False)
    clean = ("ERR poolgate: cache: ", "EXECABORT ", "ERR unknown command", "ERR EXEC without", "ERR DISCARD without")

    async def scenario(house: House) -> None:
        for cut in [*range(1, 400), *range(400, 4000, 23)]:
            client = await house.client()
            house.relay.left = cut
            await asyncio.get_running_loop().sock_sendall(client, b"".join(commands))
            got = await replies(client, len(commands))
            where = f"cut behind {cut} bytes: {got}"
            assert len(got) == len(commands), where
            for at, expected in ((0, "first"), (-1, "last")):
                assert got[at] == expected or isinstance(got[at], hiredis.ReplyError), where
            for reply in got:
                assert not isinstance(reply, hiredis.ReplyError) or str(reply).startswith(clean), where
            client.close()
            house.relay.left = None
            await house.balances(where)

    in_redis_house(redis_server, tmp_path, scenario)

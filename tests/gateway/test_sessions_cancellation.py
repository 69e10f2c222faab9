"""A conversation that breaks off at every point, by the client and by the upstream: in the end everything balances.

In one process: the sessions of a service, a real Redis, and between them a relay that can cut the upstream's bytes.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any, Final

import hiredis

from gateway.config import parse
from gateway.service import Service
from gateway.session import Session
from gateway.wiring import build
from gateways import pack
from policies.gate import Gate, Governor, Scope
from protocols.call import REFUSED, Call
from protocols.fault import Fault
from runtimes import run
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
PATIENCE: Final = 10.0


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


class Ledger(Governor):
    """A policy that lets everything through and remembers what has not settled."""

    def __init__(self) -> None:
        self.name = "ledger"
        self.admitted = 0
        self.open: dict[int, Call] = {}
        self.wrong: list[str] = []
        self._gate = LedgerGate(self)

    def bind(self, scope: Scope) -> Gate | None:
        return self._gate


class LedgerGate(Gate):
    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def admit(self, call: Call, now: float) -> Fault | None:
        if id(call) in self._ledger.open:
            self._ledger.wrong.append(f"{call.verb.name} admitted twice")
        self._ledger.admitted += 1
        self._ledger.open[id(call)] = call
        return None

    def settle(self, call: Call, now: float) -> None:
        if self._ledger.open.pop(id(call), None) is None and call.outcome != REFUSED:
            self._ledger.wrong.append(f"{call.verb.name} settled twice")


class Relay:
    """Between the gateway and Redis: passes bytes on, and ends one connection behind the n-th byte of its replies."""

    def __init__(self, redis_path: Path, path: Path) -> None:
        self._redis_path, self.path = redis_path, path
        self.left: int | None = None  # bytes of replies until the cut; None: no cut
        self._connections: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        self._server = await asyncio.start_unix_server(self._accept, str(self.path))

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = asyncio.get_running_loop().create_task(self._connected(reader, writer))
        self._connections.add(connection)

    async def close(self) -> None:
        """The gateway has closed all its connections by now: both ends of each follow."""
        self._server.close()
        await asyncio.sleep(0)  # whoever was let in just now gets its task
        await asyncio.gather(*self._connections)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        redis_reader, redis_writer = await asyncio.open_unix_connection(str(self._redis_path))
        ends = (writer, redis_writer)
        requests, replies = self._pass_on(reader, redis_writer, False), self._pass_on(redis_reader, writer, True)
        directions = [asyncio.get_running_loop().create_task(direction) for direction in (requests, replies)]
        await asyncio.wait(directions, return_when=asyncio.FIRST_COMPLETED)
        for end in ends:
            end.close()  # which ends the other direction, too
        await asyncio.gather(*directions)
        for end in ends:
            with contextlib.suppress(OSError):
                await end.wait_closed()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, cuts: bool) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(1 << 16):
                if cuts and self.left is not None:
                    if len(data) >= self.left:
                        writer.write(data[: self.left])
                        self.left = None
                        return
                    self.left -= len(data)
                writer.write(data)


class House:
    """One service with a listener, and what its tests ask of it."""

    def __init__(self, redis_server: RedisServer, folder: Path) -> None:
        self.relay = Relay(redis_server.path, folder / "upstream.sock")
        self.path = folder / "clients.sock"
        config = parse(CONFIG.format(path=self.relay.path), "poolgate.yaml", Path("/"), {})
        self._tasks: set[asyncio.Task[None]] = set()
        self.service: Service = build(config, self._spawn)["cache"]
        self.ledger = Ledger()
        self.service.governance.policies.append(self.ledger)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        return task

    async def open(self) -> None:
        await self.relay.open()
        numbers = itertools.count(1)
        loop: Any = asyncio.get_running_loop()
        self._server = await loop.create_unix_server(lambda: Session(self.service, next(numbers)), str(self.path))
        self.service.start()

    async def close(self) -> None:
        """Nothing outlives it: no session, no attempt to connect, no upstream connection."""
        self._server.close()
        self.service.close()
        async with asyncio.timeout(PATIENCE):
            await self.service.gone()
            attempts = await asyncio.gather(*self._tasks, return_exceptions=True)
            await self.relay.close()
        failed = [error for error in attempts if isinstance(error, Exception)]
        assert not failed, failed

    async def client(self) -> socket.socket:
        client = socket.socket(socket.AF_UNIX)
        client.setblocking(False)
        await asyncio.get_running_loop().sock_connect(client, str(self.path))
        return client

    def imbalance(self) -> str:
        """What is not as it was before anybody came; "" when everything is."""
        endpoint = self.service.endpoint
        counts = endpoint.leases.stats()
        lanes = [lane for group in endpoint.lanes.values() for lane in group if lane is not None]
        wrong = {
            "sessions": len(self.service.sessions),
            "leases": counts["leased"] + counts["cleaning"] + counts["waiting"],
            "lanes": sum(lane.in_flight for lane in lanes) + sum(lane.holds for lane in lanes),
            "unsettled": len(self.ledger.open),
            "in flight": sum(governor.stats(0.0).get("in_flight", 0) for governor in self.service.governance.policies),
        }
        return ", ".join([f"{name}: {count}" for name, count in wrong.items() if count] + self.ledger.wrong)

    async def balances(self, where: str) -> None:
        """Soon nothing is left of any client."""
        for pause in itertools.chain([0.0] * 20, [0.001] * 200, [0.02] * 500):
            if not self.imbalance():
                return
            await asyncio.sleep(pause)
        raise AssertionError(f"{where}: {self.imbalance()}")


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


def in_a_house(redis_server: RedisServer, folder: Path, scenario: Callable[[House], Awaitable[None]]) -> None:
    async def all_of_it() -> None:
        house = House(redis_server, folder)
        await house.open()
        try:
            await witness(house)
            await scenario(house)
            await house.balances("in the end")
            await witness(house)
        finally:
            await house.close()

    run(all_of_it())


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

    in_a_house(redis_server, tmp_path, scenario)


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

    in_a_house(redis_server, tmp_path, scenario)


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

    in_a_house(redis_server, tmp_path, scenario)

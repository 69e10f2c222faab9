"""A service in this process, before a real upstream, that can be looked at from the inside: does everything balance?

Between it and its upstream is a relay that can cut the upstream's bytes.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any, Final

from gateway.config import parse
from gateway.session import Session
from gateway.wiring import build
from policies.gate import Gate, Governor, Scope
from protocols.call import REFUSED, Call
from protocols.fault import Fault
from runtimes import run

PATIENCE: Final = 10.0


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
    """Between the gateway and its upstream: it ends one connection behind the n-th byte of replies."""

    def __init__(self, upstream_path: Path, path: Path) -> None:
        self._upstream_path, self.path = upstream_path, path
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
        upstream_reader, upstream_writer = await asyncio.open_unix_connection(str(self._upstream_path))
        ends = (writer, upstream_writer)
        requests, replies = self._pass_on(reader, upstream_writer, False), self._pass_on(upstream_reader, writer, True)
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
    """One service with a listener, and what its tests ask of it.

    Args:
        config: with ``{path}`` in the place of the upstream's socket.
        upstream: the real one.
        folder: for sockets.
    """

    def __init__(self, config: str, upstream: Path, folder: Path) -> None:
        self.relay = Relay(upstream, folder / "upstream.sock")
        self.path = folder / "clients.sock"
        parsed = parse(config.format(path=self.relay.path), "poolgate.yaml", Path("/"), {})
        self._tasks: set[asyncio.Task[None]] = set()
        [self.service] = build(parsed, self._spawn).values()
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


Visit = Callable[[House], Awaitable[None]]


def in_a_house(
    house: Callable[[], House],
    witness: Callable[[House], Awaitable[None]],
    scenario: Callable[[House], Awaitable[None]],
) -> None:
    """What happens in it leaves nothing behind: a witness, who comes before and after, finds it clean."""

    async def all_of_it() -> None:
        opened = house()
        await opened.open()
        try:
            await witness(opened)
            await scenario(opened)
            await opened.balances("in the end")
            await witness(opened)
        finally:
            await opened.close()

    run(all_of_it())

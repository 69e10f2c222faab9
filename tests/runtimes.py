"""A worker without listeners, for tests of what looks at one: services, sessions and calls, no network."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from time import monotonic
from typing import Any, Final, TypeVar

import uvloop

from gateway.config import Config, parse
from gateway.service import Service
from gateway.session import Session
from gateway.wiring import build
from protocols.call import OK, Call, Verb

T = TypeVar("T")

CONFIG: Final = """\
services:
  cache:
    protocol: redis
    listen: 127.0.0.1:6380
    clients: [{user: app, password: "s3cret-of-client"}]
    upstream: {endpoints: [127.0.0.1:6390], password: "s3cret-of-upstream"}
    pool: {lanes: 2, max_connections: 8}
    policies:
      - rate_limit: {rate: 20000/s, burst: 2000, per: client}
      - rate_limit: {rate: 90000/s}
      - concurrency: {max: 512}
      - circuit_breaker: {error_ratio: 50%}
  open:
    protocol: redis
    listen: 127.0.0.1:6381
    upstream: {endpoints: ["unix:/nowhere/redis.sock"]}
"""


def run(scenario: Coroutine[Any, Any, T]) -> T:
    """On the loop that poolgate runs on."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(scenario)


async def eventually(holds: Callable[[], bool]) -> None:
    """Wait until it holds; five seconds are enough on any machine."""
    for _ in range(500):
        if holds():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not come true")


class Transport:
    """Takes what a session writes."""

    def __init__(self) -> None:
        self.written: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def get_extra_info(self, name: str) -> tuple[str, int]:
        return ("127.0.0.1", 50000) if name == "peername" else ("127.0.0.1", 6380)

    def get_write_buffer_size(self) -> int:
        return 0

    def close(self) -> None: ...
    def abort(self) -> None: ...
    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...


class FakeRuntime:
    """What the admin needs of a worker. To be made in a running loop; nothing ever connects."""

    def __init__(self, config: str = CONFIG) -> None:
        self.config: Config = parse(config, "poolgate.yaml", Path("/"), {})
        self.config_path: str = "poolgate.yaml"
        self.services: dict[str, Service] = build(self.config, self._never)
        self.state: str = "ready"
        self.started: float = monotonic()
        self.listening: list[tuple[str, str]] = [("cache", "127.0.0.1:6380"), ("open", "127.0.0.1:6381")]
        self.told: list[str] = []
        self._sessions: int = 0

    def _never(self, work: Coroutine[Any, Any, None]) -> None:
        work.close()

    def drain(self) -> None:
        self.told.append("drain")
        self.state = "draining"

    def quit(self) -> None:
        self.told.append("quit")

    def connect(self, service: str, *commands: bytes) -> Session:
        """A client that sent these commands."""
        self._sessions += 1
        session = Session(self.services[service], self._sessions)
        session.connection_made(Transport())
        for command in commands:
            session.data_received(command)
        return session

    def verb(self, name: str) -> Verb:
        """Of the service ``cache``."""
        return next(verb for verb in self.services["cache"].protocol.verbs if verb.name == name)

    def record(self, name: str, seconds: float, count: int = 1, outcome: int = OK) -> None:
        """Calls of the service ``cache`` that ended."""
        call = Call(self.verb(name), count, b"", 100.0)
        call.outcome = outcome
        if outcome == 1:
            call.errors = count
        elif outcome in (2, 3):
            call.failures = count
        self.services["cache"].meter.record(call, 100.0 + seconds)

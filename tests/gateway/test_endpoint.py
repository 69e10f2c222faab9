"""The endpoint performs what the pool decides, however many it decides at once."""

from __future__ import annotations

from collections.abc import Coroutine
from time import monotonic
from typing import Any

import pytest

from gateway.endpoint import Endpoint
from gateway.roles import Borrower
from gateway.target import Target
from gateway.upstream import Connection
from pools.settings import PoolSettings
from pools.slot import Waiter
from protocols.redis.protocol import RedisProtocol
from runtimes import run
from servers import COMPILED

GREETING = b"*2\r\n$6\r\nserver\r\n$5\r\nredis\r\n"
CROWD = 5000


class Wire:
    """A transport that takes everything."""

    def write(self, data: bytes) -> None: ...
    def set_write_buffer_limits(self, high: int) -> None: ...
    def close(self) -> None: ...
    def abort(self) -> None: ...


class Hasty(Borrower):
    """Gives its lease back while it is being told of it."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.granted = 0

    def lease_granted(self, connection: Connection, now: float) -> None:
        self.granted += 1
        self.endpoint.give_back(connection, connection.tag, [], None, now)


def never(work: Coroutine[Any, Any, None]) -> None:
    work.close()


@pytest.mark.skipif(COMPILED, reason="a compiled Borrower has compiled subclasses only")
def test_a_lease_can_go_from_hand_to_hand_without_end() -> None:
    async def scenario() -> None:
        protocol = RedisProtocol("cache")
        settings = PoolSettings(max_connections=1, max_waiting=CROWD)
        endpoint = Endpoint(Target("127.0.0.1", 1, "", None, ""), protocol, settings, never)
        crowd = [Hasty(endpoint) for _ in range(CROWD)]
        for borrower in crowd:
            endpoint.borrow(Waiter(protocol.base_tag, borrower), monotonic())
        (slot,) = endpoint.leases.slots.connecting
        connection = slot.carrier
        connection.connection_made(Wire())
        connection.data_received(GREETING)
        assert [borrower.granted for borrower in crowd] == [1] * CROWD
        assert endpoint.leases.stats()["idle"] == 1
        endpoint.close()

    run(scenario())

"""Sessions that wait for room on a lane: who leaves, or is told, is not kept in the line."""

from __future__ import annotations

from gateway.session import Session
from runtimes import FakeRuntime, run

GET = b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n"


def test_who_left_is_not_kept_in_the_line() -> None:
    async def scenario() -> None:
        runtime = FakeRuntime()
        service = runtime.services["open"]

        def waiting() -> list[Session]:
            return [session for line in service._waiting.values() for session in line]

        fillers = [runtime.connect("open", GET * 4096) for _ in range(2)]  # one for each lane, which never opens
        waiters = [runtime.connect("open", GET) for _ in range(4)]
        assert waiting() == [*waiters[::2], *waiters[1::2]]
        waiters[0].connection_lost(None)
        assert waiting() == [waiters[2], *waiters[1::2]]
        for session in [*waiters[1:], *fillers]:
            session.connection_lost(None)
        assert waiting() == []

    run(scenario())

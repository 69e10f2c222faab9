"""One service as it runs: who is connected, and what operators ask of it. Its calls live in gateway/exchange.py."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from time import monotonic
from typing import Any, Final, final

from gateway import logs
from gateway.balance import Balance
from gateway.exchange import Exchange, keeper
from gateway.governance import Governance
from gateway.mirror import Mirror
from gateway.session import Session
from pools.slot import HOLDING
from protocols.call import CANCELLED
from protocols.codec import Host, Protocol
from protocols.fault import Fault

SLOW_LINES: Final = 10  # a second, of the log


@final
class Service(Exchange):
    """A named upstream system with its sessions."""

    def __init__(
        self,
        protocol: Protocol,
        balance: Balance,
        governance: Governance,
        *,
        max_clients: int,
        output_buffer: int,
        slow_client_timeout: float,
        request_buffer: int,
        idle_timeout: float = 0.0,
        login_timeout: float = 10.0,
    ) -> None:
        super().__init__(
            protocol,
            balance,
            governance,
            output_buffer=output_buffer,
            slow_client_timeout=slow_client_timeout,
            request_buffer=request_buffer,
        )
        self.max_clients: int = max_clients
        self.idle_timeout: float = idle_timeout
        self.login_timeout: float = login_timeout
        self.sessions: Final[dict[int, Session]] = {}
        self.mirrors: Final[dict[str, Mirror]] = {}  # by the service that gets the copies
        self.accepted: int = 0
        self.turned_away: int = 0
        self._departure: Final = asyncio.Event()
        self._ungreeted: Final[dict[int, Session]] = {}
        self._newcomers: Final[dict[int, Session]] = {}  # greeted, and not seen to be logged in
        if protocol.greets:
            self.endpoint.on_probe = self._probed
        protocol.attach(ServiceHost(self))

    # Sessions come and go

    def arrived(self, session: Session) -> bool:
        """See Driver."""
        transport = session.transport
        if self.draining or len(self.sessions) >= self.max_clients:
            self.turned_away += 1
            transport.write(self.protocol.too_many())
            return False
        peer, local = transport.get_extra_info("peername"), transport.get_extra_info("sockname")
        session.peer = _printable(peer)
        session.address = peer[0] if isinstance(peer, tuple) else "unix"
        tls = session.tls is not None
        session.codec = self.protocol.server(session.number, session.peer, _printable(local), tls, session.born)
        self.identify(session)
        self.sessions[session.number] = session
        self.accepted += 1
        if self.protocol.greets:
            self._greet(session)
        return True

    def _greet(self, session: Session) -> None:
        """The server speaks first. What it says of the upstream has to be learned before."""
        if self.protocol.is_ready():
            session.codec.greet()
            self.say(session)
            self.pump(session, monotonic())  # it may have been in a hurry
            self._newcomers[session.number] = session
            if len(self._newcomers) == 1:
                self._expect_logins()
        else:
            self._ungreeted[session.number] = session
            self.endpoint.probe(monotonic())

    def _probed(self, fault: Fault | None, now: float) -> None:
        """There is an upstream, or not: whoever waited for that is told."""
        waiting = list(self._ungreeted.values())
        self._ungreeted.clear()
        for session in waiting:
            if fault is None:
                self._greet(session)
            else:
                session.deliver(self.protocol.unavailable(fault))
                session.close()

    def _expect_logins(self) -> None:
        """Look after those who have not logged in, as long as there are any."""
        asyncio.get_running_loop().call_later(min(1.0, self.login_timeout), self._check_logins)

    def _check_logins(self) -> None:
        oldest = monotonic() - self.login_timeout
        for number, session in list(self._newcomers.items()):
            if session.codec.logged_in:
                del self._newcomers[number]
            elif session.born < oldest:
                session.close()
        if self._newcomers:
            self._expect_logins()

    def left(self, session: Session) -> None:
        """See Driver."""
        now = monotonic()
        self.sessions.pop(session.number, None)
        self.protocol.left(session.number)
        self._ungreeted.pop(session.number, None)
        self._newcomers.pop(session.number, None)
        self._departure.set()
        self.leave_line(session)
        call, session.head, session.tail = session.head, None, None
        session.parked = session.barrier = None
        session.rest = []
        abandoned = call is not None and (call.blocking >= 0 or call.unfinished)
        while call is not None:
            following, call.next = call.next, None
            call.receiver = None
            if not call.done:
                call.outcome = CANCELLED
                self.settle(call, now)
            call = following
        waiter, session.waiter = session.waiter, None
        if waiter is not None:
            session.lender.cancel(waiter, now)
        lease, session.lease = session.lease, None
        if lease is not None:
            cleanup = None if abandoned or session.codec.unfinished() else session.codec.cleanup()
            keeper(lease).give_back(lease, session.codec.left_tag(), cleanup, None, now)

    # Operators

    def is_tried(self) -> bool:
        """The first connect to every endpoint has succeeded or failed."""
        return all(endpoint.tried.is_set() for endpoint in self.balance.endpoints)

    def disconnect(self, number: int) -> None:
        """End a session, as CLIENT KILL asks; its own reply still goes out."""
        session = self.sessions.get(number)
        if session is not None:
            session.closing = True
            if session.pumping:
                return  # it asked for it itself: it closes behind its last reply
            if session.head is None:
                asyncio.get_running_loop().call_soon(session.close)
            else:
                asyncio.get_running_loop().call_soon(session.abort)

    def unblock(self, number: int, error: bool) -> bool:
        """End the wait of a session that blocks, as CLIENT UNBLOCK asks."""
        session = self.sessions.get(number)
        call = session.head if session is not None else None
        if session is None or call is None or call.blocking < 0 or call.partial or session.lease is None:
            return False
        lease, now = session.lease, monotonic()
        call.receiver = None
        answer = session.codec.unblocked(call, error)
        call.outcome = CANCELLED
        self.settle(call, now)
        lease.abort("its blocked call was ended")
        session.complete(call, b"" if call.mute else answer, now)
        return True

    def interrupt(self, number: int) -> bool:
        """End what a session is executing upstream; it hears of it from the upstream."""
        session = self.sessions.get(number)
        lease = session.lease if session is not None else None
        return lease is not None and lease.head is not None and keeper(lease).interrupt(lease, monotonic())

    def start(self) -> None:
        """Warm the pools; from now on idle clients are looked after."""
        for endpoint in self.balance.endpoints:
            endpoint.warm()
        if self.idle_timeout:
            self._sweep()

    def _sweep(self) -> None:
        """Disconnect clients that have been idle for too long: they have nothing under way and hold nothing."""
        oldest = monotonic() - self.idle_timeout
        for session in list(self.sessions.values()):
            if session.head is None and session.used < oldest and session.codec.pin is None:
                session.close()
        asyncio.get_running_loop().call_later(min(1.0, self.idle_timeout / 2), self._sweep)

    async def gone(self) -> None:
        """Wait until the last session has left."""
        while self.sessions:
            self._departure.clear()
            await self._departure.wait()

    def close(self) -> None:
        """End everything now."""
        for session in list(self.sessions.values()):
            session.close()
        for endpoint in self.balance.endpoints:
            endpoint.close()

    def drain(self) -> None:
        """No new clients; those that have nothing under way go now, the others when they are done."""
        self.draining = True
        for session in list(self.sessions.values()):
            session.let_go()

    def facts(self, now: float) -> Iterator[dict[str, Any]]:
        """For ``/sessions``: who is connected, what each holds and why."""
        return (_facts(session, now) for session in list(self.sessions.values()))


@final
class ServiceHost(Host):
    """What a protocol may ask of its service."""

    def __init__(self, service: Service) -> None:
        self._service: Final = service
        self._lines_since: float = 0.0  # slow calls that were told in the second that began then
        self._lines: int = 0
        self._left_out: int = 0

    def disconnect(self, session_id: int) -> None:
        """See Host."""
        self._service.disconnect(session_id)

    def unblock(self, session_id: int, error: bool) -> bool:
        """See Host."""
        return self._service.unblock(session_id, error)

    def interrupt(self, session_id: int) -> bool:
        """See Host."""
        return self._service.interrupt(session_id)

    def mirror(self, service: str, tag: object, request: bytes) -> None:
        """See Host."""
        self._service.mirrors[service].send(tag, request, monotonic())

    def slow(self, facts: dict[str, Any]) -> None:
        """See Host. So many lines a second, then a line with the number of those that were left out."""
        now = monotonic()
        if now - self._lines_since >= 1.0:
            self._lines_since, self._lines = now, 0
        if self._lines < SLOW_LINES:
            self._lines += 1
            logs.warning("slow query", service=self._service.name, **facts)
            return
        self._left_out += 1
        if self._left_out == 1:
            asyncio.get_running_loop().call_later(1.0, self._sum_up)

    def _sum_up(self) -> None:
        left_out, self._left_out = self._left_out, 0
        logs.warning("slow queries were left out of the log", service=self._service.name, times=left_out)


def _facts(session: Session, now: float) -> dict[str, Any]:
    codec, lease = session.codec, session.lease
    held = "shares connections"
    if codec.pin is not None:
        held = f"pinned because {codec.pin} since {now - codec.pinned_at:.1f} s"
    waiting = session.waiter is not None and session.waiter.state != HOLDING
    return {
        "id": session.number,
        "peer": session.peer,
        "user": session.user,
        "age": round(now - session.born, 3),
        "holds": held,
        "lease": lease.slot.number if lease is not None else None,
        "waits_for_lease": waiting,
        "calls_in_flight": _count(session),
        **codec.facts(now),
    }


def _count(session: Session) -> int:
    count, call = 0, session.head
    while call is not None:
        count += call.count
        call = call.next
    return count


def _printable(name: object) -> str:
    """A socket's name as Redis prints it."""
    if isinstance(name, tuple):
        return f"[{name[0]}]:{name[1]}" if ":" in name[0] else f"{name[0]}:{name[1]}"
    return f"{name if isinstance(name, str) and name else 'unix'}:0"

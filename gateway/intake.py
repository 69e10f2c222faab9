"""Bytes become calls: what a client sends, until gateway/exchange.py takes it up."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import Final

from gateway.balance import Balance
from gateway.governance import Governance
from gateway.meter import Meter
from gateway.parking import Parking
from gateway.session import Session
from protocols.call import Call
from protocols.codec import Protocol
from protocols.errors import ProtocolError

_LEAST_READ_AHEAD: Final = 1 << 17  # bytes; a line that is allowed to be long has to fit


class Intake(Parking):
    """The clients of one service, as far as they are listened to."""

    def __init__(
        self,
        protocol: Protocol,
        balance: Balance,
        governance: Governance,
        *,
        output_buffer: int,
        slow_client_timeout: float,
        request_buffer: int,
    ) -> None:
        super().__init__(protocol.service, balance.endpoints)
        self.balance: Final = balance
        self.protocol: Final = protocol
        self.governance: Governance = governance
        self.output_buffer = output_buffer
        self.slow_client_timeout = slow_client_timeout
        self.read_ahead: int = max(request_buffer, _LEAST_READ_AHEAD)
        self.meter = Meter(protocol.verbs)
        self.draining: bool = False

    def identify(self, session: Session) -> None:
        """The client is who its codec says: its plans follow."""
        session.user = session.codec.user
        session.plans = session.codec.plans = self.governance.plans(session.user, session.address)

    def received(self, session: Session, data: bytes) -> None:
        """See Driver."""
        self.meter.received += len(data)
        session.codec.feed(data)
        now = monotonic()
        session.used = now
        self.pump(session, now)
        if session.codec.buffered() > self.read_ahead:
            session.pause_reading()  # it is stuck behind something: see proceed

    def pump(self, session: Session, now: float) -> None:
        """Take up all calls that have arrived."""
        if session.pumping:
            return  # the loop below goes on by itself
        session.pumping = True
        codec = session.codec
        try:
            while not session.is_blocked():
                if codec.unfinished():
                    if not self._relay(session):
                        break
                    continue
                call = session.rest.pop() if session.rest else codec.next(now)
                if codec.said or codec.starts_tls:
                    self.say(session)
                    if call is None:
                        continue
                if call is None:
                    break
                self.submit(session, call, now)
        except ProtocolError as error:
            self.end_with(session, codec.broken(error), now)
        session.pumping = False
        if session.reading_paused and codec.buffered() <= self.read_ahead:
            session.resume_reading()
        if session.ending or self.draining:
            session.let_go()

    def say(self, session: Session) -> None:
        """What the codec has for the client in answer to no call; then TLS may start."""
        codec = session.codec
        said, codec.said = codec.said, b""
        session.deliver(said)
        if codec.starts_tls:
            codec.starts_tls = False
            session.start_tls(codec.leftover())

    def _relay(self, session: Session) -> bool:
        """Pass the next piece of an unfinished request on; False: wait for more, or for the upstream to take it."""
        lease = session.lease
        if lease is None or session.waiter is not None:
            return False
        if lease.write_paused:
            if session.parked_for is None:
                self.wait_for_room(session, lease, None)
            return False
        call = session.tail
        if call is not None and not call.sent:
            return False  # its beginning comes first
        sent = lease.send_piece(session.codec.piece())
        if not session.codec.unfinished() and call is not None and call.deadline < 0.0:
            now = monotonic()
            call.deadline = now - call.deadline
            if call.deadline < lease.timer_at:
                lease.arm(call.deadline, now)
        return sent

    def uploads(self, session: Session, call: Call) -> None:
        """See Driver. In the middle of a large request a client has to send some of it now and then."""
        if session.closed or session.tail is not call or not session.codec.unfinished():
            return
        self.pump(session, monotonic())  # some of it may be here already
        if session.parked_for is None and monotonic() - session.used >= self.slow_client_timeout:
            session.abort()
        else:
            asyncio.get_running_loop().call_later(self.slow_client_timeout, self.uploads, session, call)

    def end_with(self, session: Session, farewell: bytes, now: float) -> None:
        """The client broke the protocol: it learns so behind the replies it is owed, and has to leave."""
        call = Call(self.protocol.verbs[0], 1, b"", now)
        call.closes = session.closing = True
        session.append(call)
        session.complete(call, farewell, now)

    def start_layer(self, session: Session) -> None:
        """Client and codec agreed: from now on they speak through it."""
        codec = session.codec
        layer, codec.starts_layer = codec.starts_layer, None
        if layer is not None:
            session.push_layer(layer, codec.leftover())

"""Here the whole life of a call is read: from a client's bytes to the settled outcome.

    received -> pump -> submit -> [park | borrow a lease] -> admit -> send
                                                                      |
    finished <- the session delivers in order <- settle <- replied | failed

Sessions come and go in gateway/service.py. The exchange is synchronous: what cannot go on now is parked with its
session, and the event that ends the wait (a reply, a lease, room on a lane) takes it up again. A session parks at
most one call, and reads no further behind it, so that nothing grows.
"""

from __future__ import annotations

from typing import Final

from gateway.chore import Preface
from gateway.endpoint import Endpoint
from gateway.intake import Intake
from gateway.session import Session
from gateway.upstream import OPEN, Connection
from policies.gate import Plan
from policies.timeout import timeout_fault
from pools.slot import Waiter
from protocols.call import FATAL, REFUSED, RETRYABLE, Call
from protocols.fault import BUSY, DRAINING, LOST, POOL_EXHAUSTED, TIMEOUT, Fault

_OWN_BOUNDS: Final = (BUSY, POOL_EXHAUSTED, DRAINING)  # faults that say nothing about the upstream
BLOCKING_MARGIN: Final = 1.0  # seconds that an upstream may take longer than the client asked it to block


def keeper(connection: Connection) -> Endpoint:
    """The endpoint that a connection belongs to."""
    endpoint = connection.keeper
    assert isinstance(endpoint, Endpoint)
    return endpoint


class Exchange(Intake):
    """Sessions, governance and the endpoints of one service, brought together."""

    # Calls are admitted and sent

    def submit(self, session: Session, call: Call, now: float) -> None:
        """Send a call where it belongs, or say at once why not."""
        codec = session.codec
        if call.done or (call.local and not call.barrier):
            if call.in_turn and session.head is not None:
                session.parked = call
            else:
                self._answer(session, call, now)
            return
        if session.ending and (call.blocking >= 0 or codec.pushes):
            session.closing = True  # nobody would hear of it; the replies before it still go out
            if session.head is None:
                session.close()
            return
        if codec.pin is not None:
            if codec.moves:
                codec.moves = False
                self._return_lease(session, now)
            connection = session.lease
            if connection is None:
                self._borrow(session, call, now)
                return
            if connection.state > OPEN:
                session.parked = call  # the loss of the lease is being dealt with; that takes it up
                return
            if connection.full:
                self.wait_for_room(session, connection, call)
                return
            if connection.interruption is not None:
                session.parked = call  # see resumed
                return
        else:
            lane = session.lane
            if lane is None or lane.state > OPEN or lane.full or lane.holds > 0 or session.lane_tag is not codec.tag:
                lane = self._pick_lane(session, call, now)
                if lane is None:
                    return
            connection = lane
        if session.head is not None and session.carrier is not connection:
            session.parked = call  # until the replies of the other connection are in: order is kept
            return
        if not self._admit(session, call, now):
            return
        self._send(session, connection, call, now)

    def _pick_lane(self, session: Session, call: Call, now: float) -> Connection | None:
        """A lane for the session's tag. None: the call is parked until there is room, or was refused."""
        tag = session.codec.tag
        lane = session.lane
        if lane is not None and lane.full and lane.state <= OPEN and session.lane_tag is tag and lane.holds == 0:
            self.wait_for_room(session, lane, call)
            return None
        found = self.endpoint.lane(tag, session.number, now)
        if isinstance(found, Fault):
            self.refuse(session, call, found, now)
            return None
        session.lane = found
        session.lane_tag = tag
        if found.full:
            self.wait_for_room(session, found, call)
            return None
        return found

    def _admit(self, session: Session, call: Call, now: float) -> bool:
        """Pass the gates. A run that is refused as a whole is tried command by command."""
        plan = session.plans[call.verb.index]
        assert isinstance(plan, Plan)
        if call.gates:
            plan = self.governance.ruled(plan, call, session.user, session.address)
        fault = plan.admit(call, now) if call.also is None else self._forbidden(session, plan, call, now)
        if fault is None:
            call.plan = plan
            return True
        if call.count > 1:
            session.rest = session.codec.split(call)[::-1]  # the pump takes them up one by one: each may have to wait
        else:
            self.refuse(session, call, fault, now)
        return False

    def _forbidden(self, session: Session, plan: Plan, call: Call, now: float) -> Fault | None:
        """A command that does several things has to be allowed all of them."""
        return self.governance.forbids(session.user, session.address, call, now) or plan.admit(call, now)

    def _send(self, session: Session, connection: Connection, call: Call, now: float) -> None:
        """The call takes its place in the session's line and in the connection's."""
        if call.barrier:
            session.barrier = call
        session.append(call)
        if connection is session.lease:
            self._lead(session, connection, call, now)
        else:
            self._transmit(session, connection, call, now)

    def _lead(self, session: Session, connection: Connection, call: Call, now: float) -> None:
        """On a lease something may have to go ahead of the call; see ServerCodec.preface."""
        preface = session.codec.preface(call, connection.codec, now)
        if preface is None:
            self._transmit(session, connection, call, now)
            return
        session.carrier = connection
        preface.deadline = call.deadline or now + self.endpoint.settings.connect_timeout
        preface.receiver = Preface(self._led, session, call)
        connection.send(preface, now)

    def _led(self, preface: Preface, ahead: Call, data: bytes, now: float) -> None:
        session, call = preface.session, preface.call
        assert isinstance(session, Session)
        if session.closed or call.done or session.lease is None:
            return
        if ahead.errors + ahead.failures == 0:
            self._lead(session, session.lease, call, now)
            self.pump(session, now)  # the rest of a long request may follow now
            return
        call.blame(ahead.outcome, call.waiting)
        call.waiting = 0
        self.settle(call, now)
        session.complete(call, session.codec.preface_failed(call, data), now)

    def _transmit(self, session: Session, connection: Connection, call: Call, now: float) -> None:
        if call.blocking >= 0:  # the client's own patience goes before the policy's
            call.deadline = now + call.blocking + BLOCKING_MARGIN if call.blocking > 0 else 0.0
        elif call.unfinished:
            if call.deadline > 0.0:
                call.deadline = now - call.deadline  # below 0: so long from the end of the request on
            self.uploads(session, call)
        session.carrier = connection
        call.receiver = session
        connection.send(call, now)

    def _answer(self, session: Session, call: Call, now: float) -> None:
        """A call that the codec answers by itself, in its turn."""
        if call.done:
            answer, call.answer = call.answer, b""
            self.meter.record(call, now)
            session.append(call)
            session.complete(call, b"" if call.mute else answer, now)
        elif self._admit(session, call, now):
            session.append(call)
            session.closing = session.closing or call.closes
            self._take_effect(session, call, now)

    def _take_effect(self, session: Session, call: Call, now: float) -> None:
        """A local call: the codec answers, and may have made the client somebody else."""
        answer = session.codec.answer(call, now)
        self.settle(call, now)
        if session.codec.user != session.user:
            self.identify(session)
        session.complete(call, b"" if call.mute else answer, now)
        if session.codec.starts_layer is not None:
            self.start_layer(session)

    def refuse(self, session: Session, call: Call, fault: Fault, now: float) -> None:
        """Say why not, in the protocol's words and in the call's turn."""
        answer = session.codec.refuse(call, fault)
        if session.codec.unfinished():
            session.codec.discard()
            call.unfinished = False
        if call.barrier:
            session.codec.finished(call, now)
            call.barrier = False
        call.outcome = REFUSED
        self.meter.record(call, now)
        session.append(call)
        session.complete(call, b"" if call.mute else answer, now)

    # Leases

    def _borrow(self, session: Session, call: Call, now: float) -> None:
        """The call needs a connection of its own: it waits for the replies before it, then for the lease."""
        if session.head is not None:
            session.parked = call
            return
        if not self._admit(session, call, now):
            return
        if call.barrier:
            session.barrier = call
        session.append(call)
        codec = session.codec
        session.waiter = Waiter(codec.tag, session, codec.kind)
        session.lender = self.balance.pick(codec.role, now)
        session.lender.borrow(session.waiter, now)

    def granted(self, session: Session, connection: Connection, now: float) -> None:
        """See Driver."""
        call = session.head
        lender = keeper(connection)
        if session.closed or call is None:
            lender.give_back(connection, connection.tag, [], None, now)
            return
        if call.local:  # that there is a connection was all it needed
            lender.give_back(connection, connection.tag, [], None, now)
            self._take_effect(session, call, now)
            return
        if call.blocking < 0 and 0.0 < call.deadline <= now:
            lender.give_back(connection, connection.tag, [], None, now)
            self.failed(session, call, Fault(TIMEOUT, self.name, "no connection in time", "", connection.endpoint), now)
            return
        session.lease = connection
        connection.owner = session
        connection.codec.adopt(session.codec)
        self._lead(session, connection, call, now)
        self.pump(session, now)

    def refused(self, session: Session, fault: Fault, now: float) -> None:
        """See Driver."""
        call = session.head
        if call is not None and not session.closed:
            self.failed(session, call, fault, now)

    def lease_lost(self, session: Session, fault: Fault, now: float) -> None:
        """See Driver."""
        if session.closed:
            return
        self.leave_line(session)
        if session.codec.lease_lost():
            self.proceed(session, now)
        else:
            self.end_with(session, session.codec.farewell(fault), now)

    def _return_lease(self, session: Session, now: float) -> None:
        lease, session.lease = session.lease, None
        if lease is not None:
            session.carrier = None
            self.leave_line(session)
            session.release_hold()
            cleanup = session.codec.cleanup()
            keeper(lease).give_back(lease, session.codec.left_tag(), cleanup, session if cleanup else None, now)

    def resumed(self, session: Session, now: float) -> None:
        """See Driver. What the lease was executing is interrupted: the parked call may go."""
        parked, session.parked = session.parked, None
        if parked is not None:
            self.submit(session, parked, now)
        self.proceed(session, now)

    # Replies and failures

    def settle(self, call: Call, now: float) -> None:
        """Every gate that admitted the call hears how it ended, once."""
        plan, call.plan = call.plan, None
        if plan is not None:
            assert isinstance(plan, Plan)
            plan.settle(call, now)
            self.meter.record(call, now)

    def failed(self, session: Session, call: Call, fault: Fault, now: float) -> None:
        """See Driver. What was surely not sent is tried once more; of the rest nobody knows whether it was executed."""
        if session.closed:
            return
        lost = session.carrier
        if fault.reason == LOST and not call.sent and not call.retried and lost is not None and session.lease is None:
            call.retried = True
            # Where those before it went, for order's sake; else by its own tag: the session may be SELECTs ahead.
            found = lost if lost.state <= OPEN else self.endpoint.lane(lost.tag, session.number, now)
            if isinstance(found, Connection) and (not found.full or found.state < OPEN):
                session.carrier = found
                call.receiver = session
                found.send(call, now)
                return
            fault = found if isinstance(found, Fault) else fault
        call.receiver = None
        if fault.reason == TIMEOUT and call.blocking < 0 and isinstance(call.plan, Plan):
            fault = timeout_fault(call.plan) or fault
        answer = session.codec.refuse(call, fault)
        if call.unfinished:
            session.codec.discard()
        if fault.reason in _OWN_BOUNDS:
            call.outcome = REFUSED
        else:
            call.blame(FATAL if call.sent else RETRYABLE, call.waiting)
        self.settle(call, now)
        if call.partial:
            session.abort()  # the client has a part of a reply: no error can follow it
            return
        if fault.reason == TIMEOUT and session.lease is not None:
            self._interrupt(session.lease, now)  # it may be executing still
        session.complete(call, b"" if call.mute else answer, now)

    def _interrupt(self, lease: Connection, now: float) -> None:
        if not keeper(lease).interrupt(lease, now):
            lease.abort("given up after a timeout")

    def finished(self, session: Session, call: Call, now: float) -> None:
        """See Driver."""
        if call.unfinished and session.codec.unfinished():
            session.codec.discard()
            if session.lease is not None:
                session.lease.abort("replied to half a request")
        if call is session.barrier:
            session.barrier = None
            codec = session.codec
            codec.finished(call, now)
            if codec.user != session.user:
                self.identify(session)
            if codec.starts_layer is not None:
                self.start_layer(session)
        if call.closes:
            session.close()
        elif session.head is None:
            self.proceed(session, now)

    def proceed(self, session: Session, now: float) -> None:
        """See Driver. Nothing is on its way any more, or the client takes replies again."""
        if session.closed:
            return
        if session.head is None:
            if session.lease is not None and session.codec.pin is None:
                self._return_lease(session, now)
            if session.closing:
                session.close()
                return
            parked = session.parked
            if parked is not None and session.parked_for is None:
                session.parked = None
                self.submit(session, parked, now)
        if session.codec.buffered() > 0 or session.rest or session.reading_paused:
            self.pump(session, now)
        elif session.ending or self.draining:
            session.let_go()

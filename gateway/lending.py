"""The leases of one endpoint: who has them, in which state they come and go.

Who gets one, and when, is decided by pools/lease.py; here those decisions become calls on connections.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from math import inf
from typing import Any, Final

from gateway.chore import Chore, Interruption, Probe
from gateway.roles import Borrower, Keeper
from gateway.target import Target
from gateway.upstream import GIVEN_UP, OPEN, Connection
from pools.lease import LeasePool
from pools.settings import PoolSettings
from pools.slot import Close, Grant, Open, Refuse, Slot, Waiter
from pools.throttle import Throttle
from protocols.call import Call
from protocols.codec import Protocol
from protocols.fault import NO_ENDPOINT, Fault


class Lending(Keeper):
    """Lends the connections of a pool."""

    def __init__(self, target: Target, protocol: Protocol, settings: PoolSettings) -> None:
        self.target: Final = target
        self.name: Final = str(target)
        self.protocol: Final = protocol
        self.settings: PoolSettings = settings
        self._idle_timeout: Final = settings.idle_timeout
        self.throttle: Final = Throttle(settings, random.random)
        self.leases: Final = LeasePool(settings, self.throttle, random.random)
        self.on_probe: Callable[[Fault | None, float], None] = _nobody_asked
        self.timer: Any = None  # for whatever comes first
        self.timer_at: float = inf
        self._probing: bool = False
        self._driving: bool = False

    # What an endpoint does for it

    def connection(self, tag: object) -> Connection:
        """A new connection, which is to have this tag."""
        raise NotImplementedError

    def connect_soon(self, connection: Connection) -> None:
        """Connect it."""
        raise NotImplementedError

    def lane(self, tag: object, number: int, now: float) -> Connection | Fault:
        """A lane with this tag: the numbered one if it works or can be opened, else another."""
        raise NotImplementedError

    def arm(self, now: float) -> None:
        """Set the timer."""
        raise NotImplementedError

    # Leases

    def probe(self, now: float) -> None:
        """See whether there is an upstream; ``on_probe`` hears of it."""
        if not self._probing:
            self._probing = True
            tag = self.protocol.base_tag
            self.borrow(Waiter(tag, Probe(self._probed), self.protocol.kind_of(tag)), now)

    def _probed(self, connection: Connection | None, fault: Fault | None, now: float) -> None:
        self._probing = False
        if connection is not None:
            self.give_back(connection, connection.tag, [], None, now)
        self.on_probe(fault, now)

    def busy(self) -> int:
        """Leases in use, and sessions that wait for one."""
        return len(self.leases.slots.leased) + self.leases.waiting()

    def borrow(self, waiter: Waiter, now: float) -> None:
        """Ask for a lease; ``waiter.carrier`` is the Borrower who hears of it, perhaps before this returns."""
        self.leases.acquire(waiter, now)
        self.drive(now)

    def cancel(self, waiter: Waiter, now: float) -> None:
        """The borrower left before it was told."""
        self.leases.cancel(waiter, now)
        self.drive(now)

    def give_back(
        self, connection: Connection, tag: object, cleanup: list[bytes] | None, borrower: Borrower | None, now: float
    ) -> None:
        """The borrower needs the lease no more, and hears of its cleanup if it is named.

        ``cleanup`` None: the connection's state cannot be undone, so it ends.
        """
        connection.owner = None
        connection.codec.adopt(None)
        if connection.state != OPEN:
            return
        if cleanup is None:
            connection.abort(GIVEN_UP)
        elif cleanup or connection.head is not None:
            # Where nothing is to be undone: behind the reply to a command without effect, the line is empty.
            self._clean(connection, cleanup or [self.protocol.noop()], tag, borrower, now)
        else:
            self._release(connection, tag, now)
        self.drive(now)

    def _release(self, connection: Connection, tag: object, now: float) -> None:
        connection.tag = tag
        self.leases.release(connection.slot, tag, now, self.protocol.kind_of(tag))

    def _clean(
        self, connection: Connection, cleanup: list[bytes], tag: object, borrower: Borrower | None, now: float
    ) -> None:
        self.leases.clean(connection.slot, now)
        if connection.head is not None:
            self.interrupt(connection, now)
        interruption = connection.interruption
        if isinstance(interruption, Interruption):
            interruption.cleanup, interruption.tag, interruption.borrower = cleanup, tag, borrower
        else:
            self._chore(connection, cleanup, tag, borrower, False, now)

    def interrupt(self, connection: Connection, now: float) -> bool:
        """End what the lease is executing, by a command on another connection. False: the protocol knows none."""
        if connection.interruption is not None:
            return True
        command = self.protocol.interrupt(connection.codec)
        if command is None:
            return False
        lane = self.lane(self.protocol.base_tag, 0, now)
        if isinstance(lane, Fault):
            connection.abort(f"its query could not be ended: {lane.detail}")
            return True
        call = Call(self.protocol.verbs[0], 1, command, now)
        call.receiver = connection.interruption = Interruption(self._interrupted, connection)
        call.deadline = now + self.settings.connect_timeout
        lane.send(call, now)
        return True

    def _interrupted(self, interruption: Interruption, well: bool, now: float) -> None:
        connection = interruption.connection
        connection.interruption = None
        if connection.state != OPEN:
            return
        if not well:
            connection.abort("its query could not be ended")
        elif interruption.cleanup is not None:
            self._chore(connection, interruption.cleanup, interruption.tag, interruption.borrower, False, now)
        elif connection.owner is not None:
            connection.owner.lease_ready(now)

    def drive(self, now: float) -> None:
        """Perform what the pool decided; what that leads to is performed by the same loop, not deeper in the stack."""
        if self._driving:
            return
        self._driving = True
        try:
            while (action := self.leases.next_action()) is not None:
                if isinstance(action, Grant):
                    self._grant(action.waiter, action.slot, now)
                elif isinstance(action, Open):
                    self._open_lease(action.slot)
                elif isinstance(action, Close):
                    carrier(action.slot).close()
                elif isinstance(action, Refuse):
                    fault = Fault(action.reason, self.protocol.service, action.detail, "", self.name)
                    action.waiter.carrier.lease_refused(fault, now)
        finally:
            self._driving = False
        # A timer that fires before anything idle can be too old, while nobody waits, is near enough.
        if (
            self.timer is None
            or self.timer_at > now + self._idle_timeout
            or self.leases.waiting()
            or self.leases.missing() > 0
        ):
            self.arm(now)

    def _open_lease(self, slot: Slot) -> None:
        # As fresh: that a client asks for a state that the upstream refuses says nothing about the upstream.
        connection = self.connection(self.protocol.fresh_tag(slot.kind))
        connection.slot = slot
        slot.carrier = connection
        self.connect_soon(connection)

    def _grant(self, waiter: Waiter, slot: Slot, now: float) -> None:
        connection = carrier(slot)
        borrower = waiter.carrier
        assert isinstance(borrower, Borrower)
        if connection.tag is waiter.tag or connection.tag == waiter.tag:
            borrower.lease_granted(connection, now)
        elif commands := self.protocol.prelude(connection.tag, waiter.tag):
            self._chore(connection, commands, waiter.tag, borrower, True, now)
        else:
            connection.tag = waiter.tag
            borrower.lease_granted(connection, now)

    def _chore(
        self,
        connection: Connection,
        commands: list[bytes],
        tag: object,
        borrower: Borrower | None,
        prepares: bool,
        now: float,
    ) -> None:
        call = Call(self.protocol.verbs[0], len(commands), b"".join(commands), now)
        call.receiver = Chore(self._chore_done, connection, tag, borrower, prepares)
        call.deadline = now + self.settings.connect_timeout
        connection.send(call, now)

    def _chore_done(self, chore: Chore, well: bool, now: float) -> None:
        """A lease is ready for its borrower, or clean for the pool; or of no use any more."""
        connection, borrower = chore.connection, chore.borrower
        if well:
            connection.tag = chore.tag
            if chore.prepares and borrower is not None:
                borrower.lease_granted(connection, now)
                return
            if connection.state == OPEN:
                self._release(connection, chore.tag, now)
        else:
            connection.abort("the upstream refused to prepare the connection")
        if borrower is not None:
            if chore.prepares:
                said = self.protocol.explain(chore.data) if chore.data else "it was lost meanwhile, or took too long"
                detail = f"no lease: the upstream did not prepare it{': ' if said else ''}{said}"
                borrower.lease_refused(Fault(NO_ENDPOINT, self.protocol.service, detail, "", self.name), now)
            else:
                borrower.lease_cleaned(chore.data if well else b"", now)
        self.drive(now)


def carrier(slot: Slot) -> Connection:
    """The connection in a slot."""
    connection = slot.carrier
    assert isinstance(connection, Connection)
    return connection


def _nobody_asked(fault: Fault | None, now: float) -> None:
    """Until a service wants to know."""

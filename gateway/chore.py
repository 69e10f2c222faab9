"""Errands of the gateway's own: commands on a lease, the end of what a lease executes, and a look at the upstream."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, final

from gateway.roles import Borrower
from gateway.upstream import Connection
from protocols.call import Call, Receiver
from protocols.fault import Fault


@final
class Chore(Receiver):
    """Commands of the gateway's own on a lease: they prepare it for a borrower, or make it clean behind one."""

    def __init__(
        self,
        done: Callable[[Chore, bool, float], None],
        connection: Connection,
        tag: object,
        borrower: Borrower | None,
        prepares: bool,
    ) -> None:
        self.done: Final = done
        self.connection: Final = connection
        self.tag: Final = tag
        self.borrower: Borrower | None = borrower
        self.prepares: Final = prepares  # False: the borrower gave it back, and may want to know what was replied
        self.data: bytes = b""

    def replied(self, call: Call, data: bytes, now: float) -> None:
        """Done when the last reply is there and none was an error."""
        self.data += data
        if call.waiting == 0:
            self.done(self, call.errors + call.failures == 0, now)

    def failed(self, call: Call, fault: Fault, now: float) -> None:
        """The upstream did not do it in time, or is gone."""
        self.done(self, False, now)


@final
class Interruption(Receiver):
    """A command on another connection that ends what a lease is executing.

    Until it is through, the lease takes no calls: the command must not hit the next one.
    """

    def __init__(self, done: Callable[[Interruption, bool, float], None], connection: Connection) -> None:
        self.done: Final = done
        self.connection: Final = connection
        self.cleanup: list[bytes] | None = None  # the lease was given back meanwhile
        self.tag: object = None
        self.borrower: Borrower | None = None

    def replied(self, call: Call, data: bytes, now: float) -> None:
        """Done. That there was nothing to interrupt any more is as good."""
        if call.waiting == 0:
            self.done(self, True, now)

    def failed(self, call: Call, fault: Fault, now: float) -> None:
        """Nobody knows what the lease is doing."""
        self.done(self, False, now)


@final
class Preface(Receiver):
    """What goes ahead of a session's call on its lease."""

    def __init__(self, done: Callable[[Preface, Call, bytes, float], None], session: Borrower, call: Call) -> None:
        self.done: Final = done
        self.session: Final = session
        self.call: Final = call
        self.data: bytes = b""

    def replied(self, call: Call, data: bytes, now: float) -> None:
        """See Receiver."""
        self.data += data
        if call.waiting == 0:
            self.done(self, call, self.data, now)

    def failed(self, call: Call, fault: Fault, now: float) -> None:
        """The call has the same fate."""
        self.session.failed(self.call, fault, now)


@final
class Probe(Borrower):
    """Borrows a lease to see that there is an upstream."""

    def __init__(self, done: Callable[[Connection | None, Fault | None, float], None]) -> None:
        self.done: Final = done

    def lease_granted(self, connection: Connection, now: float) -> None:
        """See Borrower."""
        self.done(connection, None, now)

    def lease_refused(self, fault: Fault, now: float) -> None:
        """See Borrower."""
        self.done(None, fault, now)

"""Who has to do with an upstream connection: who borrows it, and who keeps it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from protocols.call import Receiver
from protocols.fault import Fault

if TYPE_CHECKING:
    from gateway.upstream import Connection  # which knows these roles in turn


class Borrower(Receiver):
    """Who asks for a lease."""

    def lease_granted(self, connection: Connection, now: float) -> None:
        """The connection is the borrower's alone, in the state that was asked for."""

    def lease_refused(self, fault: Fault, now: float) -> None:
        """No lease."""

    def lease_lost(self, fault: Fault, now: float) -> None:
        """The lease ended. Its calls have failed already."""

    def lease_ready(self, now: float) -> None:
        """What the lease was executing has been interrupted: it takes calls again."""

    def lease_cleaned(self, data: bytes, now: float) -> None:
        """A lease that was given back is clean; the replies to its cleanup."""


class Keeper:
    """Who keeps connections: hears when they open, have room again, or end."""

    def opened(self, connection: Connection, now: float) -> None:
        """It is logged in."""

    def ended(self, connection: Connection, detail: str, now: float) -> None:
        """It is over, or never opened. Its calls fail next."""

    def has_room(self, connection: Connection, now: float) -> None:
        """It takes calls again."""

    def emptied(self, connection: Connection, now: float) -> None:
        """A retired connection has replied to its last call."""

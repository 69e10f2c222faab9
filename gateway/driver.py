"""Who a session hands its events to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.meter import Meter
from gateway.upstream import Connection
from protocols.call import Call
from protocols.fault import Fault

if TYPE_CHECKING:
    from gateway.session import Session  # which knows its driver in turn


class Driver:
    """The exchange, as a session sees it."""

    meter: Meter
    output_buffer: int  # bytes queued for a slow client before its upstream connection pauses
    slow_client_timeout: float  # seconds that such a client may take nothing

    def arrived(self, session: Session) -> bool:
        """A new client. False: it was turned away."""
        raise NotImplementedError

    def received(self, session: Session, data: bytes) -> None:
        """Bytes from the client."""

    def settle(self, call: Call, now: float) -> None:
        """A call is over."""

    def finished(self, session: Session, call: Call, now: float) -> None:
        """The client has the whole reply of a call."""

    def proceed(self, session: Session, now: float) -> None:
        """What kept the session from going on may be over."""

    def failed(self, session: Session, call: Call, fault: Fault, now: float) -> None:
        """A call got no reply."""

    def granted(self, session: Session, connection: Connection, now: float) -> None:
        """The lease that the session waited for."""

    def refused(self, session: Session, fault: Fault, now: float) -> None:
        """No lease for the session."""

    def lease_lost(self, session: Session, fault: Fault, now: float) -> None:
        """The session's own connection ended."""

    def uploads(self, session: Session, call: Call) -> None:
        """The upstream wants more of the request than it has got: the client has to send it, and not take for ever."""

    def resumed(self, session: Session, now: float) -> None:
        """The session's own connection takes calls again."""

    def left(self, session: Session) -> None:
        """The client is gone."""

"""Sessions that wait until a full connection has room again: first come, first served."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from time import monotonic
from typing import Final

from gateway.driver import Driver
from gateway.endpoint import Endpoint
from gateway.session import Session
from gateway.upstream import CLOSED, OPEN, OPENING, Connection
from protocols.call import Call
from protocols.fault import BUSY, Fault


class Parking(Driver):
    """What the exchange does with a session whose connection is full."""

    def __init__(self, name: str, endpoints: Sequence[Endpoint]) -> None:
        self.name: Final = name
        self.endpoint: Final = endpoints[0]  # where the lanes are; the settings of all are the same
        self._waiting: Final[dict[Connection, OrderedDict[Session, None]]] = {}
        for endpoint in endpoints:
            endpoint.on_room = self.has_room

    def submit(self, session: Session, call: Call, now: float) -> None:
        """Send a call where it belongs, or say at once why not."""
        raise NotImplementedError

    def pump(self, session: Session, now: float) -> None:
        """Take up all calls that have arrived."""
        raise NotImplementedError

    def refuse(self, session: Session, call: Call, fault: Fault, now: float) -> None:
        """Say why not, in the protocol's words and in the call's turn."""
        raise NotImplementedError

    def wait_for_room(self, session: Session, lane: Connection, call: Call | None) -> None:
        """Park the session, first come first served, until the lane has room again or wait_timeout is over."""
        session.parked = call
        session.parked_for = lane
        line = self._waiting.get(lane)
        if line is None:
            line = self._waiting[lane] = OrderedDict()
        line[session] = None
        wait_timeout = self.endpoint.settings.wait_timeout
        if call is not None and lane is not session.lease and wait_timeout > 0:
            loop = asyncio.get_running_loop()
            session.patience = loop.call_later(wait_timeout, self._waited_enough, session, call)

    def _waited_enough(self, session: Session, call: Call) -> None:
        if session.parked is not call or session.closed:
            return
        now = monotonic()
        lane, session.parked = session.parked_for, None
        self.leave_line(session)
        name = lane.endpoint if lane is not None else ""
        detail = f"no room on a lane within wait_timeout (lane_calls {self.endpoint.settings.lane_calls})"
        self.refuse(session, call, Fault(BUSY, self.name, detail, "", name), now)
        self.proceed(session, now)

    def leave_line(self, session: Session) -> None:
        """The session waits for no lane any more."""
        lane, session.parked_for = session.parked_for, None
        if session.patience is not None:
            session.patience.cancel()
            session.patience = None
        line = self._waiting.get(lane) if lane is not None else None
        if line is not None:
            line.pop(session, None)

    def has_room(self, lane: Connection, now: float) -> None:
        """Sessions that wait for this lane go on, as long as it has room."""
        if lane.state == CLOSED and lane.slot is not None:
            self._waiting.pop(lane, None)  # its session hears by itself that its lease is lost
            return
        line = self._waiting.get(lane)
        while line and (not lane.full or lane.state not in (OPENING, OPEN)):
            session = next(iter(line))
            call, session.parked = session.parked, None
            self.leave_line(session)
            if call is not None:
                self.submit(session, call, now)
            self.pump(session, now)
        if not line:
            self._waiting.pop(lane, None)

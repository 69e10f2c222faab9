"""One upstream endpoint: its lanes, its leases, and how its connections come about.

What may be opened and who gets it is decided by pools/; here those decisions become connections.
"""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Callable, Coroutine
from math import inf
from time import monotonic
from typing import Any, Final, final

from gateway import logs
from gateway.lending import Lending, carrier
from gateway.target import Target
from gateway.tls import TlsClient
from gateway.upstream import OPEN, OPENING, ORDERLY, STATES, Connection
from pools.settings import PoolSettings
from pools.slot import IDLE
from protocols.codec import Protocol
from protocols.fault import NO_ENDPOINT, POOL_EXHAUSTED, Fault
from protocols.histogram import Histogram

MAX_HELD: Final = 32  # lanes that are left to slow clients while others get new ones
MAX_LANES: Final = 256  # of all tags together: a client that SELECTs through all databases meets an end
SHORT_LIVED: Final = 1.0  # seconds: a connection that the upstream ends so soon was as good as refused


@final
class Endpoint(Lending):
    """Lanes by tag, leases from a pool, both under one throttle."""

    def __init__(
        self,
        target: Target,
        protocol: Protocol,
        settings: PoolSettings,
        spawn: Callable[[Coroutine[Any, Any, None]], Any],
    ) -> None:
        super().__init__(target, protocol, settings)
        later = target.tls if protocol.starts_tls_itself else None
        self._tls: Final = TlsClient(later, target.server_name) if later is not None else None
        self.spawn: Final = spawn
        self.lanes: Final[dict[object, list[Connection | None]]] = {}
        self.retiring: Final[set[Connection]] = set()
        self.tried: Final = asyncio.Event()  # the first connect has succeeded or failed
        self.lanes_opened: int = 0
        self.lanes_failed: int = 0
        self.lanes_lost: int = 0
        self.lane_create_time: Final = Histogram()
        self.on_room: Callable[[Connection, float], None] = _nobody_waits
        self.closing: bool = False

    def warm(self) -> None:
        """Open the lanes of fresh sessions, or a first lease, and the leases that are to be kept idle."""
        now = monotonic()
        if self.protocol.has_lanes:
            for number in range(self.settings.lanes):
                self.lane(self.protocol.base_tag, number, now)
        else:
            self.probe(now)
        self.leases.warm(now)
        self.drive(now)
        self.arm(now)

    # Lanes

    def lane(self, tag: object, number: int, now: float) -> Connection | Fault:
        """A lane with this tag: the numbered one if it works or can be opened, else another."""
        group = self.lanes.get(tag)
        if group is None:
            if sum(map(len, self.lanes.values())) >= MAX_LANES:
                self._close_idle_lanes(now, 0.0)
            group = self.lanes[tag] = [None] * (self.settings.lanes if self.protocol.has_lanes else 1)
        number %= len(group)
        lane = group[number]
        if lane is not None and lane.state <= OPEN and lane.holds == 0:
            return lane
        others = [other for other in group if other is not None and other.state <= OPEN]
        spare = min(others, key=_load, default=None)
        if lane is not None and lane.state <= OPEN and spare is not None and spare.holds > 0:
            if len(self.retiring) < MAX_HELD and self.throttle.ready_at() <= now:
                self.retiring.add(lane)  # all are held up by slow clients: they may keep this one to themselves
                lane.retire(now)
        if lane is None or lane.state > OPEN:
            opened = self._open_lane(group, number, tag, now)
            if opened is not None:
                return opened
        if spare is not None and spare.state <= OPEN:
            return spare
        if self.throttle.failures:
            detail = f"upstream down: {self.throttle.failure}"
            return Fault(NO_ENDPOINT, self.protocol.service, detail, "", self.name)
        detail = "no lane can be opened within wait_timeout (connect_rate, or the upstream ends what it let in)"
        return Fault(POOL_EXHAUSTED, self.protocol.service, detail, "", self.name)

    def _open_lane(self, group: list[Connection | None], number: int, tag: object, now: float) -> Connection | None:
        pause = max(0.0, self.throttle.ready_at() - now)
        patience = 0.0 if self.throttle.failures else self.settings.wait_timeout or inf
        if self.closing or pause > patience:
            self.arm(now)
            return None
        self.throttle.take(now)
        connection = self.connection(tag)
        group[number] = connection
        if pause > 0:  # connect_rate: the calls wait in its line
            asyncio.get_running_loop().call_later(pause, self.connect_soon, connection)
        else:
            self.connect_soon(connection)
        return connection

    def _close_idle_lanes(self, now: float, idle: float) -> None:
        """Lanes of other tags than the usual one that nobody has used for so long."""
        for tag, group in list(self.lanes.items()):
            if tag == self.protocol.base_tag and self.protocol.has_lanes:
                continue
            lanes = [lane for lane in group if lane is not None and lane.state <= OPEN]
            if all(lane.in_flight == 0 and now - lane.used >= idle for lane in lanes):
                del self.lanes[tag]
                self.retiring.update(lanes)
                for lane in lanes:
                    lane.retire(now)

    def _renew_lanes(self, now: float) -> None:
        """Retire lanes at the end of their lifetime, and bring back those of the usual tag."""
        for group in list(self.lanes.values()):
            for number, lane in enumerate(group):
                if lane is not None and lane.state == OPEN and lane.expires_at <= now:
                    group[number] = None
                    self.retiring.add(lane)
                    lane.retire(now)
        usual = self.lanes.get(self.protocol.base_tag, []) if self.protocol.has_lanes else []
        for number, lane in enumerate(usual):
            if lane is None or lane.state > OPEN:
                self.lane(self.protocol.base_tag, number, now)

    # Connecting

    def connection(self, tag: object) -> Connection:
        """See Lending."""
        settings = self.settings
        return Connection(
            self,
            self.protocol.upstream(),
            self.protocol.login(tag),
            tag,
            self.protocol.service,
            self.name,
            settings.lane_calls,
            settings.stall_timeout,
            self._tls.layer if self._tls is not None else None,
        )

    def connect_soon(self, connection: Connection) -> None:
        """See Lending."""
        if connection.state != OPENING:
            return
        connection.attempt = self.spawn(self._connect(connection))
        asyncio.get_running_loop().call_later(self.settings.connect_timeout, self._too_late, connection)

    def _too_late(self, connection: Connection) -> None:
        if connection.state == OPENING:
            connection.abort("not connected within connect_timeout")

    async def _connect(self, connection: Connection) -> None:
        loop: Any = asyncio.get_running_loop()  # Any: a Connection has no asyncio base class, so that it compiles
        target = self.target
        at_once = target.tls is not None and self._tls is None
        tls: dict[str, Any] = {"ssl": target.tls, "server_hostname": target.server_name} if at_once else {}
        try:
            if target.path:
                await loop.create_unix_connection(lambda: connection, target.path, **tls)
            else:
                transport, _ = await loop.create_connection(lambda: connection, target.host, target.port, **tls)
                _keep_alive(transport.get_extra_info("socket"), self.settings.keepalive)
            connection.attempt = None
        except OSError as error:
            connection.attempt = None
            connection.abort(error.strerror or str(error))

    def opened(self, connection: Connection, now: float) -> None:
        """See Keeper."""
        self.tried.set()
        if self.throttle.failures:
            logs.info("upstream up", service=self.protocol.service, endpoint=self.name)
        if connection.slot is not None:
            self.leases.opened(connection.slot, connection.tag, now)
        else:
            self.throttle.succeeded()
            self.lanes_opened += 1
            self.lane_create_time.record(now - connection.born, 1)
            connection.expires_at = connection.born + self.settings.lifetime(random.random())
        self.drive(now)
        self.arm(now)

    def ended(self, connection: Connection, detail: str, now: float) -> None:
        """See Keeper."""
        self.tried.set()
        never_open = connection.login is not None
        if detail not in ORDERLY:
            trouble = "upstream down" if never_open else "upstream connection lost"
            logs.recurring(trouble, service=self.protocol.service, endpoint=self.name, detail=detail)
        in_use = connection.slot is not None and connection.slot.state != IDLE
        if not never_open and not in_use and now - connection.born < SHORT_LIVED and detail not in ORDERLY:
            self.throttle.cut_short(now)
        if connection.slot is not None:
            if never_open:
                self.leases.open_failed(connection.slot, detail, now)
            else:
                self.leases.lost(connection.slot, now)
        elif never_open:
            self.lanes_failed += 1
            if connection.tag_refused and connection.tag != self.protocol.base_tag:
                self.protocol.refused(connection.tag)
            else:
                self.throttle.failed(connection.born, detail, now)
        elif connection not in self.retiring:
            self.lanes_lost += 1
        self.retiring.discard(connection)
        self.drive(now)
        self.arm(now)
        self.on_room(connection, now)  # who waited for it has to look elsewhere

    def emptied(self, connection: Connection, now: float) -> None:
        """See Keeper."""
        connection.close()

    def has_room(self, connection: Connection, now: float) -> None:
        """See Keeper."""
        self.on_room(connection, now)

    # Time

    def arm(self, now: float) -> None:
        """One timer for whatever comes first."""
        due = self.leases.next_tick()
        for lane in self.lanes.get(self.protocol.base_tag, []) if self.protocol.has_lanes else []:
            if lane is None or lane.state > OPEN:
                due = min(due, max(self.throttle.ready_at(), now + 0.001))
            elif lane.expires_at < due:
                due = lane.expires_at
        if self.settings.idle_timeout and len(self.lanes) > self.protocol.has_lanes:
            due = min(due, now + max(1.0, self.settings.idle_timeout / 2))
        if self.closing or due >= self.timer_at - 0.001:
            return
        if self.timer is not None:
            self.timer.cancel()
        self.timer_at = due
        self.timer = asyncio.get_running_loop().call_later(max(0.0, due - now), self._on_time)

    def _on_time(self) -> None:
        self.timer = None
        self.timer_at = inf
        if self.closing:
            return
        now = monotonic()
        self.leases.tick(now)
        self._renew_lanes(now)
        if self.settings.idle_timeout:
            self._close_idle_lanes(now, self.settings.idle_timeout)
        self.drive(now)
        self.arm(now)

    def close(self) -> None:
        """End every connection."""
        self.closing = True
        if self.timer is not None:
            self.timer.cancel()
        lanes = [lane for group in self.lanes.values() for lane in group if lane is not None]
        leases = [carrier(slot) for slot in [*self.leases.slots.connecting, *self.leases.slots.idle]]
        leases += [carrier(slot) for slot in [*self.leases.slots.leased, *self.leases.slots.cleaning]]
        for connection in [*lanes, *self.retiring, *leases]:
            connection.close()

    def stats(self, now: float) -> dict[str, Any]:
        """For ``/clusters``."""
        groups = [
            {
                "tag": str(tag),
                "lanes": [{"state": STATES[lane.state], "in_flight": lane.in_flight} for lane in group if lane],
            }
            for tag, group in self.lanes.items()
        ]
        return {
            "address": self.name,
            "connects": self.throttle.stats(now),
            "lanes": {
                "groups": groups,
                "opened": self.lanes_opened,
                "failed": self.lanes_failed,
                "lost": self.lanes_lost,
                "retiring": len(self.retiring),
            },
            "leases": self.leases.stats(),
        }


def _keep_alive(sock: Any, seconds: float) -> None:
    """Have the kernel end a connection whose other side vanished without a word: nothing else would ever notice."""
    if seconds <= 0:
        return
    probe = max(1, round(seconds / 4))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, probe)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, probe)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(seconds * 1000))  # while something is unsent


def _load(lane: Connection) -> tuple[int, int]:
    """Lanes that a slow client holds up come last, then the busier."""
    return (lane.holds, lane.in_flight)


def _nobody_waits(connection: Connection, now: float) -> None:
    """Until the exchange says who waits for room."""

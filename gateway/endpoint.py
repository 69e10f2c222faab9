"""One upstream endpoint: its lanes, its leases, and how its connections come about.

What may be opened and who gets it is decided by pools/; here those decisions become connections.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from math import inf
from time import monotonic
from typing import Any, Final, final

from gateway import logs
from gateway.chore import Chore, Interruption, Probe
from gateway.roles import Borrower, Keeper
from gateway.target import Target
from gateway.tls import TlsClient
from gateway.upstream import GIVEN_UP, OPEN, OPENING, ORDERLY, STATES, Connection
from pools.lease import LeasePool
from pools.settings import PoolSettings
from pools.slot import Close, Grant, Open, Refuse, Slot, Waiter
from pools.throttle import Throttle
from protocols.call import Call
from protocols.codec import Protocol
from protocols.fault import NO_ENDPOINT, POOL_EXHAUSTED, Fault
from protocols.histogram import Histogram

MAX_HELD: Final = 32  # lanes that are left to slow clients while others get new ones
MAX_LANES: Final = 256  # of all tags together: a client that SELECTs through all databases meets an end


@final
class Endpoint(Keeper):
    """Lanes by tag, leases from a pool, both under one throttle."""

    def __init__(
        self,
        target: Target,
        protocol: Protocol,
        settings: PoolSettings,
        spawn: Callable[[Coroutine[Any, Any, None]], Any],
    ) -> None:
        self.target: Final = target
        self.name: Final = str(target)
        later = target.tls if protocol.starts_tls_itself else None
        self._tls: Final = TlsClient(later, target.server_name) if later is not None else None
        self.protocol: Final = protocol
        self.settings: PoolSettings = settings
        self._idle_timeout: Final = settings.idle_timeout
        self.spawn: Final = spawn
        self.throttle: Final = Throttle(settings, random.random)
        self.leases: Final = LeasePool(settings, self.throttle, random.random)
        self.lanes: Final[dict[object, list[Connection | None]]] = {}
        self.retiring: Final[set[Connection]] = set()
        self.tried: Final = asyncio.Event()  # the first connect has succeeded or failed
        self.lanes_opened: int = 0
        self.lanes_failed: int = 0
        self.lanes_lost: int = 0
        self.lane_create_time: Final = Histogram()
        self.on_room: Callable[[Connection, float], None] = _nobody_waits
        self.on_probe: Callable[[Fault | None, float], None] = _nobody_asked
        self._probing: bool = False
        self.closing: bool = False
        self._driving: bool = False
        self._timer: Any = None
        self._timer_at: float = inf

    def warm(self) -> None:
        """Open the lanes of fresh sessions, or a first lease, and the leases that are to be kept idle."""
        now = monotonic()
        if self.protocol.has_lanes:
            for number in range(self.settings.lanes):
                self.lane(self.protocol.base_tag, number, now)
        else:
            self.probe(now)
        self.leases.warm(now)
        self._drive(now)
        self._arm(now)

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
        return Fault(POOL_EXHAUSTED, self.protocol.service, "no lane can be opened now (connect_rate)", "", self.name)

    def _open_lane(self, group: list[Connection | None], number: int, tag: object, now: float) -> Connection | None:
        if self.closing or self.throttle.ready_at() > now:
            self._arm(now)
            return None
        self.throttle.take(now)
        connection = self._connection(tag)
        group[number] = connection
        self._connect_soon(connection)
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

    # Leases

    def busy(self) -> int:
        """Leases in use, and sessions that wait for one."""
        return len(self.leases.slots.leased) + self.leases.waiting()

    def borrow(self, waiter: Waiter, now: float) -> None:
        """Ask for a lease; ``waiter.carrier`` is the Borrower who hears of it, perhaps before this returns."""
        self.leases.acquire(waiter, now)
        self._drive(now)

    def cancel(self, waiter: Waiter, now: float) -> None:
        """The borrower left before it was told."""
        self.leases.cancel(waiter, now)
        self._drive(now)

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
        self._drive(now)

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

    def _drive(self, now: float) -> None:
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
                    self._carrier(action.slot).close()
                elif isinstance(action, Refuse):
                    fault = Fault(action.reason, self.protocol.service, action.detail, "", self.name)
                    action.waiter.carrier.lease_refused(fault, now)
        finally:
            self._driving = False
        # A timer that fires before anything idle can be too old, while nobody waits, is near enough.
        if self._timer is None or self._timer_at > now + self._idle_timeout or self.leases.is_restless():
            self._arm(now)

    def _carrier(self, slot: Slot) -> Connection:
        connection = slot.carrier
        assert isinstance(connection, Connection)
        return connection

    def _open_lease(self, slot: Slot) -> None:
        # As fresh: that a client asks for a state that the upstream refuses says nothing about the upstream.
        connection = self._connection(self.protocol.fresh_tag(slot.kind))
        connection.slot = slot
        slot.carrier = connection
        self._connect_soon(connection)

    def _grant(self, waiter: Waiter, slot: Slot, now: float) -> None:
        connection = self._carrier(slot)
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
                said = self.protocol.explain(chore.data)
                detail = f"no lease: the upstream refused to prepare it{': ' if said else ''}{said}"
                borrower.lease_refused(Fault(NO_ENDPOINT, self.protocol.service, detail, "", self.name), now)
            else:
                borrower.lease_cleaned(chore.data if well else b"", now)
        self._drive(now)

    # Connecting

    def _connection(self, tag: object) -> Connection:
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

    def _connect_soon(self, connection: Connection) -> None:
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
                await loop.create_connection(lambda: connection, target.host, target.port, **tls)
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
            if self.settings.max_lifetime:
                jitter = self.settings.lifetime_jitter * random.random()
                connection.expires_at = connection.born + self.settings.max_lifetime * (1 - jitter)
        self._drive(now)
        self._arm(now)

    def ended(self, connection: Connection, detail: str, now: float) -> None:
        """See Keeper."""
        self.tried.set()
        never_open = connection.login is not None
        if detail not in ORDERLY:
            trouble = "upstream down" if never_open else "upstream connection lost"
            logs.recurring(trouble, service=self.protocol.service, endpoint=self.name, detail=detail)
        if connection.slot is not None:
            if never_open:
                self.leases.open_failed(connection.slot, detail, now)
            else:
                self.leases.lost(connection.slot, now)
        elif never_open:
            self.lanes_failed += 1
            if connection.tag_refused:
                self.protocol.refused(connection.tag)
            else:
                self.throttle.failed(connection.born, detail, now)
        elif connection not in self.retiring:
            self.lanes_lost += 1
        self.retiring.discard(connection)
        self._drive(now)
        self._arm(now)
        self.on_room(connection, now)  # who waited for it has to look elsewhere

    def emptied(self, connection: Connection, now: float) -> None:
        """See Keeper."""
        connection.close()

    def has_room(self, connection: Connection, now: float) -> None:
        """See Keeper."""
        self.on_room(connection, now)

    # Time

    def _arm(self, now: float) -> None:
        """One timer for whatever comes first."""
        due = self.leases.next_tick()
        for lane in self.lanes.get(self.protocol.base_tag, []) if self.protocol.has_lanes else []:
            if lane is None or lane.state > OPEN:
                due = min(due, max(self.throttle.ready_at(), now + 0.001))
            elif lane.expires_at < due:
                due = lane.expires_at
        if self.settings.idle_timeout and len(self.lanes) > self.protocol.has_lanes:
            due = min(due, now + max(1.0, self.settings.idle_timeout / 2))
        if self.closing or due >= self._timer_at - 0.001:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = due
        self._timer = asyncio.get_running_loop().call_later(max(0.0, due - now), self._on_time)

    def _on_time(self) -> None:
        self._timer = None
        self._timer_at = inf
        if self.closing:
            return
        now = monotonic()
        self.leases.tick(now)
        self._renew_lanes(now)
        if self.settings.idle_timeout:
            self._close_idle_lanes(now, self.settings.idle_timeout)
        self._drive(now)
        self._arm(now)

    def close(self) -> None:
        """End every connection."""
        self.closing = True
        if self._timer is not None:
            self._timer.cancel()
        lanes = [lane for group in self.lanes.values() for lane in group if lane is not None]
        leases = [self._carrier(slot) for slot in [*self.leases.slots.connecting, *self.leases.slots.idle]]
        leases += [self._carrier(slot) for slot in [*self.leases.slots.leased, *self.leases.slots.cleaning]]
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


def _load(lane: Connection) -> tuple[int, int]:
    """Lanes that a slow client holds up come last, then the busier."""
    return (lane.holds, lane.in_flight)


def _nobody_asked(fault: Fault | None, now: float) -> None:
    """Until a service wants to know."""


def _nobody_waits(connection: Connection, now: float) -> None:
    """Until the exchange says who waits for room."""

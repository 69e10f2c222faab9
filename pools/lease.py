"""Who may have an exclusive connection of one endpoint, and when: events in, actions out.

The gateway reports an event by calling a method, performs what ``next_action`` yields until it yields None, and
calls ``tick`` at ``next_tick()``. Times are seconds, monotonic. Every event costs O(1), amortised; only ``resize``,
``drain`` and the end of a lifetime walk the slots. pools/slot.py has the states of slots and waiters.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable
from itertools import takewhile
from math import inf
from typing import Any, Final, final

from mypy_extensions import i64

from pools import details
from pools.settings import PoolSettings
from pools.slot import (
    CLEANING,
    CLOSED,
    CONNECTING,
    GONE,
    GRANTED,
    HOLDING,
    IDLE,
    LEASED,
    NEW,
    REFUSED,
    STATES,
    WAITING,
    Action,
    Close,
    Grant,
    Open,
    Refuse,
    Slot,
    Slots,
    Waiter,
)
from pools.throttle import Throttle
from pools.totals import Totals
from protocols.fault import DRAINING, NO_ENDPOINT, POOL_EXHAUSTED

_DRAINING: Final = "the pool is draining, it lends no more connections"


@final
class LeasePool:
    """The exclusive connections of one endpoint."""

    __slots__ = (
        "_actions", "_expiry", "_idle_timeout", "_kind", "_max", "_min_idle", "_rng", "_throttle", "_wait_timeout",
        "_waiting", "draining", "settings", "slots", "totals",
    )  # fmt: skip

    def __init__(self, settings: PoolSettings, throttle: Throttle, rng: Callable[[], float]) -> None:
        self._adopt(settings)
        self.draining: bool = False
        self._throttle: Final = throttle
        self._rng: Final = rng  # uniform in [0, 1): jitter of max_lifetime
        self._actions: Final[deque[Action]] = deque()
        self._waiting: Final[OrderedDict[Waiter, None]] = OrderedDict()  # first in, first out; any leaves in O(1)
        self._kind: i64 = 0  # that was wanted last: what is kept idle is of this kind
        self.slots: Final = Slots()
        self._expiry: float = inf  # no idle slot's lifetime ends earlier; may be too early, never too late
        self.totals: Final = Totals()

    # What sessions do.

    def acquire(self, waiter: Waiter, now: float) -> None:
        """A session wants a lease: grant, queue or refuse.

        Raises:
            ValueError: the waiter was used before.
        """
        if waiter.state != NEW:
            raise ValueError("a waiter can acquire only once")
        self.totals.acquired += 1
        waiter.number = self.totals.acquired
        self._kind = waiter.kind
        waiter.since = now
        waiter.deadline = self._deadline(now)
        slot = None if self.draining or self._waiting else self.slots.best(waiter.tag, waiter.kind)
        if slot is not None:
            self._grant(waiter, slot, now)
            if self._min_idle > 0:
                self._settle(now)
        elif self.draining:
            self._refuse(waiter, DRAINING, _DRAINING)
        elif self._full():
            self._refuse(waiter, POOL_EXHAUSTED, details.full(self.settings))
        else:
            waiter.state = WAITING
            self._waiting[waiter] = None
            self._settle(now)

    def cancel(self, waiter: Waiter, now: float) -> None:
        """The session left before it was told. A lease that was handed out ends by release, clean or lost instead."""
        if waiter.state == WAITING:
            del self._waiting[waiter]
            self.totals.cancelled += 1
            waiter.state = GONE
        elif (slot := waiter.slot) is not None and waiter.state == GRANTED:
            self.totals.cancelled += 1
            self._end_lease(slot, waiter)
            self._free(slot, now)
        elif waiter.state == REFUSED:
            waiter.state = GONE

    def release(self, slot: Slot, tag: object, now: float, kind: i64 = 0) -> None:
        """The connection is clean, its state is ``tag`` and its kind ``kind``: to the first waiter, or idle.

        Raises:
            ValueError: the slot is neither lent nor being cleaned.
        """
        if slot.state == CLOSED:
            return  # lost meanwhile
        if slot.state != CLEANING:
            self._end_use(slot, now)
        slot.tag = tag
        slot.kind = kind
        self._free(slot, now)

    def clean(self, slot: Slot, now: float) -> None:
        """The session gave the connection up in a state that must be undone; ``release`` or ``lost`` follows.

        Raises:
            ValueError: the slot is not lent.
        """
        if slot.state == CLOSED:
            return  # lost meanwhile
        self._end_use(slot, now)
        if self._is_spent(slot, now):
            self._close(slot, now)
            self._settle(now)
        else:
            self.slots.move(slot, CLEANING, now)

    # What connections do.

    def opened(self, slot: Slot, tag: object, now: float) -> None:
        """The connection is open and logged in; its state is ``tag``."""
        if slot.state != CONNECTING:
            return  # closed meanwhile
        self.totals.opened += 1
        self.totals.create_time.record(now - slot.born, 1)
        self._throttle.succeeded()
        slot.tag = tag
        slot.expires_at = slot.born + self.settings.lifetime(self._rng())
        self._free(slot, now)

    def open_failed(self, slot: Slot, detail: str, now: float) -> None:
        """No connection came of it, ``detail`` says why. If no other can serve those who wait, they are refused."""
        if slot.state != CONNECTING:
            return  # closed meanwhile
        self.totals.failed += 1
        self._throttle.failed(slot.born, detail, now)
        self.slots.move(slot, CLOSED, now)
        if self.size() == 0:
            self._refuse_all(NO_ENDPOINT, details.down(self.settings, self._throttle))
        self._settle(now)

    def lost(self, slot: Slot, now: float) -> None:
        """The connection ended: by the upstream, by the network, or because the gateway gave it up."""
        if slot.state == CLOSED:
            return
        if slot.state == CONNECTING:
            self.open_failed(slot, "the connection ended before it was ready", now)
            return
        self.totals.lost += 1
        waiter = slot.waiter
        if waiter is not None and waiter.state == GRANTED:
            self._end_lease(slot, waiter)
            self._requeue(waiter)
        elif slot.state == LEASED:
            self._end_use(slot, now)
        self.slots.move(slot, CLOSED, now)
        self._settle(now)

    # What time and operators do.

    def next_action(self) -> Action | None:
        """The next action to perform, None when all are done. What was overtaken by a cancel or a loss is skipped."""
        while self._actions:
            action = self._actions.popleft()
            if isinstance(action, Grant):
                if action.waiter.slot is not action.slot:
                    continue
                action.waiter.state = HOLDING
                self.totals.granted += 1
                self.totals.wait_time.record(action.slot.since - action.waiter.since, 1)
            elif isinstance(action, Refuse) and action.waiter.state != REFUSED:
                continue
            return action
        return None

    def tick(self, now: float) -> None:
        """Time passed: refuse who waited too long, close what is too old, open what is due."""
        self._refuse_overdue(now)
        if self._expiry <= now:
            for slot in [slot for slot in self.slots.idle.members() if slot.expires_at <= now]:
                self._close(slot, now)
            self._expiry = min([slot.expires_at for slot in self.slots.idle.members()], default=inf)
        while self._idle_end() <= now:
            self._close_oldest(now)
        self._settle(now)

    def next_tick(self) -> float:
        """When ``tick`` has something to do at the earliest; inf: nothing to wait for."""
        due = min(self._expiry, self._idle_end())
        if self._waiting:
            due = min(due, next(iter(self._waiting)).deadline)
        if self.missing() > 0 or self._is_misfit():
            due = min(due, self._throttle.ready_at())
        return due

    def warm(self, now: float) -> None:
        """Open up to min_idle. From then on the pool keeps as many idle by itself."""
        self._settle(now)

    def resize(self, settings: PoolSettings, now: float) -> None:
        """Take on changed settings. Beyond the maximum, idle slots close now and others when they are given back.

        The throttle is shared: whoever owns it resizes it.
        """
        self._adopt(settings)
        for waiter in self._waiting:
            waiter.deadline = self._deadline(waiter.since)
        for slots in (self.slots.idle, self.slots.leased, self.slots.cleaning):
            for slot in slots.members():
                slot.expires_at = slot.born + self.settings.lifetime(self._rng())
        self._expiry = min([slot.expires_at for slot in self.slots.idle.members()], default=inf)
        while self.slots.idle.count > 0 and self.size() > settings.max_connections:
            self._close_oldest(now)
        self.tick(now)

    def drain(self, now: float) -> None:
        """Refuse who waits and who comes, close what is not lent now and the rest when given back: to ``size()`` 0."""
        self.draining = True
        self._refuse_all(DRAINING, _DRAINING)
        for slots in (self.slots.connecting, self.slots.idle, self.slots.cleaning):
            for slot in slots.members():
                self._close(slot, now)
        self._expiry = inf

    def size(self) -> i64:
        """Slots in all states but CLOSED."""
        return self.slots.size()

    def waiting(self) -> int:
        """Sessions in the queue."""
        return len(self._waiting)

    def stats(self) -> dict[str, Any]:
        """Live state and totals for ``/stats``: plain JSON values, times in seconds."""
        counts: dict[str, Any] = {**self.slots.counts()}
        counts |= {"waiting": self.waiting(), "max": self._max, "draining": self.draining}
        return counts | self.totals.stats()

    # Inside.

    def _adopt(self, settings: PoolSettings) -> None:
        self.settings: PoolSettings = settings
        self._idle_timeout: float = settings.idle_timeout  # these are asked for per call: not by way of a dict
        self._wait_timeout: float = settings.wait_timeout
        self._min_idle: i64 = settings.min_idle
        self._max: i64 = settings.max_connections

    def _settle(self, now: float) -> None:
        """What every event ends with: serve who waits, open what is missing, leave nobody hanging."""
        while self._waiting and self.slots.idle.count > 0:
            waiter = next(iter(self._waiting))
            slot = self.slots.best(waiter.tag, waiter.kind)
            if slot is None:
                self._make_room(now)
                break
            del self._waiting[waiter]
            self._grant(waiter, slot, now)
        missing = self.missing()
        while missing > 0 and self._throttle.ready_at() <= now:
            missing -= 1
            self._open(now)
        if self._waiting and self.size() == 0 and self._throttle.backing_off(now):
            self._refuse_all(NO_ENDPOINT, details.down(self.settings, self._throttle))

    def _is_misfit(self) -> bool:
        """The first waiter waits although something is idle: that is of another kind, and none of its own is coming."""
        if not self._waiting or self.slots.idle.count == 0:
            return False
        return not self.slots.is_connecting(next(iter(self._waiting)).kind)

    def _make_room(self, now: float) -> None:
        """Nothing idle is of the first waiter's kind: open one that is, in the place of the oldest idle one."""
        if not self._is_misfit() or self._throttle.ready_at() > now:
            return
        if self.size() >= self._max:
            self._close_oldest(now)
        self._open(now)

    def missing(self) -> i64:
        """How many connects should start: one for each waiter and for min_idle, less those under way."""
        if self.draining:
            return 0
        wanted = len(self._waiting) + self._min_idle - self.slots.idle.count - self.slots.connecting.count
        return min(wanted, self._max - self.size())

    def _open(self, now: float) -> None:
        self._throttle.take(now)
        first = next(iter(self._waiting), None)
        slot = self.slots.new(first.tag if first else None, first.kind if first else self._kind, now)
        self._actions.append(Open(slot))

    def _grant(self, waiter: Waiter, slot: Slot, now: float) -> None:
        self.slots.move(slot, LEASED, now)
        slot.uses += 1
        slot.waiter = waiter
        waiter.slot = slot
        waiter.state = GRANTED
        self._actions.append(Grant(waiter, slot))

    def _end_use(self, slot: Slot, now: float) -> None:
        """The holder gave the slot back or lost it."""
        waiter = slot.waiter
        if waiter is None or waiter.state != HOLDING:
            raise ValueError(f"slot {slot.number} is {STATES[slot.state]} and nobody holds it")
        self.totals.use_time.record(now - slot.since, 1)
        self._end_lease(slot, waiter)

    def _end_lease(self, slot: Slot, waiter: Waiter) -> None:
        slot.waiter = None
        waiter.slot = None
        waiter.state = GONE

    def _requeue(self, waiter: Waiter) -> None:
        """The slot was lost before the waiter was told: back to its place in the queue, ahead of who came later."""
        if self.draining:
            self._refuse(waiter, DRAINING, _DRAINING)
            return
        waiter.state = WAITING
        earlier = list(takewhile(lambda other: other.number < waiter.number, self._waiting))
        self._waiting[waiter] = None
        for other in (waiter, *reversed(earlier)):
            self._waiting.move_to_end(other, last=False)

    def _free(self, slot: Slot, now: float) -> None:
        """Nobody has the slot now: idle, so to the first waiter; or closed, if it served its time."""
        self.slots.move(slot, IDLE, now)
        if self._is_spent(slot, now):
            self._close(slot, now)
        else:
            self._expiry = min(self._expiry, slot.expires_at)
        self._settle(now)

    def _is_spent(self, slot: Slot, now: float) -> bool:
        return self.draining or slot.expires_at <= now or self.size() > self._max

    def _close(self, slot: Slot, now: float) -> None:
        if slot.state != CONNECTING:
            self.totals.closed += 1
        self.slots.move(slot, CLOSED, now)
        self._actions.append(Close(slot))

    def _close_oldest(self, now: float) -> None:
        oldest = self.slots.idle.oldest
        if oldest is not None:
            self._close(oldest.member, now)

    def _idle_end(self) -> float:
        """When the slot that is idle for the longest time becomes one too many."""
        oldest = self.slots.idle.oldest
        if oldest is None or self._idle_timeout == 0.0 or self.slots.idle.count <= self._min_idle:
            return inf
        return oldest.member.since + self._idle_timeout

    def _deadline(self, since: float) -> float:
        return since + self._wait_timeout if self._wait_timeout > 0.0 else inf

    def _full(self) -> bool:
        """The queue is full. A waiter for whom a connection is free or may be opened is never one too many."""
        waiting = len(self._waiting)
        lent = self.slots.leased.count + self.slots.cleaning.count
        return waiting >= self.settings.max_waiting and lent + waiting >= self._max

    def _refuse(self, waiter: Waiter, reason: str, detail: str) -> None:
        waiter.state = REFUSED
        self.totals.refused[reason] += 1
        self._actions.append(Refuse(waiter, reason, detail))

    def _refuse_all(self, reason: str, detail: str) -> None:
        while self._waiting:
            self._refuse(self._waiting.popitem(last=False)[0], reason, detail)

    def _refuse_overdue(self, now: float) -> None:
        while self._waiting and next(iter(self._waiting)).deadline <= now:
            self.totals.wait_timeouts += 1
            detail = details.overdue(self.settings, self._throttle, self.slots)
            self._refuse(self._waiting.popitem(last=False)[0], POOL_EXHAUSTED, detail)

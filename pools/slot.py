"""The words of a lease pool: Slot, Slots, Waiter, and the actions Open, Grant, Close, Refuse.

A slot is one connection's place in the pool; its state is the one list that holds it:

    state       is                                     goes to
    CONNECTING  Open was issued; bound to no waiter    IDLE by opened; CLOSED by open_failed, lost, drain
    IDLE        nobody's; then nobody waits            LEASED by a grant; CLOSED by tick, resize, drain, lost
    LEASED      lent to exactly one waiter             IDLE by release; CLEANING by clean; CLOSED by either, or lost
    CLEANING    given back, its state being undone     IDLE by release; CLOSED by release, drain, lost
    CLOSED      in no list, counted no more            nothing: late events about it are ignored

A waiter is a session that wants a lease. Grants and refusals take effect when ``next_action`` hands them out:

    state       is                                     goes to
    NEW         not known to the pool                  WAITING, GRANTED or REFUSED by acquire
    WAITING     in the queue                           GRANTED; REFUSED; GONE by cancel
    GRANTED     has a slot, was not told yet           HOLDING by next_action; WAITING by lost; GONE by cancel
    HOLDING     the lease is in use                    GONE by release, clean, lost
    REFUSED     will be told, or was                   GONE by cancel
    GONE        done with                              nothing
"""

from __future__ import annotations

from math import inf
from typing import Any, Final, TypeAlias, final

from mypy_extensions import i64

from pools.ring import Link, Ring

# States of a slot.
CONNECTING: Final = 0
IDLE: Final = 1
LEASED: Final = 2
CLEANING: Final = 3
CLOSED: Final = 4
STATES: Final = ("connecting", "idle", "leased", "cleaning", "closed")

_SPARE_GROUPS: Final = 16  # tags without an idle slot that are remembered all the same

# States of a waiter.
NEW: Final = 0
WAITING: Final = 1
GRANTED: Final = 2
HOLDING: Final = 3
REFUSED: Final = 4
GONE: Final = 5


@final
class Slot:
    """One connection's place in a pool. ``carrier`` is the gateway's; the rest is for it to read."""

    __slots__ = (
        "born", "carrier", "expires_at", "fit", "kind", "number", "place", "since", "state", "tag", "uses", "waiter",
    )  # fmt: skip

    def __init__(self, number: i64, tag: object, kind: i64, now: float) -> None:
        self.number: Final[i64] = number
        self.tag: object = tag  # the connection state it has, hashable; while CONNECTING: what would fit best
        self.kind: i64 = kind  # what no command can change of it: it serves waiters of this kind only
        self.state: i64 = CLOSED
        self.born: float = now  # when connecting began
        self.since: float = now  # when it entered its state
        self.expires_at: float = inf
        self.uses: i64 = 0  # leases so far
        self.waiter: Waiter | None = None  # who has it, while LEASED
        self.carrier: Any = None
        self.place: Final[Link[Slot]] = Link(self)  # in the list of its state
        self.fit: Final[Link[Slot]] = Link(self)  # among the idle ones with its tag


@final
class Slots:
    """The slots of a pool, each on the list of its state."""

    __slots__ = ("_fitting", "_lists", "_made", "cleaning", "connecting", "idle", "leased")

    def __init__(self) -> None:
        self.connecting: Final[Ring[Slot]] = Ring()
        self.idle: Final[Ring[Slot]] = Ring()  # last in, first out: so that those not needed age
        self.leased: Final[Ring[Slot]] = Ring()
        self.cleaning: Final[Ring[Slot]] = Ring()
        self._lists: Final = [self.connecting, self.idle, self.leased, self.cleaning]  # by state
        self._fitting: Final[dict[object, Ring[Slot]]] = {}  # the idle ones by tag, in the same order
        self._made: i64 = 0

    def new(self, tag: object, kind: i64, now: float) -> Slot:
        """A fresh slot, CONNECTING."""
        self._made += 1
        slot = Slot(self._made, tag, kind, now)
        self.move(slot, CONNECTING, now)
        return slot

    def move(self, slot: Slot, state: i64, now: float) -> None:
        """Take the slot off its list and put it on another: the only place where a slot's state changes."""
        ring = slot.place.ring
        if ring is not None:
            ring.remove(slot.place)
        if slot.fit.ring is not None:
            slot.fit.ring.remove(slot.fit)
        slot.state = state
        slot.since = now
        if state != CLOSED:
            self._lists[state].add(slot.place)
        if state == IDLE:
            self._group(slot.tag).add(slot.fit)

    def _group(self, tag: object) -> Ring[Slot]:
        group = self._fitting.get(tag)
        if group is None:
            if len(self._fitting) > 2 * self.idle.count + _SPARE_GROUPS:
                for other in [other for other, ring in self._fitting.items() if ring.count == 0]:
                    del self._fitting[other]
            group = self._fitting[tag] = Ring()
        return group

    def best(self, tag: object, kind: i64) -> Slot | None:
        """The newest idle slot that has the tag (and so is of its kind), else the newest of the kind, if any."""
        group = self._fitting.get(tag)
        if group is not None and group.newest is not None:
            return group.newest.member
        link = self.idle.newest
        while link is not None and link.member.kind != kind:
            link = link.older
        return None if link is None else link.member

    def is_connecting(self, kind: i64) -> bool:
        """One of this kind is on its way."""
        return any(slot.kind == kind for slot in self.connecting.members())

    def size(self) -> i64:
        """Slots in all states but CLOSED."""
        return self.connecting.count + self.idle.count + self.leased.count + self.cleaning.count

    def counts(self) -> dict[str, int]:
        """Slots by the name of their state."""
        return {STATES[i]: slots.count for i, slots in enumerate(self._lists)}


@final
class Waiter:
    """One session's wish for a lease, used once; then the handle of the lease: ``slot`` is None when it is over."""

    __slots__ = ("carrier", "deadline", "kind", "number", "since", "slot", "state", "tag")

    def __init__(self, tag: object, carrier: Any, kind: i64 = 0) -> None:
        self.tag: object = tag  # the connection state wanted, hashable
        self.kind: i64 = kind  # the kind of connection that can be brought to it
        self.carrier: Any = carrier
        self.state: i64 = NEW
        self.number: int = 0  # order of arrival
        self.since: float = 0.0
        self.deadline: float = inf  # since + wait_timeout
        self.slot: Slot | None = None


@final
class Open:
    """Connect, in the slot's kind; then ``opened`` or ``open_failed``. ``slot.tag`` is what the first waiter wants."""

    __slots__ = ("slot",)

    def __init__(self, slot: Slot) -> None:
        self.slot: Final = slot


@final
class Grant:
    """The slot is the waiter's; ``slot.tag`` may differ from ``waiter.tag``."""

    __slots__ = ("slot", "waiter")

    def __init__(self, waiter: Waiter, slot: Slot) -> None:
        self.waiter: Final = waiter
        self.slot: Final = slot


@final
class Close:
    """Close the connection or abort the connect, unless it ended by itself. The pool has forgotten it already."""

    __slots__ = ("slot",)

    def __init__(self, slot: Slot) -> None:
        self.slot: Final = slot


@final
class Refuse:
    """The waiter gets none: a reason of protocols/fault.py, and a detail that names the setting."""

    __slots__ = ("detail", "reason", "waiter")

    def __init__(self, waiter: Waiter, reason: str, detail: str) -> None:
        self.waiter: Final = waiter
        self.reason: Final = reason
        self.detail: Final = detail


Action: TypeAlias = Open | Grant | Close | Refuse

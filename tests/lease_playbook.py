"""A lease pool as a playbook: an event is given, the actions are expected, line by line."""

from __future__ import annotations

from typing import Any

from pools.lease import LeasePool
from pools.settings import PoolSettings
from pools.slot import STATES, Grant, Open, Refuse, Slot, Waiter
from pools.throttle import Throttle


class Playbook:
    """A pool whose events are given by names (waiters) and numbers (slots), and whose actions read as words."""

    def __init__(self, jitter: float = 1.0, **settings: Any) -> None:
        self.now = 100.0
        self.throttle = Throttle(PoolSettings(**settings), lambda: 1.0)
        self.pool = LeasePool(PoolSettings(**settings), self.throttle, lambda: jitter)
        self.waiters: dict[str, Waiter] = {}
        self.slots: dict[int, Slot] = {}
        self.detail = ""

    def actions(self) -> list[str]:
        words = []
        while (action := self.pool.next_action()) is not None:
            if isinstance(action, Refuse):
                words.append(f"refuse {action.waiter.carrier}: {action.reason}")
                self.detail = action.detail
                continue
            self.slots[action.slot.number] = action.slot
            if isinstance(action, Grant):
                words.append(f"grant {action.slot.number} to {action.waiter.carrier}")
            else:
                words.append(f"{'open' if isinstance(action, Open) else 'close'} {action.slot.number}")
        return words

    def acquires(self, name: str, tag: object = 0) -> list[str]:
        self.acquires_unheard(name, tag)
        return self.actions()

    def acquires_unheard(self, name: str, tag: object = 0) -> None:
        """The actions stay where they are until the next event's."""
        self.waiters[name] = Waiter(tag, name)
        self.pool.acquire(self.waiters[name], self.now)

    def lends(self, count: int) -> None:
        """Connections 1 to ``count`` open and are lent."""
        for i in range(count):
            self.acquires(f"holder {i + 1}")
        for i in range(count):
            self.opened(i + 1)

    def leaves(self, name: str) -> list[str]:
        self.pool.cancel(self.waiters[name], self.now)
        return self.actions()

    def opened(self, number: int, tag: object = 0) -> list[str]:
        self.pool.opened(self.slots[number], tag, self.now)
        return self.actions()

    def fails(self, number: int) -> list[str]:
        self.pool.open_failed(self.slots[number], "connection refused", self.now)
        return self.actions()

    def released(self, number: int, tag: object = 0) -> list[str]:
        self.pool.release(self.slots[number], tag, self.now)
        return self.actions()

    def cleaned(self, number: int) -> list[str]:
        self.pool.clean(self.slots[number], self.now)
        return self.actions()

    def lost(self, number: int) -> list[str]:
        self.pool.lost(self.slots[number], self.now)
        return self.actions()

    def passes(self, seconds: float) -> list[str]:
        """Time passes, with a tick whenever the pool wants one."""
        until, words = self.now + seconds, []
        while (due := self.pool.next_tick()) <= until:
            self.now = max(self.now, due)
            self.pool.tick(self.now)
            words += self.actions()
        self.now = until
        return words

    def resized(self, **settings: Any) -> list[str]:
        self.pool.resize(PoolSettings(**settings), self.now)
        return self.actions()

    def drains(self) -> list[str]:
        self.pool.drain(self.now)
        return self.actions()

    def warms(self) -> list[str]:
        self.pool.warm(self.now)
        return self.actions()

    def has(self, **counts: int) -> bool:
        stats = self.pool.stats()
        return {name: stats[name] for name in (*STATES[:4], "waiting") if stats[name]} == counts

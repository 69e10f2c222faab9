"""Whatever happens in whatever order: one owner per slot, no waiter lost, limits held, totals balance."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from random import Random

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pools.lease import LeasePool
from pools.settings import PoolSettings
from pools.slot import CLEANING, CONNECTING, IDLE, LEASED, Action, Close, Open, Refuse, Slot, Waiter
from pools.throttle import Throttle

INDEX = st.integers(0, 7)  # which one of those there are, round and round
TAGS = st.sampled_from(["db0", "db1"])


class Gateway:
    """Performs the actions of a pool, and checks each of them against its own books."""

    def __init__(self, settings: PoolSettings, seed: int) -> None:
        self.now = 100.0
        self.throttle = Throttle(settings, Random(seed).random)
        self.pool = LeasePool(settings, self.throttle, Random(seed + 1).random)
        self.most = settings.max_connections  # open at once
        self.queue: list[Waiter] = []  # who was told nothing yet, by arrival
        self.overtaken: set[Waiter] = set()  # their slot was lost before they were told: others may be told first
        self.connecting: list[Slot] = []
        self.open: list[Slot] = []
        self.closed: list[Slot] = []
        self.held: dict[Slot, Waiter] = {}

    # Events.

    def acquire(self, tag: object) -> Waiter:
        waiter = Waiter(tag, None)
        self.queue.append(waiter)
        self.pool.acquire(waiter, self.now)
        return waiter

    def cancel(self, waiter: Waiter) -> None:
        if waiter in self.queue:
            self.queue.remove(waiter)
        self.pool.cancel(waiter, self.now)

    def opened(self, slot: Slot, tag: object) -> None:
        self.connecting.remove(slot)
        self.open.append(slot)
        self.pool.opened(slot, tag, self.now)

    def open_failed(self, slot: Slot) -> None:
        self.connecting.remove(slot)
        self.closed.append(slot)
        self.pool.open_failed(slot, "refused", self.now)

    def release(self, slot: Slot, tag: object) -> None:
        self.held.pop(slot, None)
        self.pool.release(slot, tag, self.now)

    def clean(self, slot: Slot) -> None:
        del self.held[slot]
        self.pool.clean(slot, self.now)

    def lost(self, slot: Slot) -> None:
        if slot.waiter is not None and slot not in self.held:
            self.overtaken.add(slot.waiter)
        self.held.pop(slot, None)
        self.open.remove(slot)
        self.closed.append(slot)
        self.pool.lost(slot, self.now)

    def passes(self, seconds: float) -> None:
        self.now += seconds
        self.pool.tick(self.now)
        assert self.pool.next_tick() > self.now  # no busy loop

    def resize(self, settings: PoolSettings) -> None:
        self.throttle.resize(settings)
        self.pool.resize(settings, self.now)
        self.most = max(settings.max_connections, self.pool.size())

    # Actions.

    def perform(self) -> None:
        while (action := self.pool.next_action()) is not None:
            self.perform_one(action)

    def perform_one(self, action: Action) -> None:
        if isinstance(action, Open):
            assert action.slot not in self.connecting + self.open + self.closed
            self.connecting.append(action.slot)
        elif isinstance(action, Close):
            assert action.slot not in self.held
            for slots in (self.connecting, self.open):
                if action.slot in slots:  # else it ended by itself before
                    slots.remove(action.slot)
                    self.closed.append(action.slot)
        elif isinstance(action, Refuse):
            self.queue.remove(action.waiter)
        else:
            self.perform_grant(action.waiter, action.slot)

    def perform_grant(self, waiter: Waiter, slot: Slot) -> None:
        assert slot in self.open
        assert slot not in self.held
        assert waiter.slot is slot
        assert waiter in self.overtaken or waiter is next(each for each in self.queue if each not in self.overtaken)
        self.queue.remove(waiter)
        self.held[slot] = waiter

    # What always holds.

    def check(self) -> None:
        slots, pool = self.pool.slots, self.pool
        lists = {CONNECTING: slots.connecting, IDLE: slots.idle, LEASED: slots.leased, CLEANING: slots.cleaning}
        for state, members in lists.items():
            assert all(slot.state == state for slot in members)
        assert set(self.held) <= set(slots.leased)
        assert not (slots.idle and pool.waiting())
        assert pool.size() <= self.most
        self.check_totals()
        self.check_enough_open()

    def check_totals(self) -> None:
        totals, slots = self.pool.totals, self.pool.slots
        told = totals.granted + totals.cancelled + sum(totals.refused.values())
        granted_unheard = len(slots.leased) - len(self.held)
        assert totals.acquired == told + self.pool.waiting() + granted_unheard
        assert totals.opened == totals.closed + totals.lost + len(slots.idle) + len(slots.leased) + len(slots.cleaning)
        assert totals.wait_time.count() == totals.granted
        assert totals.use_time.count() == totals.granted - len(self.held)
        assert totals.create_time.count() == totals.opened

    def check_enough_open(self) -> None:
        """A connect is under way for everyone who waits, and for min_idle, unless a limit is in the way."""
        slots, limits = self.pool.slots, self.pool.settings
        wanted = self.pool.waiting() + limits.min_idle
        room = limits.max_connections - len(slots.leased) - len(slots.cleaning)
        enough = len(slots.idle) + len(slots.connecting) >= min(wanted, room)
        assert enough or self.pool.draining or self.throttle.ready_at() > self.now

    def finish(self) -> None:
        """Everybody gives back what they have; then nothing is left, and everybody was told."""
        self.pool.drain(self.now)
        self.perform()
        for slot in list(self.held):
            self.release(slot, "db0")
        self.perform()
        self.check()
        assert self.queue == []
        assert self.open == []
        assert self.connecting == []
        assert self.pool.size() == 0
        assert self.pool.next_tick() == float("inf")


class LeaseMachine(RuleBasedStateMachine):
    """Events in any order; the actions are performed at the end of a turn that may see several events."""

    @initialize(
        seed=st.integers(0, 3), most=st.integers(1, 4), warm=st.integers(0, 2), queue=st.integers(0, 3),
        rate=st.sampled_from([None, 4.0]),
    )  # fmt: skip
    def start(self, seed: int, most: int, warm: int, queue: int, rate: float | None) -> None:
        self.gateway = Gateway(
            PoolSettings(
                max_connections=most, min_idle=warm, max_waiting=queue, connect_rate=rate, idle_timeout=3.0,
                max_lifetime=20.0, lifetime_jitter=0.5, backoff_base=0.25,
            ),
            seed,
        )  # fmt: skip
        self.gateway.pool.warm(self.gateway.now)
        self.waiters: list[Waiter] = []

    @rule(tag=TAGS)
    def acquire(self, tag: str) -> None:
        self.waiters.append(self.gateway.acquire(tag))

    @precondition(lambda self: self.waiters)
    @rule(index=INDEX)
    def cancel(self, index: int) -> None:
        self.gateway.cancel(self.waiters[-1 - index % len(self.waiters)])

    @precondition(lambda self: self.gateway.connecting)
    @rule(index=INDEX, tag=TAGS)
    def opened(self, index: int, tag: str) -> None:
        self.gateway.opened(self.gateway.connecting[index % len(self.gateway.connecting)], tag)

    @precondition(lambda self: self.gateway.connecting)
    @rule(index=INDEX)
    def open_failed(self, index: int) -> None:
        self.gateway.open_failed(self.gateway.connecting[index % len(self.gateway.connecting)])

    @precondition(lambda self: self.gateway.held)
    @rule(index=INDEX, tag=TAGS)
    def release(self, index: int, tag: str) -> None:
        self.gateway.release(list(self.gateway.held)[index % len(self.gateway.held)], tag)

    @precondition(lambda self: self.gateway.held)
    @rule(index=INDEX)
    def clean(self, index: int) -> None:
        self.gateway.clean(list(self.gateway.held)[index % len(self.gateway.held)])

    @precondition(lambda self: self.gateway.pool.slots.cleaning)
    @rule(tag=TAGS)
    def cleaned(self, tag: str) -> None:
        self.gateway.release(next(iter(self.gateway.pool.slots.cleaning)), tag)

    @precondition(lambda self: self.gateway.open)
    @rule(index=INDEX)
    def lost(self, index: int) -> None:
        self.gateway.lost(self.gateway.open[index % len(self.gateway.open)])

    @precondition(lambda self: self.gateway.closed)
    @rule(index=INDEX)
    def late_events(self, index: int) -> None:
        pool, now = self.gateway.pool, self.gateway.now
        slot = self.gateway.closed[index % len(self.gateway.closed)]
        before = pool.stats()
        pool.opened(slot, "db0", now)
        pool.open_failed(slot, "late", now)
        pool.lost(slot, now)
        pool.release(slot, "db0", now)
        pool.clean(slot, now)
        assert pool.stats() == before

    @precondition(lambda self: self.gateway.pool.slots.idle)
    @rule()
    def bug(self) -> None:
        before = self.gateway.pool.stats()
        slot = next(iter(self.gateway.pool.slots.idle))
        with pytest.raises(ValueError, match="nobody holds it"):
            self.gateway.pool.release(slot, "db0", self.gateway.now)
        assert self.gateway.pool.stats() == before

    @rule(seconds=st.sampled_from([0.0, 0.1, 0.5, 2.0, 10.0]))
    def passes(self, seconds: float) -> None:
        self.gateway.passes(seconds)

    @rule(most=st.integers(1, 4), queue=st.integers(0, 3))
    def resize(self, most: int, queue: int) -> None:
        self.gateway.resize(replace(self.gateway.pool.settings, max_connections=most, max_waiting=queue))

    @rule()
    def turn_ends(self) -> None:
        self.gateway.perform()
        assert self.gateway.pool.waiting() == len(self.gateway.queue)

    @invariant()
    def holds(self) -> None:
        self.gateway.check()

    def teardown(self) -> None:
        if hasattr(self, "gateway"):
            self.gateway.finish()


LeaseMachine.TestCase.settings = hypothesis_settings(
    max_examples=100,
    stateful_step_count=40,
    derandomize=True,
    deadline=None,
    database=None,
    report_multiple_bugs=False,
)
TestLeases = LeaseMachine.TestCase


# The sweep: one busy scenario, disturbed at each of its steps in each of these ways.


def scenario(gateway: Gateway, waiters: list[Waiter]) -> Iterator[None]:
    """Three connections, five sessions; yields after each event, before the actions are performed."""

    def acquire(tag: str) -> None:
        waiters.append(gateway.acquire(tag))

    def first(slots: list[Slot]) -> Iterator[Slot]:
        return iter(slots[:1])  # none, if a disturbance took it

    for tag in ("db0", "db1", "db0", "db0", "db1"):
        acquire(tag)
        yield
    for _ in range(3):
        for slot in first(gateway.connecting):
            gateway.opened(slot, "db0")
        yield
    for slot in first(list(gateway.held)):
        gateway.release(slot, "db1")
    yield
    for slot in first(list(gateway.held)):
        gateway.clean(slot)
    yield
    for slot in first(list(gateway.pool.slots.cleaning)):
        gateway.release(slot, "db0")
    yield
    for _ in range(3):
        for slot in first(list(gateway.held)):
            gateway.release(slot, "db0")
        yield
    acquire("db1")
    yield
    gateway.passes(0.5)
    yield


def cancel(index: int) -> Callable[[Gateway, list[Waiter]], None]:
    def disturb(gateway: Gateway, waiters: list[Waiter]) -> None:
        for waiter in waiters[index : index + 1]:
            gateway.cancel(waiter)

    return disturb


def lose(index: int) -> Callable[[Gateway, list[Waiter]], None]:
    def disturb(gateway: Gateway, waiters: list[Waiter]) -> None:
        for slot in gateway.open[index : index + 1]:
            gateway.lost(slot)

    return disturb


def fail(index: int) -> Callable[[Gateway, list[Waiter]], None]:
    def disturb(gateway: Gateway, waiters: list[Waiter]) -> None:
        for slot in gateway.connecting[index : index + 1]:
            gateway.open_failed(slot)

    return disturb


def drain(gateway: Gateway, waiters: list[Waiter]) -> None:
    gateway.pool.drain(gateway.now)


STEPS = 16
DISTURBANCES = {f"{word.__name__}-{i}": word(i) for word in (cancel, lose, fail) for i in range(6)} | {"drain": drain}


@pytest.mark.parametrize("told", [False, True], ids=["same-turn", "next-turn"])
@pytest.mark.parametrize("word", DISTURBANCES)
def test_sweep(word: str, told: bool) -> None:
    for at in range(STEPS):
        gateway = Gateway(PoolSettings(max_connections=3, backoff_base=0.1), seed=at)
        waiters: list[Waiter] = []
        steps = 0
        for step, _ in enumerate(scenario(gateway, waiters)):
            steps += 1
            if told:
                gateway.perform()
            if step == at:
                DISTURBANCES[word](gateway, waiters)
                DISTURBANCES[word](gateway, [])
            gateway.perform()
            gateway.check()
        assert steps == STEPS
        gateway.finish()

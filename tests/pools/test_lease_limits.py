"""Rates, ages, live changes, draining, numbers. Playbooks as in test_lease.py."""

from lease_playbook import Playbook


def test_connects_keep_to_connect_rate() -> None:
    book = Playbook(connect_rate=2.0, wait_timeout=0.75)
    assert book.acquires("ann") == ["open 1"]
    assert book.acquires("bob") == ["open 2"]
    assert book.acquires("cid") == []
    assert book.passes(0.5) == ["open 3"]
    for number in (1, 2, 3):
        book.opened(number)
    assert book.has(leased=3)
    assert book.acquires("dan") == []
    book.throttle.take(book.now + 0.5)  # a lane was faster
    assert book.passes(0.75) == ["refuse dan: pool_exhausted"]
    assert book.detail == "no free connection within wait_timeout 750ms (connect_rate 2/s)"


def test_idle_connections_age_out_down_to_min_idle() -> None:
    book = Playbook(idle_timeout=60.0, min_idle=1, max_connections=3)
    assert book.warms() == ["open 1"]
    assert book.opened(1) == []
    assert book.acquires("ann") == ["grant 1 to ann", "open 2"]  # one is kept idle
    assert book.opened(2) == []
    book.now += 10
    assert book.released(1) == []
    assert book.passes(49.0) == []
    assert book.passes(1.0) == ["close 2"]
    assert book.passes(1000.0) == []
    assert book.lost(1) == ["open 3"]


def test_an_idle_connection_ends_at_its_lifetime_and_a_lent_one_when_given_back() -> None:
    book = Playbook(max_lifetime=100.0, lifetime_jitter=0.25, idle_timeout=0.0, min_idle=1)
    assert book.warms() == ["open 1"]
    book.opened(1)
    assert book.passes(74.0) == []
    assert book.acquires("ann") == ["grant 1 to ann", "open 2"]
    book.opened(2)
    assert book.passes(1.0) == []
    assert book.released(1) == ["close 1"]
    assert book.passes(74.0) == ["close 2", "open 3"]


def test_a_lent_connection_past_its_lifetime_is_not_cleaned_first() -> None:
    book = Playbook(max_lifetime=100.0)
    book.lends(1)
    book.now += 100
    assert book.cleaned(1) == ["close 1"]


def test_shrinking_closes_idle_ones_now_and_lent_ones_when_given_back() -> None:
    book = Playbook(max_connections=4)
    book.lends(3)
    assert book.acquires("ann") == ["open 4"]
    book.leaves("ann")
    book.released(1)
    assert book.resized(max_connections=1) == ["close 1"]
    assert book.opened(4) == ["close 4"]
    assert book.pool.stats()["closed"] == 2
    assert book.released(2) == ["close 2"]
    assert book.acquires("eve") == []
    assert book.released(3) == ["grant 3 to eve"]


def test_growing_opens_for_those_who_wait() -> None:
    book = Playbook(max_connections=1)
    for name in ("ann", "bob", "cid"):
        book.acquires(name)
    assert book.resized(max_connections=2) == ["open 2"]


def test_changed_times_hold_for_those_who_wait_and_for_open_connections() -> None:
    book = Playbook(max_connections=2, wait_timeout=10.0, max_lifetime=0.0)
    book.lends(2)
    book.acquires("ann")
    assert book.passes(1.0) == []
    assert book.resized(max_connections=2, wait_timeout=0.5, max_lifetime=20.0) == ["refuse ann: pool_exhausted"]
    assert book.slots[1].expires_at == 118.0


def test_draining() -> None:
    book = Playbook(max_connections=4, min_idle=1)
    book.lends(3)  # and 4 is connecting, because of min_idle
    book.cleaned(2)
    book.released(3)
    book.acquires_unheard("dan")  # granted before the drain, told after it
    assert book.drains() == ["grant 3 to dan", "close 4", "close 2"]
    assert book.acquires("eve") == ["refuse eve: draining"]
    assert book.released(1) == ["close 1"]
    assert book.cleaned(3) == ["close 3"]
    assert book.drains() == []
    assert book.pool.size() == 0
    assert book.pool.next_tick() == float("inf")


def test_draining_refuses_those_who_wait() -> None:
    book = Playbook(max_connections=1)
    book.acquires("ann")
    book.acquires("bob")
    assert book.drains() == ["refuse ann: draining", "refuse bob: draining", "close 1"]
    assert book.opened(1) == []  # it was closed already
    assert book.fails(1) == []
    assert book.has()


def test_a_connection_lost_after_the_drain_and_before_its_waiter_is_told() -> None:
    book = Playbook()
    book.lends(1)
    book.released(1)
    book.acquires_unheard("bob")
    book.pool.drain(book.now)
    assert book.lost(1) == ["refuse bob: draining"]


def test_stats() -> None:
    book = Playbook(max_connections=2)
    book.acquires("ann")
    book.acquires("bob")
    book.acquires("cid")
    book.now += 0.5
    book.opened(1)
    book.fails(2)
    book.now += 2.0
    book.lost(1)
    stats = book.pool.stats()
    assert stats["create_time"] == {"count": 1, "seconds": 0.5}
    assert stats["wait_time"] == {"count": 1, "seconds": 0.5}
    assert stats["use_time"] == {"count": 1, "seconds": 2.0}
    assert [stats[name] for name in ("acquired", "granted", "waiting", "connecting")] == [3, 1, 2, 1]
    assert [stats[name] for name in ("opened", "failed", "closed", "lost", "max")] == [1, 1, 0, 1, 2]

"""Who gets a connection, and when. Playbooks: an event is given, the actions are expected, line by line."""

import pytest

from lease_playbook import Playbook


def test_a_life() -> None:
    book = Playbook()
    assert book.acquires("ann") == ["open 1"]
    assert book.opened(1) == ["grant 1 to ann"]
    assert book.released(1) == []
    assert book.acquires("bob") == ["grant 1 to bob"]
    assert book.lost(1) == []
    assert book.has()


def test_whoever_waits_first_gets_what_is_free_first() -> None:
    book = Playbook(max_connections=2)
    assert book.acquires("ann") == ["open 1"]
    assert book.acquires("bob") == ["open 2"]
    assert book.acquires("cid") == []  # max_connections
    assert book.opened(2) == ["grant 2 to ann"]  # a connect is bound to no waiter
    assert book.released(2) == ["grant 2 to bob"]
    assert book.opened(1) == ["grant 1 to cid"]
    assert book.has(leased=2)


def test_the_newest_idle_that_fits_is_lent_else_the_newest() -> None:
    book = Playbook()
    book.lends(4)
    for number, tag in enumerate(("db0", "db1", "db0", "db2"), 1):
        book.released(number, tag)
    assert book.has(idle=4)
    assert book.acquires("ann", "db0") == ["grant 3 to ann"]
    assert book.acquires("bob", "db0") == ["grant 1 to bob"]
    assert book.acquires("cid", "db0") == ["grant 4 to cid"]
    assert book.acquires("dan", "db0") == ["grant 2 to dan"]


def test_an_open_says_what_would_fit_best() -> None:
    book = Playbook(min_idle=1)
    assert book.acquires("ann", "db7") == ["open 1", "open 2"]
    assert book.slots[1].tag == "db7"


def test_a_connection_is_cleaned_before_anyone_else_gets_it() -> None:
    book = Playbook(max_connections=1)
    book.lends(1)
    assert book.cleaned(1) == []
    assert book.acquires("bob") == []  # it still counts
    assert book.has(cleaning=1, waiting=1)
    assert book.released(1) == ["grant 1 to bob"]
    assert book.cleaned(1) == []
    assert book.lost(1) == []  # it could not be cleaned
    assert book.acquires("cid") == ["open 2"]


def test_a_waiter_that_waited_too_long_is_told_which_setting_stood_in_the_way() -> None:
    book = Playbook(max_connections=1, wait_timeout=1.0)
    book.lends(1)
    book.acquires("bob")
    assert book.passes(0.5) == []
    assert book.passes(0.5) == ["refuse bob: pool_exhausted"]
    assert book.detail == "no free connection within wait_timeout 1s (max_connections 1)"
    assert book.pool.stats()["wait_timeouts"] == 1


def test_a_waiter_whose_connect_takes_too_long_is_told_so() -> None:
    book = Playbook(max_connections=2, wait_timeout=1.0)
    book.acquires("ann")
    assert book.passes(1.0) == ["refuse ann: pool_exhausted"]
    assert book.detail == "no free connection within wait_timeout 1s (0 of max_connections 2 lent, 1 still connecting)"


def test_too_many_waiters() -> None:
    book = Playbook(max_connections=1, max_waiting=1)
    book.lends(1)
    assert book.acquires("bob") == []
    assert book.acquires("cid") == ["refuse cid: pool_exhausted"]
    assert book.detail == "too many wait for a connection (max_waiting 1, max_connections 1)"
    assert book.leaves("bob") == []
    assert book.acquires("dan") == []


def test_without_a_queue_connections_still_open() -> None:
    book = Playbook(max_connections=2, max_waiting=0)
    assert book.acquires("ann") == ["open 1"]
    assert book.acquires("bob") == ["open 2"]
    assert book.acquires("cid") == ["refuse cid: pool_exhausted"]
    assert book.opened(1) == ["grant 1 to ann"]


def test_a_waiter_that_leaves() -> None:
    book = Playbook(max_connections=1)
    book.acquires("ann")
    book.acquires("bob")
    assert book.leaves("ann") == []
    assert book.leaves("ann") == []
    assert book.opened(1) == ["grant 1 to bob"]
    assert book.leaves("bob") == []  # too late: a lease ends by release, clean or lost
    assert book.has(leased=1)
    assert book.released(1) == []


def test_a_waiter_that_leaves_before_it_is_told_of_its_grant() -> None:
    book = Playbook(max_connections=1)
    book.lends(1)
    book.released(1)
    book.acquires_unheard("bob")
    book.acquires_unheard("cid")
    assert book.leaves("bob") == ["grant 1 to cid"]


def test_a_waiter_that_leaves_before_it_is_told_of_its_refusal() -> None:
    book = Playbook()
    book.drains()
    book.acquires_unheard("ann")
    assert book.leaves("ann") == []


def test_a_connection_lost_before_its_waiter_is_told_costs_the_waiter_no_place() -> None:
    book = Playbook(max_connections=2)
    book.lends(2)
    for number in (1, 2):
        book.released(number)
    for name in ("cid", "dan", "eve"):
        book.acquires_unheard(name)  # granted 2, granted 1, waiting
    book.pool.lost(book.slots[2], book.now)
    book.pool.lost(book.slots[1], book.now)
    assert book.actions() == ["open 3", "open 4"]
    assert book.opened(3) == ["grant 3 to cid"]
    assert book.opened(4) == ["grant 4 to dan"]
    assert book.has(leased=2, waiting=1)


def test_a_failed_connect_refuses_at_once_those_whom_no_other_can_serve() -> None:
    book = Playbook(backoff_base=0.5)
    book.acquires("ann")
    book.acquires("bob")
    book.now += 0.25
    assert book.fails(1) == []  # the other may serve both
    assert book.fails(2) == ["refuse ann: no_endpoint", "refuse bob: no_endpoint"]
    assert book.detail == "upstream down: connection refused (tried again within backoff_max 5s)"
    assert book.acquires("cid") == ["refuse cid: no_endpoint"]  # backing off
    assert book.passes(0.5) == []  # nobody waits, nothing to open
    assert book.acquires("dan") == ["open 3"]
    assert book.acquires("eve") == []  # one probe is enough
    assert book.opened(3) == ["grant 3 to dan", "open 4"]


def test_a_failed_connect_refuses_at_once_also_when_the_next_may_start_at_once() -> None:
    book = Playbook(backoff_base=0.0)
    book.acquires("ann")
    assert book.fails(1) == ["refuse ann: no_endpoint"]
    assert book.acquires("bob") == ["open 2"]


def test_a_failed_connect_leaves_those_waiting_whom_a_lent_connection_may_serve() -> None:
    book = Playbook(backoff_base=0.5, wait_timeout=1.0)
    book.lends(1)
    assert book.acquires("bob") == ["open 2"]
    assert book.fails(2) == []
    assert book.passes(0.5) == ["open 3"]
    assert book.fails(3) == []
    assert book.passes(0.5) == ["refuse bob: pool_exhausted"]
    assert book.detail == "no free connection within wait_timeout 1s (connects fail: connection refused)"


def test_nobody_waits_when_somebody_else_s_connects_fail_too() -> None:
    book = Playbook(connect_rate=0.5, wait_timeout=0.0)
    book.throttle.take(book.now)  # a lane's
    assert book.acquires("ann") == []
    book.throttle.failed(book.now, "no route to host", book.now)
    book.pool.tick(book.now)
    assert book.actions() == ["refuse ann: no_endpoint"]


def test_late_and_doubled_events_are_ignored() -> None:
    book = Playbook()
    book.lends(1)
    assert book.opened(1) == []
    assert book.fails(1) == []
    assert book.has(leased=1)
    for event in (book.lost, book.lost, book.released, book.cleaned, book.opened, book.fails):
        assert event(1) == []
    assert book.has()


def test_a_connection_lost_while_connecting_is_a_failed_connect() -> None:
    book = Playbook()
    book.acquires("ann")
    assert book.lost(1) == ["refuse ann: no_endpoint"]
    assert book.throttle.failures == 1


def test_what_only_a_bug_does_is_refused() -> None:
    book = Playbook()
    book.acquires("ann")
    with pytest.raises(ValueError, match="slot 1 is connecting"):
        book.released(1)
    book.opened(1)
    book.released(1)
    with pytest.raises(ValueError, match="slot 1 is idle"):
        book.released(1)
    book.acquires_unheard("bob")
    with pytest.raises(ValueError, match="slot 1 is leased and nobody holds it"):
        book.cleaned(1)
    with pytest.raises(ValueError, match="only once"):
        book.pool.acquire(book.waiters["ann"], book.now)


def test_the_waiter_is_the_handle_of_its_lease() -> None:
    book = Playbook()
    book.lends(1)
    ann, slot = book.waiters["holder 1"], book.slots[1]
    assert (ann.slot, slot.waiter) == (slot, ann)
    book.released(1)
    assert (ann.slot, slot.waiter) == (None, None)


def test_ten_thousand_waiters_come_and_leave() -> None:
    book = Playbook(max_connections=1, max_waiting=10_000)
    names = [str(i) for i in range(10_000)]
    for name in names:
        book.acquires(name)
    for name in names[:-1]:
        book.leaves(name)
    assert book.opened(1) == ["grant 1 to 9999"]

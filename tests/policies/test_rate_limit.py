"""rate_limit: {rate: 20000/s, burst: 2000, per: client}."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calls import ended, new_call, new_scope, new_verb
from policies.gate import ADDRESS, CLIENT, Gate, Plan, new_plan
from policies.rate_limit import RateLimit, RateLimitGovernor
from protocols.call import ADMIN, CONTROL, FATAL, REFUSED, Call
from protocols.fault import BUSY, LIMITED, Fault


def build(policy: RateLimit) -> tuple[RateLimitGovernor, Plan]:
    governor = policy.governor("cache")
    return governor, new_plan([governor], new_scope(), {})


def passes(plan: Plan, now: float, count: int = 1) -> bool:
    return plan.admit(new_call(count, now), now) is None


def ask(plan: Plan, now: float, times: int) -> int:
    """How many of so many single commands pass."""
    return sum(passes(plan, now) for _ in range(times))


def test_a_burst_then_the_rate() -> None:
    _, plan = build(RateLimit(rate=10.0, burst=5))
    assert ask(plan, 100.0, 20) == 5
    assert ask(plan, 100.5, 20) == 5  # half a second has brought 5 more
    assert ask(plan, 100.75, 20) == 2
    assert ask(plan, 100.875, 20) == 1  # the half token left of 2.5 is not lost
    assert ask(plan, 200.0, 20) == 5  # never more than the burst


def test_the_refusal_names_the_limit() -> None:
    _, plan = build(RateLimit(rate=20000.0, burst=1))
    plan.admit(new_call(), 1.0)
    fault = plan.admit(new_call(), 1.0)
    assert fault is not None
    assert fault.reason == LIMITED
    assert str(fault) == "poolgate: cache: rate limit 20000/s exceeded (policy rate_limit)"


@pytest.mark.parametrize(("rate", "burst"), [(20000.0, 20000), (2.5, 2), (1 / 60, 1)])
def test_the_default_burst_is_one_second_worth(rate: float, burst: int) -> None:
    _, plan = build(RateLimit(rate=rate))
    assert ask(plan, 5.0, burst + 10) == burst


def test_stats_balance() -> None:
    governor, plan = build(RateLimit(rate=4.0, burst=8))
    ask(plan, 10.0, 10)
    assert governor.stats(10.5) == {"refused": 2, "shadowed": 0, "admitted": 8, "burst": 8, "level": 2.0}


def test_a_run_larger_than_the_bucket_passes_in_parts() -> None:
    governor, plan = build(RateLimit(rate=1.0, burst=4))
    assert not passes(plan, 1.0, 6)
    assert governor.refused == 0  # not decided yet: its commands are asked for one by one
    assert ask(plan, 1.0, 6) == 4
    assert governor.refused == 2


def test_what_a_gate_further_in_refused_is_given_back() -> None:
    governor, plan = build(RateLimit(rate=1.0, burst=4))
    for _ in range(100):
        call = new_call(4)
        assert plan.admit(call, 1.0) is None
        plan.settle(ended(call, REFUSED), 1.0)
    assert governor.stats(1.0)["admitted"] == 0
    call = new_call(4)
    assert plan.admit(call, 1.0) is None
    plan.settle(ended(call, FATAL), 1.0)  # it left the gateway: not given back
    assert not passes(plan, 1.0)


def test_a_clock_that_stands_still_or_steps_back_gives_nothing() -> None:
    _, plan = build(RateLimit(rate=100.0, burst=1))
    assert ask(plan, 10.0, 2) == 1
    assert ask(plan, 9.0, 2) == 0
    assert ask(plan, 10.0, 2) == 0


@pytest.mark.parametrize("percent", [0, 1, 10, 30, 33, 50, 99, 100])
def test_the_enforced_share_is_exact(percent: int) -> None:
    governor, plan = build(RateLimit(rate=1.0, burst=1, enforced=percent / 100))
    plan.admit(new_call(), 1.0)
    assert ask(plan, 1.0, 1000) == 1000 - 10 * percent
    stats = governor.stats(1.0)
    assert (stats["refused"], stats["shadowed"]) == (10 * percent, 1000 - 10 * percent)


@pytest.mark.parametrize("percent", [1, 10, 30, 33, 50, 99, 100])
def test_the_enabled_share_is_exact(percent: int) -> None:
    governor, plan = build(RateLimit(rate=1.0, burst=1000, enabled=percent / 100))
    ask(plan, 1.0, 1000)
    assert governor.stats(1.0)["level"] == 1000 - 10 * percent
    _, plan = build(RateLimit(rate=1.0, burst=1, enabled=percent / 100))
    assert ask(plan, 1.0, 1000) == 1001 - 10 * percent  # one of those judged found the token


def test_a_limit_that_is_not_enabled_is_not_there() -> None:
    assert RateLimit(rate=1.0, enabled=0.0).governor("cache").bind(new_scope()) is None


def test_shadow_mode_refuses_nothing_and_keeps_runs_whole() -> None:
    governor, plan = build(RateLimit(rate=1.0, burst=10, enforced=0.0))
    assert all(passes(plan, 1.0, 16) for _ in range(10))
    stats = governor.stats(1.0)
    assert (stats["admitted"], stats["refused"], stats["shadowed"], stats["level"]) == (160, 0, 150, 0.0)


# Times in 1/1024 s and whole rates: every level is exact in binary floating point.
STEPS = st.lists(st.tuples(st.integers(0, 3000), st.integers(1, 9)), min_size=1, max_size=80)


@settings(derandomize=True, deadline=None, max_examples=150)
@given(rate=st.integers(1, 50), burst=st.integers(1, 20), steps=STEPS)
def test_it_equals_the_generic_cell_rate_algorithm(rate: int, burst: int, steps: list[tuple[int, int]]) -> None:
    """The oracle knows no level: it keeps the time at which the bucket would be full again."""
    governor, plan = build(RateLimit(rate=float(rate), burst=burst))
    full_at = now = Fraction(1)
    for pause, count in steps:
        now += Fraction(pause, 1024)
        later = max(full_at, now) + Fraction(count, rate)
        fits = later - now <= Fraction(burst, rate)
        assert passes(plan, float(now), count) == fits
        if fits:
            full_at = later
        assert governor.stats(float(now))["admitted"] <= burst + rate * (now - 1)


@settings(derandomize=True, deadline=None, max_examples=150)
@given(
    rate=st.integers(1, 50),
    burst=st.integers(1, 20),
    enabled=st.integers(1, 100),
    enforced=st.integers(0, 100),
    steps=STEPS,
)
def test_a_run_is_what_its_commands_are_one_by_one(
    rate: int, burst: int, enabled: int, enforced: int, steps: list[tuple[int, int]]
) -> None:
    policy = RateLimit(rate=float(rate), burst=burst, enabled=enabled / 100, enforced=enforced / 100)
    governor, plan = build(policy)
    other_governor, other_plan = build(policy)
    now = 1.0
    for pause, count in steps:
        now += pause / 1024
        single = ask(other_plan, now, count)
        run = passes(plan, now, count)
        assert run == (single == count)
        if not run:
            assert ask(plan, now, count) == single if count > 1 else single == 0
        assert governor.stats(now) == other_governor.stats(now)


class Door(Gate):
    """Stands behind a limit, and may be shut."""

    def __init__(self) -> None:
        self.shut = False

    def admit(self, call: Call, now: float) -> Fault | None:
        return Fault(BUSY, "cache", "shut") if self.shut else None


@settings(derandomize=True, deadline=None, max_examples=100)
@given(
    enabled=st.integers(1, 100),
    enforced=st.integers(0, 100),
    steps=st.lists(st.tuples(st.integers(0, 3000), st.integers(1, 9), st.booleans()), max_size=60),
)
def test_what_was_taken_back_was_never_asked(enabled: int, enforced: int, steps: list[tuple[int, int, bool]]) -> None:
    policy = RateLimit(rate=2.0, burst=9, enabled=enabled / 100, enforced=enforced / 100)
    governor, limit = build(policy)
    door = Door()
    plan = Plan([*limit.gates, door])
    other_governor, other_plan = build(policy)
    now = 1.0
    for pause, count, shut in steps:
        now += pause / 1024
        door.shut = shut
        fault = plan.admit(new_call(count), now)
        if fault is None or fault.reason == LIMITED:
            assert passes(other_plan, now, count) == (fault is None)
        assert governor.stats(now) == other_governor.stats(now)


@pytest.mark.parametrize(("per", "same", "other"), [(CLIENT, "10.0.0.2", "shop"), (ADDRESS, "10.0.0.1", "app")])
def test_buckets_per_client_and_per_address(per: str, same: str, other: str) -> None:
    governor = RateLimit(rate=1.0, burst=2, per=per).governor("cache")
    first = new_plan([governor], new_scope(user="app", address="10.0.0.1"), {})
    second = new_plan([governor], new_scope(user="app", address=same), {})
    third = new_plan([governor], new_scope(user=other, address="10.0.0.3"), {})
    assert (ask(first, 1.0, 1), ask(second, 1.0, 2), ask(third, 1.0, 3)) == (1, 1, 2)
    stats = governor.stats(1.0)
    assert (stats["keys"], stats["admitted"], stats["refused"]) == (2, 4, 2)
    assert sorted(stats["emptiest"].values()) == [0.0, 0.0]


def test_a_client_in_session_never_gets_a_second_bucket() -> None:
    governor = RateLimit(rate=1.0, burst=1, per=ADDRESS, max_keys=10).governor("cache")
    plan = new_plan([governor], new_scope(address="10.0.0.1"), {})
    assert passes(plan, 1.0)
    for i in range(1000):
        governor.bind(new_scope(address=f"10.1.0.{i}"))
    assert not passes(new_plan([governor], new_scope(address="10.0.0.1"), {}), 1.0)
    stats = governor.stats(1.0)
    assert stats["keys"] == 10
    assert stats["forgotten"] == 991


def test_a_client_that_reconnects_finds_its_bucket_as_it_left_it() -> None:
    governor = RateLimit(rate=1.0, burst=1, per=ADDRESS).governor("cache")
    assert passes(new_plan([governor], new_scope(), {}), 1.0)
    assert not passes(new_plan([governor], new_scope(), {}), 1.0)


def test_control_verbs_pass_unless_named() -> None:
    select = new_scope(new_verb("SELECT", CONTROL))
    assert RateLimit(rate=1.0).governor("cache").bind(select) is None
    assert RateLimit(rate=1.0, verbs=()).governor("cache").bind(select) is not None
    flush_only = RateLimit(rate=1.0, verbs=("flushall",)).governor("cache")
    assert flush_only.bind(new_scope()) is None
    assert flush_only.bind(new_scope(new_verb("FLUSHALL", ADMIN))) is not None


@pytest.mark.parametrize(
    ("setting", "value"), [("rate", 0.0), ("burst", 0), ("enabled", 1.5), ("enforced", -0.1), ("max_keys", 0)]
)
def test_settings_that_make_no_sense_are_named(setting: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"^{setting}:"):
        RateLimit(**{"rate": 1.0, setting: value})  # type: ignore[arg-type]

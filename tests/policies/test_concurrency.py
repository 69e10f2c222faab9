"""concurrency: {max: 512}."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from calls import ended, new_call, new_scope, new_verb
from policies.concurrency import Concurrency
from policies.gate import ADDRESS, CLIENT, Plan, new_plan
from protocols.call import ADMIN, CONTROL, FATAL, OUTCOMES, WRITE, Call


def test_commands_over_the_limit_are_refused_until_others_end() -> None:
    governor = Concurrency(max=2).governor("cache")
    plan = new_plan([governor], new_scope(), {})
    first, second, third = new_call(), new_call(), new_call()
    assert plan.admit(first, 1.0) is None
    assert plan.admit(second, 1.0) is None
    assert str(plan.admit(third, 1.0)) == "poolgate: cache: concurrency limit 2 reached (policy concurrency)"
    plan.settle(ended(first, FATAL), 2.0)
    assert plan.admit(third, 2.0) is None
    assert governor.stats(2.0) == {"refused": 1, "shadowed": 0, "max": 2, "in_flight": 2}


def test_a_run_larger_than_the_limit_passes_in_parts() -> None:
    governor = Concurrency(max=3).governor("cache")
    plan = new_plan([governor], new_scope(), {})
    assert plan.admit(new_call(5), 1.0) is not None
    assert governor.refused == 0  # not decided yet: its commands are asked for one by one
    assert [plan.admit(new_call(), 1.0) is None for _ in range(5)] == [True, True, True, False, False]
    assert governor.refused == 2


@pytest.mark.parametrize(("per", "same", "other"), [(CLIENT, "10.0.0.2", "shop"), (ADDRESS, "10.0.0.1", "app")])
def test_limits_per_client_and_per_address(per: str, same: str, other: str) -> None:
    governor = Concurrency(max=1, per=per).governor("cache")
    first = new_plan([governor], new_scope(user="app", address="10.0.0.1"), {})
    second = new_plan([governor], new_scope(user="app", address=same), {})
    third = new_plan([governor], new_scope(user=other, address="10.0.0.3"), {})
    assert first.gates[0] is second.gates[0] is not third.gates[0]
    assert first.admit(new_call(), 1.0) is None
    assert second.admit(new_call(), 1.0) is not None
    assert third.admit(new_call(), 1.0) is None
    assert governor.stats(1.0)["in_flight"] == 2


def test_clients_that_are_gone_are_forgotten() -> None:
    governor = Concurrency(max=1, per=ADDRESS).governor("cache")
    staying = new_plan([governor], new_scope(address="10.0.0.1"), {})
    staying.admit(new_call(), 1.0)
    for i in range(1000):
        assert new_plan([governor], new_scope(address=f"10.1.0.{i}"), {}).admit(new_call(), 1.0) is None
    assert new_plan([governor], new_scope(address="10.0.0.1"), {}).admit(new_call(), 1.0) is not None


def test_verbs_that_idle_or_only_steer_the_connection_are_not_limited() -> None:
    governor = Concurrency(max=1).governor("cache")
    assert governor.bind(new_scope(new_verb("BLPOP", WRITE, blocking=True))) is None
    assert governor.bind(new_scope(new_verb("SELECT", CONTROL))) is None
    assert governor.bind(new_scope(new_verb("FLUSHALL", ADMIN))) is not None
    assert Concurrency(max=1, verbs=()).governor("cache").bind(new_scope(new_verb("SELECT", CONTROL))) is not None


def test_a_limit_lets_something_through() -> None:
    with pytest.raises(ValueError, match="max:"):
        Concurrency(max=0)


class Totals(RuleBasedStateMachine):
    """Whatever happens in whatever order, the places taken are those of the calls that have not ended."""

    def __init__(self) -> None:
        super().__init__()
        self.governor = Concurrency(max=8).governor("cache")
        self.plan: Plan = new_plan([self.governor], new_scope(), {})
        self.running: list[Call] = []
        self.refused = 0

    @rule(count=st.integers(1, 12))
    def admit(self, count: int) -> None:
        call = new_call(count)
        fits = sum(other.count for other in self.running) + count <= 8
        assert (self.plan.admit(call, 1.0) is None) == fits
        if fits:
            self.running.append(call)
        elif count == 1:
            self.refused += 1

    @rule(which=st.integers(0), outcome=st.sampled_from(range(len(OUTCOMES))))
    def settle(self, which: int, outcome: int) -> None:
        if self.running:
            self.plan.settle(ended(self.running.pop(which % len(self.running)), outcome), 1.0)

    @invariant()
    def balances(self) -> None:
        stats = self.governor.stats(1.0)
        assert stats["in_flight"] == sum(call.count for call in self.running) <= 8
        assert stats["refused"] == self.refused


TestTotals = Totals.TestCase
TestTotals.settings = settings(derandomize=True, deadline=None, max_examples=40, stateful_step_count=40)

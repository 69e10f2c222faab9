"""The mechanism: plans, their identity, and what is kept for whom."""

from __future__ import annotations

import gc
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calls import GET, new_call, new_scope, new_verb
from policies.circuit_breaker import CircuitBreaker
from policies.concurrency import Concurrency
from policies.gate import ADDRESS, CLIENT, SERVICE, VERBS, Gate, Governor, Keyed, Plan, Policy, Scope, matches, new_plan
from policies.rate_limit import RateLimit
from policies.timeout import Timeout
from protocols.call import ADMIN, FATAL, OK, OUTCOMES, Call
from protocols.fault import BUSY, Fault


class Diary(Gate):
    """Writes down what it is asked and told."""

    def __init__(self, name: str, pages: list[str], fault: Fault | None = None) -> None:
        self.name = name
        self.pages = pages
        self.fault = fault

    def admit(self, call: Call, now: float) -> Fault | None:
        self.pages.append(f"{self.name} admit")
        return self.fault

    def settle(self, call: Call, now: float) -> None:
        self.pages.append(f"{self.name} settle {OUTCOMES[call.outcome]}")


def test_a_call_passes_inwards_and_settles_outwards() -> None:
    pages: list[str] = []
    plan = Plan([Diary("a", pages), Diary("b", pages)])
    call = new_call()
    assert plan.admit(call, 1.0) is None
    call.outcome = FATAL
    plan.settle(call, 2.0)
    assert pages == ["a admit", "b admit", "b settle fatal", "a settle fatal"]


def test_a_refusal_settles_the_gates_before_it_and_no_other() -> None:
    pages: list[str] = []
    fault = Fault(BUSY, "cache", "full")
    plan = Plan([Diary("a", pages), Diary("b", pages), Diary("c", pages, fault), Diary("d", pages)])
    call = new_call()
    assert plan.admit(call, 1.0) is fault
    assert pages == ["a admit", "b admit", "c admit", "b settle refused", "a settle refused"]
    assert call.outcome == OK


@settings(derandomize=True, deadline=None, max_examples=50)
@given(st.lists(st.booleans(), max_size=6))
def test_every_gate_that_admitted_settles_once(admits: list[bool]) -> None:
    pages: list[str] = []
    fault = Fault(BUSY, "cache", "full")
    plan = Plan([Diary(str(i), pages, None if admit else fault) for i, admit in enumerate(admits)])
    call = new_call()
    if plan.admit(call, 1.0) is None:
        plan.settle(call, 2.0)
    passed = admits.index(False) if False in admits else len(admits)
    settled = [page for page in pages if "settle" in page]
    assert settled == [f"{i} settle {'ok' if all(admits) else 'refused'}" for i in reversed(range(passed))]


class OneGate(Governor):
    """The same gate for every verb but ADMIN ones."""

    def __init__(self) -> None:
        self.gate = Gate()

    def bind(self, scope: Scope) -> Gate | None:
        return None if scope.verb.effect == ADMIN else self.gate


def test_scopes_with_the_same_gates_share_one_plan() -> None:
    governors = [OneGate(), OneGate()]
    known: dict[tuple[int, ...], Plan] = {}
    plan = new_plan(governors, new_scope(GET), known)
    assert len(plan.gates) == 2
    assert new_plan(governors, new_scope(new_verb("MGET")), known) is plan
    assert new_plan(governors, new_scope(new_verb("FLUSHALL", ADMIN)), known).gates == []
    assert len(known) == 2


def test_a_gate_knows_how_many_plans_hold_it() -> None:
    gate = Gate()
    plans = [Plan([gate]), Plan([gate])]
    assert gate.plans == 2
    plans.clear()
    assert gate.plans == 0


def test_keyed_gates_are_forgotten_least_recently_bound_first() -> None:
    gates = Keyed(Gate, 2)
    a, b = gates.gate("a"), gates.gate("b")
    assert gates.gate("a") is a
    gates.gate("c")
    assert [key for key, _ in gates.items()] == ["a", "c"]
    assert gates.forgotten == 1
    assert gates.gate("b") is not b


def test_keyed_gates_in_use_are_never_forgotten() -> None:
    gates = Keyed(Gate, 2)
    plans = {key: Plan([gates.gate(key)]) for key in "abcdefghijklmnopqrstuvwxyz"}
    assert all(gates.gate(key) is plan.gates[0] for key, plan in plans.items())
    assert len(gates.items()) == 26
    plans.clear()
    for i in range(10):
        gates.gate(f"new {i}")
    assert len(gates.items()) == 2


@pytest.mark.parametrize(
    ("per", "scope", "key"),
    [
        (SERVICE, new_scope(), ""),
        (CLIENT, new_scope(), "user app"),
        (CLIENT, new_scope(user=""), "address 10.0.0.9"),
        (ADDRESS, new_scope(), "address 10.0.0.9"),
    ],
)
def test_whom_a_limit_is_kept_for(per: str, scope: Scope, key: str) -> None:
    assert scope.key(per) == key


def test_verbs_are_chosen_by_effect_or_by_name_in_any_case() -> None:
    assert matches(["read"], GET)
    assert matches(["FlushAll"], new_verb("FLUSHALL", ADMIN))
    assert not matches(["write", "SET"], GET)
    assert Policy().applies(new_scope(GET))
    assert not Policy(verbs=("write",)).applies(new_scope(GET))


def test_verbs_as_an_operator_writes_them() -> None:
    kind = VERBS["kind"]
    assert kind.parse(["read", "FLUSHALL"]) == ("read", "flushall")
    assert kind.parse("read") == ("read",)
    assert kind.render(("read",)) == ["read"]
    wrong: Any
    for wrong in (5, [5], [""], None, {"read": 1}):
        with pytest.raises(ValueError, match="is not a list of commands"):
            kind.parse(wrong)


def test_a_million_commands_leave_nothing_behind() -> None:
    policies: list[Policy] = [
        RateLimit(rate=18_000.0, burst=100),
        Concurrency(max=512),
        Timeout(total=0.25),
        CircuitBreaker(open=1.0),
    ]
    governors = [policy.governor("cache") for policy in policies]
    plan = new_plan(governors, new_scope(), {})

    def run(calls: int, now: float) -> int:
        """Twenty commands each millisecond, of an upstream that fails for one second in ten; how many were refused."""
        refused = 0
        for i in range(calls):
            now += 0.001
            call = Call(GET, 20, b"", now)
            if plan.admit(call, now) is not None:
                refused += 1
                call = Call(GET, 1, b"", now)
                if plan.admit(call, now) is not None:
                    continue
            if i % 10_000 < 1000:
                call.outcome = FATAL
                call.failures = call.count
            plan.settle(call, now)
        return refused

    run(1_000, 1.0)
    gc.collect()
    before = sys.getallocatedblocks()
    assert 5_000 < run(50_000, 2.0) < 15_000
    gc.collect()
    assert sys.getallocatedblocks() - before < 500
    assert governors[3].refused > 1_000


def test_refusals_leave_no_trace_in_the_gates_before_them() -> None:
    limit = RateLimit(rate=1.0, burst=100, enabled=0.5).governor("cache")
    busy = Concurrency(max=3).governor("cache")
    plan = new_plan([limit, busy], new_scope(), {})
    assert plan.admit(new_call(2), 5.0) is None
    before = limit.stats(5.0)
    for _ in range(100):
        assert plan.admit(new_call(2), 5.0) is not None
    assert limit.stats(5.0) == before

"""circuit_breaker: {error_ratio: 50%, min_calls: 20, window: 10s, open: 5s}."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from calls import GET, ended, new_call, new_scope, new_verb
from policies.circuit_breaker import TRANSITIONS, CircuitBreaker
from policies.gate import Plan, new_plan
from protocols.call import APP_ERROR, CANCELLED, CONTROL, FATAL, OK, REFUSED, RETRYABLE, WRITE, Call
from protocols.fault import OPEN


class Circuit:
    """A circuit and the calls through it."""

    def __init__(self, **rules: Any) -> None:
        self.governor = CircuitBreaker(**rules).governor("cache")
        self.plan: Plan = new_plan([self.governor], new_scope(), {})

    def admit(self, now: float, count: int = 1) -> Call | None:
        call = new_call(count, now)
        return call if self.plan.admit(call, now) is None else None

    def settle(self, call: Call | None, now: float, outcome: int = OK, failures: int | None = None) -> None:
        assert call is not None
        self.plan.settle(ended(call, outcome, failures), now)

    def pass_through(self, now: float, outcome: int = OK, times: int = 1, took: float = 0.0) -> None:
        for _ in range(times):
            self.settle(self.admit(now - took), now, outcome)

    def why(self, now: float) -> str:
        return str(self.plan.admit(new_call(), now))

    def __getitem__(self, stat: str) -> Any:
        return self.governor.stats(0.0)[stat]


def opened(now: float = 100.0) -> Circuit:
    """A circuit that has just opened."""
    circuit = Circuit(consecutive_errors=2)
    circuit.pass_through(now, FATAL, 2)
    assert circuit["state"] == "open"
    return circuit


def half_open(now: float = 105.0) -> tuple[Circuit, list[Call | None]]:
    """A half-open circuit and its three probes, under way."""
    circuit = opened(now - 5)
    probes = [circuit.admit(now) for _ in range(3)]
    assert circuit["state"] == "half_open"
    return circuit, probes


def test_it_opens_at_the_ratio_and_says_why() -> None:
    circuit = Circuit()
    circuit.pass_through(100.0, OK, 8)
    circuit.pass_through(101.0, FATAL, 6)
    circuit.pass_through(102.0, RETRYABLE, 5)
    assert circuit["state"] == "closed"  # 11 of 19: less than min_calls
    circuit.pass_through(103.0, FATAL)
    assert circuit["state"] == "open"
    assert circuit.why(103.0) == "poolgate: cache: circuit open: 12 of 20 calls failed in 10s (policy circuit_breaker)"
    fault = circuit.plan.admit(new_call(), 103.0)
    assert fault is not None
    assert fault.reason == OPEN


def test_a_success_can_complete_the_minimum() -> None:
    circuit = Circuit(min_calls=4)
    circuit.pass_through(100.0, FATAL, 3)
    circuit.pass_through(100.0, OK)
    assert circuit["state"] == "open"


def test_it_stays_closed_below_the_ratio() -> None:
    circuit = Circuit(error_ratio=0.1, min_calls=10)
    for _ in range(100):
        circuit.pass_through(100.0, OK, 10)
        circuit.pass_through(100.0, FATAL, 1)
    assert circuit["state"] == "closed"
    assert (circuit["calls"], circuit["failures"]) == (1100, 100)


@pytest.mark.parametrize("outcome", [OK, APP_ERROR, REFUSED, CANCELLED])
def test_what_is_not_the_upstreams_fault_never_opens_it(outcome: int) -> None:
    circuit = Circuit(min_calls=1, consecutive_errors=1)
    circuit.pass_through(100.0, outcome, 100)
    assert circuit["state"] == "closed"
    assert circuit["calls"] == (100 if outcome in (OK, APP_ERROR) else 0)


def test_the_failures_of_a_run_count_one_by_one() -> None:
    circuit = Circuit()
    circuit.settle(circuit.admit(100.0, 16), 100.0, FATAL, failures=7)
    assert (circuit["calls"], circuit["failures"]) == (16, 7)


def test_the_window_slides() -> None:
    circuit = Circuit(min_calls=1000)
    for second in range(30):
        circuit.pass_through(100.0 + second, FATAL, 2)
    assert (circuit["calls"], circuit["failures"]) == (20, 20)
    circuit.pass_through(131.5, OK)
    assert (circuit["calls"], circuit["failures"]) == (17, 16)
    circuit.pass_through(1000.0, OK)
    assert (circuit["calls"], circuit["failures"]) == (1, 0)


def test_errors_in_a_row() -> None:
    circuit = Circuit(error_ratio=None, consecutive_errors=5)
    circuit.pass_through(100.0, FATAL, 4)
    circuit.pass_through(100.0, APP_ERROR)
    circuit.pass_through(100.0, FATAL, 4)
    circuit.settle(circuit.admit(100.0, 3), 100.0, FATAL, failures=2)  # one of them was served
    assert circuit["state"] == "closed"
    circuit.settle(circuit.admit(100.0, 5), 100.0, FATAL)
    assert circuit.why(100.0) == "poolgate: cache: circuit open: 5 calls in a row failed (policy circuit_breaker)"


def test_slow_calls() -> None:
    circuit = Circuit(slow_ratio=0.5, slow_call=0.2, min_calls=10)
    circuit.pass_through(100.0, OK, 5, took=0.1)
    circuit.pass_through(100.0, OK, 4, took=0.5)
    assert circuit["state"] == "closed"
    circuit.pass_through(100.0, OK, 1, took=0.25)
    assert circuit["reason"] == "circuit open: 5 of 10 calls took 200ms or more in 10s"
    circuit.pass_through(105.5, OK, took=0.5)
    assert circuit["reason"] == "circuit open: a probe took 200ms or more"


def test_an_open_circuit_refuses_until_its_time_is_up() -> None:
    circuit = opened(100.0)
    assert circuit.admit(100.0) is None
    assert circuit.admit(104.9) is None
    assert circuit.admit(105.0) is not None
    assert circuit.governor.refused == 2


def test_a_few_probes_at_a_time() -> None:
    circuit, probes = half_open(105.0)
    assert circuit.why(105.0) == ("poolgate: cache: circuit half-open: 3 probes at a time (policy circuit_breaker)")
    circuit.settle(probes[0], 105.1)
    assert circuit.admit(105.1) is not None
    assert circuit.admit(105.1) is None


def test_it_closes_when_the_probes_passed() -> None:
    circuit, probes = half_open(105.0)
    for probe in probes:
        assert circuit["state"] == "half_open"
        circuit.settle(probe, 105.2)
    assert circuit["state"] == "closed"
    assert circuit["calls"] == 0  # a clean slate
    circuit.pass_through(105.3, OK, 100)


def test_a_failing_probe_opens_it_again_for_the_whole_time() -> None:
    circuit, probes = half_open(105.0)
    circuit.settle(probes[0], 106.0)
    circuit.settle(probes[1], 107.0, FATAL)
    assert circuit["reason"] == "circuit open: a probe failed"
    assert circuit["opened"] == 2
    assert circuit.admit(111.9) is None
    fresh = circuit.admit(112.0)
    circuit.settle(probes[2], 112.0, FATAL)  # of an earlier time: says nothing now
    assert circuit["state"] == "half_open"
    circuit.pass_through(112.0, OK, 2)
    assert circuit["state"] == "half_open"  # the probe that passed before does not count any more
    circuit.settle(fresh, 112.0)
    assert circuit["state"] == "closed"


@pytest.mark.parametrize("outcome", [REFUSED, CANCELLED])
def test_a_probe_that_says_nothing_frees_its_place(outcome: int) -> None:
    circuit, probes = half_open(105.0)
    for _ in range(10):
        circuit.settle(probes.pop(), 105.0, outcome)
        probes.append(circuit.admit(105.0))
    assert (circuit["state"], circuit["probing"]) == ("half_open", 3)


def test_a_call_from_before_is_no_probe() -> None:
    circuit = Circuit(consecutive_errors=2, open=5.0)
    old = [circuit.admit(99.0) for _ in range(8)]
    circuit.pass_through(100.0, FATAL, 2)
    circuit.settle(old.pop(), 101.0)
    assert circuit["state"] == "open"
    probe = circuit.admit(105.0)
    for _ in range(3):
        circuit.settle(old.pop(), 105.0)  # would close it
    circuit.settle(old.pop(), 105.0, FATAL)  # would open it
    assert (circuit["state"], circuit["probing"]) == ("half_open", 1)
    circuit.settle(probe, 105.0)
    circuit.pass_through(105.0, OK, 2)
    assert circuit["state"] == "closed"
    for _ in range(3):
        circuit.settle(old.pop(), 106.0, FATAL)  # tells of the outage: does not open it again
    assert (circuit["state"], circuit["calls"]) == ("closed", 0)


def test_a_probe_may_have_waited_since_before_the_circuit_was_half_open() -> None:
    circuit = opened(100.0)
    waited = new_call(1, started=103.0)
    assert circuit.plan.admit(waited, 105.0) is None
    circuit.settle(waited, 105.0)
    assert circuit["probing"] == 0


def test_a_run_of_more_commands_than_probes_passes_in_parts() -> None:
    circuit = opened(100.0)
    assert circuit.admit(105.0, 16) is None
    assert circuit.governor.refused == 0  # not decided yet: its commands are asked for one by one
    assert [circuit.admit(105.0) is not None for _ in range(5)] == [True, True, True, False, False]
    assert circuit.governor.refused == 2


def test_stats() -> None:
    circuit = Circuit(consecutive_errors=1)
    assert circuit.governor.stats(50.0) == {
        "refused": 0, "shadowed": 0, "state": "closed", "state_for": None, "opened": 0, "reason": None,
        "retry_in": None, "probing": 0, "calls": 0, "failures": 0, "slow": 0,
    }  # fmt: skip
    circuit.pass_through(100.0, FATAL)
    circuit.admit(101.0)
    assert circuit.governor.stats(102.0) == {
        "refused": 1, "shadowed": 0, "state": "open", "state_for": 2.0, "opened": 1,
        "reason": "circuit open: 1 calls in a row failed",
        "retry_in": 3.0, "probing": 0, "calls": 0, "failures": 0, "slow": 0,
    }  # fmt: skip


def test_only_verbs_whose_reply_comes_at_once_are_bound() -> None:
    governor = CircuitBreaker().governor("cache")
    assert governor.bind(new_scope(GET)) is not None
    assert governor.bind(new_scope(new_verb("BLPOP", WRITE, blocking=True))) is None
    assert governor.bind(new_scope(new_verb("FIN", WRITE, one_way=True))) is None
    assert governor.bind(new_scope(new_verb("MULTI", CONTROL))) is None


def test_every_state_can_be_left() -> None:
    assert {state for state, _ in TRANSITIONS} == set(TRANSITIONS.values())


@pytest.mark.parametrize(
    ("rules", "named"),
    [
        ({"error_ratio": 0.0}, "error_ratio"),
        ({"error_ratio": None}, "error_ratio"),
        ({"slow_ratio": 0.5}, "slow_ratio"),
        ({"slow_call": 0.5}, "slow_ratio"),
        ({"slow_ratio": 0.5, "slow_call": 0.0}, "slow_call"),
        ({"consecutive_errors": 0}, "consecutive_errors"),
        ({"min_calls": 0}, "min_calls"),
        ({"window": 0.0}, "window"),
        ({"open": 0.0}, "open"),
        ({"probes": 0}, "probes"),
    ],
)
def test_rules_that_make_no_sense_are_named(rules: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=f"^{named}:"):
        CircuitBreaker(**rules)


class AnyOrder(RuleBasedStateMachine):
    """Calls begin, wait and end in any order, in any way; the circuit keeps to its rules and never gets stuck."""

    def __init__(self) -> None:
        super().__init__()
        self.circuit = Circuit(min_calls=4, consecutive_errors=6, window=10.0, open=5.0, probes=2)
        self.now = 100.0
        self.running: list[Call] = []
        self.probes: list[Call] = []
        self.judged: list[tuple[float, int, int]] = []  # since the circuit closed: when, commands, failures
        self.closed_at = 0.0
        self.opened_at = 0.0
        self.refused = 0

    def state(self) -> str:
        return str(self.circuit["state"])

    @rule(pause=st.sampled_from([0.25, 0.5, 1.0, 3.0, 5.0, 30.0]))
    def wait(self, pause: float) -> None:
        self.now += pause

    @rule(count=st.integers(1, 3))
    def admit(self, count: int) -> None:
        before = self.state()
        call = self.circuit.admit(self.now, count)
        probing = sum(probe.count for probe in self.probes)
        may_probe = before == "half_open" or (before == "open" and self.now >= self.opened_at + 5.0)
        assert (call is not None) == (before == "closed" or (may_probe and probing + count <= 2))
        assert self.state() == ("half_open" if may_probe else before)
        if call is None:
            self.refused += count == 1
            return
        self.running.append(call)
        if may_probe:
            self.probes.append(call)

    @precondition(lambda self: self.running)
    @rule(which=st.integers(0, 20), outcome=st.sampled_from([OK, APP_ERROR, RETRYABLE, FATAL, FATAL, CANCELLED]))
    def settle(self, which: int, outcome: int) -> None:
        call = self.running.pop(which % len(self.running))
        before = self.state()
        self.circuit.settle(call, self.now, outcome)
        if before == "closed" and outcome != CANCELLED and call.started >= self.closed_at:
            self.judged.append((self.now, call.count, call.failures))
        was_probe = call in self.probes
        if was_probe:
            self.probes.remove(call)
        if self.state() == before:
            return
        assert (before, self.state(), was_probe) in {
            ("closed", "open", False),
            ("half_open", "open", True),
            ("half_open", "closed", True),
        }
        self.probes = []
        self.judged = []
        if self.state() == "open":
            self.opened_at = self.now
        else:
            self.closed_at = self.now

    @invariant()
    def adds_up(self) -> None:
        stats = self.circuit.governor.stats(self.now)
        assert stats["refused"] == self.refused
        assert stats["probing"] == sum(probe.count for probe in self.probes) <= 2
        # The window ends with the current slice, so it is between 9 and 10 slices long.
        for part, stat in ((1, "calls"), (2, "failures")):
            surely = sum(entry[part] for entry in self.judged if self.now - entry[0] < 9.0)
            perhaps = sum(entry[part] for entry in self.judged if self.now - entry[0] <= 10.0)
            assert surely <= stats[stat] <= perhaps
        if stats["state"] == "closed" and self.judged and self.judged[-1][0] == self.now:
            assert stats["calls"] < 4 or stats["failures"] * 2 < stats["calls"]

    def teardown(self) -> None:
        """Once everything has ended and the upstream is well, the circuit closes."""
        for call in self.running:
            self.circuit.settle(call, self.now, CANCELLED)
        self.now += 5.0
        for _ in range(2):
            self.circuit.pass_through(self.now)
        assert self.state() == "closed"


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(derandomize=True, deadline=None, max_examples=60, stateful_step_count=50)

"""timeout: 250ms."""

from __future__ import annotations

import pytest

from calls import GET, ended, new_call, new_scope, new_verb
from policies.gate import Plan, new_plan
from policies.timeout import Timeout, timeout_fault
from protocols.call import CANCELLED, FATAL, OK, Verb


def test_the_deadline_is_set_once_admitted() -> None:
    plan = new_plan([Timeout(total=0.25).governor("cache")], new_scope(), {})
    call = new_call(started=9.0)
    assert plan.admit(call, 10.0) is None
    assert call.deadline == 10.25


@pytest.mark.parametrize(("existing", "deadline"), [(10.1, 10.1), (11.0, 10.25)])
def test_the_earlier_deadline_wins(existing: float, deadline: float) -> None:
    plan = new_plan([Timeout(total=0.25).governor("cache")], new_scope(), {})
    call = new_call()
    call.deadline = existing
    plan.admit(call, 10.0)
    assert call.deadline == deadline


def test_what_the_client_is_told_is_the_shortest_timeout() -> None:
    plan = new_plan([Timeout(total=t).governor("cache") for t in (5.0, 0.25, 1.0)], new_scope(), {})
    assert str(timeout_fault(plan)) == "poolgate: cache: no reply within 250ms (policy timeout)"
    assert timeout_fault(Plan([])) is None


@pytest.mark.parametrize("verb", [new_verb("FIN", one_way=True)])
def test_verbs_without_a_prompt_reply_have_no_deadline(verb: Verb) -> None:
    assert Timeout(total=0.25).governor("cache").bind(new_scope(verb)) is None


def test_only_chosen_verbs_have_a_deadline() -> None:
    governor = Timeout(total=0.25, verbs=("write",)).governor("cache")
    assert governor.bind(new_scope(GET)) is None
    assert governor.bind(new_scope(new_verb("SET", "write"))) is not None


def test_expired_commands_are_counted() -> None:
    governor = Timeout(total=1.0).governor("cache")
    plan = new_plan([governor], new_scope(), {})

    def call(count: int, outcome: int, failures: int, end: float) -> None:
        call = new_call(count)
        plan.admit(call, 10.0)
        plan.settle(ended(call, outcome, failures), end)

    call(1, OK, 0, 10.5)
    call(1, OK, 0, 11.5)  # late, but it came
    call(1, FATAL, 1, 10.5)  # the connection was lost
    call(1, CANCELLED, 0, 11.0)
    assert governor.stats(11.0)["expired"] == 0
    call(1, FATAL, 1, 11.0)
    call(16, FATAL, 3, 11.0)  # 13 of the run had their reply
    assert governor.stats(11.0) == {"refused": 0, "shadowed": 0, "expired": 4}


def test_a_timeout_is_longer_than_nothing() -> None:
    with pytest.raises(ValueError, match="total:"):
        Timeout(total=0.0)

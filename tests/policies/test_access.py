"""clients: [{user: app, allow: [read, write], deny: [FLUSHALL]}]."""

from __future__ import annotations

import pytest

from calls import GET, new_call, new_scope, new_verb
from policies.access import AccessGovernor, Rights
from policies.gate import new_plan
from protocols.call import ADMIN, CONTROL, READ, WRITE, Verb
from protocols.fault import DENIED

SET = new_verb("SET", WRITE)
FLUSHALL = new_verb("FLUSHALL", ADMIN)
SELECT = new_verb("SELECT", CONTROL)


@pytest.mark.parametrize(
    ("rights", "permitted"),
    [
        (Rights(), [GET, SET, FLUSHALL, SELECT]),
        (Rights(allow=[]), [SELECT]),
        (Rights(allow=["read"]), [GET, SELECT]),
        (Rights(allow=["READ", "set"]), [GET, SET, SELECT]),
        (Rights(allow=["admin"], deny=["flushall"]), [SELECT]),
        (Rights(deny=["write"]), [GET, FLUSHALL, SELECT]),
        (Rights(allow=["read", "get"], deny=["Get"]), [SELECT]),
        (Rights(allow=["read"], deny=["control"]), [GET]),
        (Rights(allow=["select"], deny=["SELECT"]), []),
    ],
)
def test_who_may_run_what(rights: Rights, permitted: list[Verb]) -> None:
    governor = AccessGovernor("cache", {"app": rights})
    assert [verb for verb in (GET, SET, FLUSHALL, SELECT) if governor.bind(new_scope(verb)) is None] == permitted


def test_the_refusal_names_user_and_command() -> None:
    governor = AccessGovernor("cache", {"app": Rights(deny=["FLUSHALL"])})
    plan = new_plan([governor], new_scope(FLUSHALL), {})
    fault = plan.admit(new_call(verb=FLUSHALL), 1.0)
    assert fault is not None
    assert fault.reason == DENIED
    assert str(fault) == "poolgate: cache: user app may not run FLUSHALL (policy clients)"
    assert plan.admit(new_call(verb=FLUSHALL), 2.0) is fault
    assert governor.stats(2.0) == {"refused": 2, "shadowed": 0, "denied": {"user app": {"FLUSHALL": 2}}}


@pytest.mark.parametrize("user", ["", "mallory"])
def test_strangers_may_only_steer_their_connection(user: str) -> None:
    governor = AccessGovernor("cache", {"app": Rights()})
    assert governor.bind(new_scope(SELECT, user)) is None
    plan = new_plan([governor], new_scope(GET, user), {})
    assert str(plan.admit(new_call(), 1.0)) == (
        "poolgate: cache: an unauthenticated client may not run GET (policy clients)"
    )


def test_gates_are_shared_and_bounded() -> None:
    governor = AccessGovernor("cache", {"app": Rights(allow=[])})
    gates = {id(governor.bind(new_scope(GET, f"stranger {i}"))) for i in range(1000)}
    assert len(gates) == 1
    assert governor.bind(new_scope(GET)) is governor.bind(new_scope(new_verb("GET", READ)))


def test_a_run_is_counted_when_its_commands_are() -> None:
    governor = AccessGovernor("cache", {"app": Rights(allow=[])})
    plan = new_plan([governor], new_scope(), {})
    assert plan.admit(new_call(16), 1.0) is not None
    assert governor.stats(1.0) == {"refused": 0, "shadowed": 0, "denied": {}}

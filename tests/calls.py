"""Verbs, calls and scopes for tests of what governs them."""

from __future__ import annotations

from policies.gate import Scope
from protocols.call import CALL, OK, READ, Call, Verb


def new_verb(name: str = "GET", effect: str = READ, *, one_way: bool = False, blocking: bool = False) -> Verb:
    return Verb(name, 0, effect, idempotent=True, one_way=one_way, blocking=blocking, affinity=CALL)


GET = new_verb()


def new_scope(verb: Verb = GET, user: str = "app", address: str = "10.0.0.9") -> Scope:
    return Scope(user, address, verb)


def new_call(count: int = 1, started: float = 0.0, verb: Verb = GET) -> Call:
    return Call(verb, count, b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n" * count, started)


def ended(call: Call, outcome: int = OK, failures: int | None = None) -> Call:
    """The call as it looks when it ended; of a failed one, all commands failed unless said otherwise."""
    call.outcome = outcome
    call.failures = (call.count if outcome in (2, 3) else 0) if failures is None else failures
    return call

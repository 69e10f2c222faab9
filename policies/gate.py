"""Policy, Gate and Plan: the mechanism of governance.

A policy is a frozen dataclass of settings. ``Policy.governor(service)`` makes the live state that one service
keeps for it; ``Governor.bind(scope)`` yields a gate for one (client, verb), or nothing. The tuple of gates,
outermost first, is the plan. Two scopes for which every governor yields the same gates share one plan.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, Generic, TypeVar, final

from mypy_extensions import i64, mypyc_attr

from protocols.call import EFFECTS, REFUSED, Call, Verb
from protocols.fault import Fault
from protocols.settings import Kind, one_of

# Whom a limit is kept for.
SERVICE: Final = "service"
CLIENT: Final = "client"  # the user; an unauthenticated client is its address
ADDRESS: Final = "address"
PER: Final = one_of(SERVICE, CLIENT, ADDRESS)


@final
class Scope:
    """For whom a gate is bound: the client's user ("" when unauthenticated), its address and the verb."""

    __slots__ = ("address", "user", "verb")

    def __init__(self, user: str, address: str, verb: Verb) -> None:
        self.user: str = user
        self.address: str = address  # IP without port, or "unix"
        self.verb: Verb = verb

    def key(self, per: str) -> str:
        """The name of whoever shares a limit with this scope."""
        if per == SERVICE:
            return ""
        if per == CLIENT and self.user:
            return f"user {self.user}"
        return f"address {self.address}"


@mypyc_attr(allow_interpreted_subclasses=True)
class Gate:
    """Decides one call at a time. Every call that ``admit`` let through is settled exactly once."""

    plans: i64 = 0  # live plans that hold this gate: while there are any, its state must not be forgotten

    def admit(self, call: Call, now: float) -> Fault | None:
        """Let the call (all ``call.count`` of it) through (None) or say why not. Never blocks, never raises.

        A refused run is asked again, one command at a time. So the refusal of a run changes and counts nothing:
        gates count the refusals of single commands, and a run must pass exactly when all of its commands would.
        """
        return None

    def settle(self, call: Call, now: float) -> None:
        """The call ended: ``call.outcome``, ``call.errors`` and ``call.failures`` say how.

        REFUSED comes right after its ``admit``, before any other call is admitted: a gate takes that one back.
        """


@mypyc_attr(allow_interpreted_subclasses=True)
class Governor:
    """The live state of one policy of one service. The counters are commands, for ``/metrics`` and ``/stats``."""

    name: str = ""  # the policy's word: in the configuration, in faults, in metrics
    refused: i64 = 0
    shadowed: i64 = 0  # over the limit, let through because the limit is not enforced

    def bind(self, scope: Scope) -> Gate | None:
        """The gate for a scope; the same object for scopes that share state. Called once per scope, never per call."""
        return None

    def stats(self, now: float) -> dict[str, Any]:
        """Live state for ``/stats``: plain JSON values, counters included."""
        return {"refused": self.refused, "shadowed": self.shadowed}


def matches(words: Collection[str], verb: Verb) -> bool:
    """Whether one of the words is the verb's effect or, in any case, its name; CONFIG also means CONFIG SET."""
    name = verb.name.lower()
    meant = (verb.effect, name, name.partition(" ")[0])
    return any(word.lower() in meant for word in words)


def _parse_verbs(value: object) -> tuple[str, ...]:
    words = [value] if isinstance(value, str) else value
    if not isinstance(words, list | tuple) or not all(isinstance(word, str) and word for word in words):
        raise ValueError(f"{value!r} is not a list of commands: name them, or write {', '.join(EFFECTS)}")
    return tuple(word.lower() for word in words)


# Words that choose verbs: effects or command names. Which names exist is the protocol's knowledge, not ours.
VERBS: Final = {"kind": Kind("verbs", _parse_verbs, list, {"type": ["array", "string"], "items": {"type": "string"}})}


@mypyc_attr(native_class=False)
class Shorthand:
    """What lets ``timeout: 250ms`` stand for ``timeout: {total: 250ms}``."""

    # The field that a scalar sets, "" for none. A policy assigns it below its class: inside the body, mypyc
    # would annotate it, and the dataclass would take it for a setting.
    SHORTHAND: ClassVar[str] = ""


@mypyc_attr(native_class=False)
@dataclass(frozen=True, kw_only=True)
class Policy(Shorthand):
    """Settings of a policy as an operator writes them. Subclasses add fields; see protocols/settings.py for kinds."""

    verbs: tuple[str, ...] = field(default=(), metadata=VERBS)  # empty: all

    def governor(self, service: str) -> Governor:
        """Fresh live state for a service.

        Raises:
            NotImplementedError: by the base class only.
        """
        raise NotImplementedError

    def applies(self, scope: Scope) -> bool:
        """Whether the scope's verb is one that this policy governs."""
        return not self.verbs or matches(self.verbs, scope.verb)


G = TypeVar("G", bound=Gate)


@final
class Keyed(Generic[G]):
    """One gate per key, of bounded number: beyond ``limit`` the least recently bound are forgotten.

    Never one that a live plan holds: its key would get a second gate, and the two would each grant the whole limit.
    So what may be held beyond ``limit`` is bounded by the number of sessions.
    """

    def __init__(self, make: Callable[[], G], limit: int) -> None:
        self._make: Final = make
        self._limit: Final = limit
        self._gates: OrderedDict[str, G] = OrderedDict()
        self.forgotten: i64 = 0

    def gate(self, key: str) -> G:
        """The gate of a key, made when there is none."""
        gate = self._gates.get(key)
        if gate is not None:
            self._gates.move_to_end(key)
            return gate
        tries = 8  # gates in use are passed over; a bind must not walk through all of them
        while len(self._gates) >= self._limit and tries > 0:
            tries -= 1
            oldest, candidate = self._gates.popitem(last=False)
            if candidate.plans > 0:
                self._gates[oldest] = candidate
            else:
                self.forgotten += 1
        gate = self._gates[key] = self._make()
        return gate

    def items(self) -> list[tuple[str, G]]:
        """Keys and their gates, for statistics."""
        return list(self._gates.items())


@final
class Plan:
    """The gates of one (service, client, verb), outermost first."""

    __slots__ = ("gates",)

    def __init__(self, gates: Sequence[Gate]) -> None:
        self.gates: list[Gate] = list(gates)
        for gate in self.gates:
            gate.plans += 1

    def __del__(self) -> None:
        for gate in self.gates:
            gate.plans -= 1

    def admit(self, call: Call, now: float) -> Fault | None:
        """Pass every gate, or settle those already passed as REFUSED and return the fault of the one that said no."""
        passed: i64 = 0
        for gate in self.gates:
            fault = gate.admit(call, now)
            if fault is not None:
                outcome = call.outcome
                call.outcome = REFUSED
                while passed > 0:
                    passed -= 1
                    self.gates[passed].settle(call, now)
                call.outcome = outcome
                return fault
            passed += 1
        return None

    def settle(self, call: Call, now: float) -> None:
        """Tell every gate, innermost first, how the call ended."""
        gates = self.gates
        i: i64 = len(gates)
        while i > 0:
            i -= 1
            gates[i].settle(call, now)


def new_plan(governors: Sequence[Governor], scope: Scope, known: dict[tuple[int, ...], Plan]) -> Plan:
    """Bind every governor to the scope. ``known`` interns plans by the identity of their gates.

    A plan in ``known`` keeps its gates, and with them the state of its client, from being forgotten: ``known``
    belongs to one session, or to something else that ends with its clients.
    """
    gates = [gate for governor in governors if (gate := governor.bind(scope)) is not None]
    key = tuple(id(gate) for gate in gates)
    plan = known.get(key)
    if plan is None:
        plan = known[key] = Plan(gates)
    return plan

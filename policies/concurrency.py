"""concurrency: at most so many calls in flight, counted in commands.

Blocking verbs (BLPOP, WAIT) are not bound: they idle by design and would hold a place for their whole wait, so that
a few idle consumers could shut everyone else out. What bounds them is the pool, whose connections they hold.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, final

from mypy_extensions import i64, mypyc_attr

from policies.gate import PER, SERVICE, VERBS, Gate, Governor, Keyed, Policy, Scope
from protocols.call import GOVERNED, Call
from protocols.fault import BUSY, Fault
from protocols.settings import POSITIVE


@final
@mypyc_attr(native_class=False)
@dataclass(frozen=True, kw_only=True)
class Concurrency(Policy):
    """How many commands may be in flight at a time."""

    max: int = field(metadata=POSITIVE)
    per: str = field(default=SERVICE, metadata=PER)
    # Not control: a refused SELECT or MULTI would change what the commands behind it mean.
    verbs: tuple[str, ...] = field(default=GOVERNED, metadata=VERBS)

    def __post_init__(self) -> None:
        if self.max < 1:
            raise ValueError("max: at least 1 call must be allowed in flight")

    def governor(self, service: str) -> ConcurrencyGovernor:
        """Fresh live state for a service."""
        return ConcurrencyGovernor(self, service)


Concurrency.SHORTHAND = "max"


@final
class ConcurrencyGovernor(Governor):
    """One gate for the service, or for each client or address."""

    def __init__(self, settings: Concurrency, service: str) -> None:
        self.name = "concurrency"
        self.settings: Final = settings
        self.in_flight: i64 = 0
        self._fault: Final = Fault(BUSY, service, f"concurrency limit {settings.max} reached", self.name)
        # A gate outside of every plan has nothing in flight, so nothing to remember.
        self._gates: Final[Keyed[ConcurrencyGate]] = Keyed(self._new_gate, 1)

    def _new_gate(self) -> ConcurrencyGate:
        return ConcurrencyGate(self, self.settings.max, self._fault)

    def bind(self, scope: Scope) -> Gate | None:
        """The gate of the scope's client, for verbs that are answered at once."""
        if scope.verb.blocking or not self.settings.applies(scope):
            return None
        return self._gates.gate(scope.key(self.settings.per))

    def stats(self, now: float) -> dict[str, Any]:
        """The counters, and how many commands are in flight in all."""
        return {**super().stats(now), "max": self.settings.max, "in_flight": self.in_flight}


@final
class ConcurrencyGate(Gate):
    """Counts what is in flight."""

    __slots__ = ("_fault", "_governor", "_max", "in_flight")

    def __init__(self, governor: ConcurrencyGovernor, maximum: i64, fault: Fault) -> None:
        self._governor: Final = governor
        self._max: Final[i64] = maximum
        self._fault: Final = fault
        self.in_flight: i64 = 0

    def admit(self, call: Call, now: float) -> Fault | None:
        """Take a place for each command of the call."""
        n = call.count
        in_flight = self.in_flight + n
        if in_flight > self._max:
            if n == 1:
                self._governor.refused += 1
            return self._fault
        self.in_flight = in_flight
        self._governor.in_flight += n
        return None

    def settle(self, call: Call, now: float) -> None:
        """Give the places back, however the call ended."""
        self.in_flight -= call.count
        self._governor.in_flight -= call.count

"""timeout: a call that has no reply in time is given up.

The gate only sets ``call.deadline``; the exchange, which owns the one timer, lets it fire, answers the client with
``timeout_fault(plan)`` and settles the call as FATAL. One-way verbs expect no reply and are not bound. A call that
asks the upstream to block (BLPOP) carries its own timeout, which the exchange puts in the place of this one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, final

from mypy_extensions import i64, mypyc_attr

from policies.gate import Gate, Governor, Plan, Policy, Scope
from protocols.call import FATAL, Call
from protocols.fault import TIMEOUT, Fault
from protocols.settings import DURATION, render_duration


@final
@mypyc_attr(native_class=False)
@dataclass(frozen=True, kw_only=True)
class Timeout(Policy):
    """How long a client waits for a reply, from the moment its call was admitted."""

    total: float = field(metadata=DURATION)

    def __post_init__(self) -> None:
        if self.total <= 0:
            raise ValueError("total: a timeout must be longer than 0")

    def governor(self, service: str) -> TimeoutGovernor:
        """Fresh live state for a service."""
        return TimeoutGovernor(self, service)


Timeout.SHORTHAND = "total"


@final
class TimeoutGovernor(Governor):
    """One gate for all: a deadline is kept by the call itself."""

    def __init__(self, settings: Timeout, service: str) -> None:
        self.name = "timeout"
        self.settings: Final = settings
        self.expired: i64 = 0  # commands that ended at or after their deadline without a reply
        detail = f"no reply within {render_duration(settings.total)}"
        self._gate: Final = TimeoutGate(self, settings.total, Fault(TIMEOUT, service, detail, self.name))

    def bind(self, scope: Scope) -> Gate | None:
        """The gate, for verbs that are answered."""
        if scope.verb.one_way or not self.settings.applies(scope):
            return None
        return self._gate

    def stats(self, now: float) -> dict[str, Any]:
        """The counters."""
        return {**super().stats(now), "expired": self.expired}


@final
class TimeoutGate(Gate):
    """Sets the deadline, unless an earlier one is set."""

    __slots__ = ("_governor", "fault", "total")

    def __init__(self, governor: TimeoutGovernor, total: float, fault: Fault) -> None:
        self._governor: Final = governor
        self.total: Final = total
        self.fault: Final = fault

    def admit(self, call: Call, now: float) -> Fault | None:
        """Always lets the call through."""
        deadline = now + self.total
        if call.deadline == 0.0 or deadline < call.deadline:
            call.deadline = deadline
        return None

    def settle(self, call: Call, now: float) -> None:
        """Count the call when it failed and its time was up."""
        if call.outcome == FATAL and 0.0 < call.deadline <= now:
            self._governor.expired += call.failures


def timeout_fault(plan: Plan) -> Fault | None:
    """The fault of a call of this plan whose deadline passed: that of the plan's shortest timeout."""
    timeouts = [gate for gate in plan.gates if isinstance(gate, TimeoutGate)]
    return min(timeouts, key=lambda gate: gate.total).fault if timeouts else None
